"""Random pairs: ordered, of different people, repeatable, and none twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from SpatialRegularizationLib.io.lists import ListedImage
from SpatialRegularizationLib.studies.pairs import random_pairs


def images(count: int, groups: int | None = None) -> list[ListedImage]:
    return [
        ListedImage(f"i{n}", Path(f"i{n}.nii"), Path(f"l{n}.nii"), group="" if groups is None else str(n % groups))
        for n in range(count)
    ]


def test_the_first_pairs_do_not_depend_on_their_number_and_no_pair_comes_twice() -> None:
    many = random_pairs(images(10), 90, seed=4)
    assert [p.name for p in random_pairs(images(10), 12, seed=4)] == [p.name for p in many[:12]]
    assert len({p.name for p in many}) == 90
    assert all(p.fixed != p.moving for p in many)
    assert [p.name for p in random_pairs(images(10), 12, seed=5)] != [p.name for p in many[:12]]


def test_images_of_one_person_are_not_paired() -> None:
    pairs = random_pairs(images(6, groups=2), 18, seed=0)
    assert all(int(p.fixed.stem[1:]) % 2 != int(p.moving.stem[1:]) % 2 for p in pairs)


def test_more_pairs_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"make 6 ordered pairs.*ask for fewer"):
        random_pairs(images(3), 7, seed=0)
    with pytest.raises(ValueError, match="make 0 ordered pairs"):
        random_pairs(images(3, groups=1), 1, seed=0)


def test_a_label_map_without_an_image_makes_no_pair() -> None:
    with pytest.raises(ValueError, match=r"bare has labels but no image: name one"):
        random_pairs([*images(3), ListedImage("bare", None, Path("l.nii"))], 2, seed=0)


def test_what_belongs_to_the_images_goes_with_the_pair() -> None:
    lonely = ListedImage("p", Path("p.nii"), points=Path("p.csv"), mask=Path("m.nii"))
    other = ListedImage("q", Path("q.nii"), Path("q_l.nii"))
    pair = next(p for p in random_pairs([lonely, other], 2, seed=0) if p.fixed == Path("p.nii"))
    assert dict(pair.inputs) == {"fixed_mask": Path("m.nii"), "moving_labels": Path("q_l.nii")}
    assert pair.name == "q_to_p"


def test_a_pair_is_another_when_one_of_its_files_changes(tmp_path: Path) -> None:
    for name in ("i0.nii", "i1.nii"):
        (tmp_path / name).write_text("x")
    both = [ListedImage(name, tmp_path / f"{name}.nii") for name in ("i0", "i1")]
    pair = random_pairs(both, 1, seed=0)[0]
    before = pair.identity()
    assert pair.identity() == before
    (tmp_path / "i1.nii").write_text("longer")
    assert pair.identity() != before
