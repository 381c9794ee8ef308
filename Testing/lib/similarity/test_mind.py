"""MIND-SSC against its formula, voxel by voxel, and what it does not see: contrast."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from conformance import check_gradient, check_refuses, textures
from SpatialRegularizationLib.similarity.mind import CHANNELS, MindSsc, mind_ssc


def _neighbors(dilation: int) -> list[tuple[Tensor, Tensor]]:
    """The twelve pairs (r, s) of neighbors √2·dilation apart, in the order of the channels."""
    unit = dilation * torch.eye(3, dtype=torch.long)
    pairs = []
    for a in range(3):
        for b in range(a + 1, 3):
            for sign in (-1, 1):
                pairs += [(-unit[a], sign * unit[b]), (-sign * unit[b], unit[a])]
    return pairs


def _direct(image: Tensor, point: tuple[int, int, int], radius: int, dilation: int) -> Tensor:
    """D_rs (12,) at one voxel; the border value is repeated."""
    sizes = torch.tensor(image.shape) - 1
    patch = range(-radius, radius + 1)
    offsets = torch.tensor([(i, j, k) for i in patch for j in patch for k in patch]) + torch.tensor(point)

    def read(shift: Tensor) -> Tensor:
        at = torch.minimum((offsets + shift).clamp(min=0), sizes)
        return image[at[:, 0], at[:, 1], at[:, 2]]

    return torch.stack([(read(r) - read(s)).square().mean() for r, s in _neighbors(dilation)])


def test_the_pairs_are_all_neighbors_that_are_the_square_root_of_two_apart() -> None:
    pairs = _neighbors(1)
    assert {int((r - s).square().sum()) for r, s in pairs} == {2}
    assert len({frozenset((tuple(r.tolist()), tuple(s.tolist()))) for r, s in pairs}) == CHANNELS


@pytest.mark.parametrize(("radius", "dilation"), [(0, 1), (1, 2), (2, 2), (1, 3)])
def test_descriptors_are_those_of_the_formula(radius: int, dilation: int) -> None:
    image = textures((9, 10, 8), count=1)[0]
    found = mind_ssc(image, radius=radius, dilation=dilation)
    assert found.shape == (1, CHANNELS, 9, 10, 8)
    for point in ((radius, radius, radius), (3, 4, 5), (8 - radius, 5, 2), (4, 9 - radius, 7 - radius)):
        distances = _direct(image[0, 0], point, radius, dilation)
        distances = distances - distances.min()
        expected = torch.exp(-distances / distances.mean())
        torch.testing.assert_close(found[(0, slice(None), *point)], expected)


def test_the_most_similar_pair_has_the_value_one_and_none_is_zero() -> None:
    features = MindSsc().features(textures((7, 6, 8), count=1)[0])
    torch.testing.assert_close(features.amax(1), torch.ones(1, 7, 6, 8, dtype=torch.float64))
    assert float(features.min()) > 0


@pytest.mark.parametrize(("scale", "offset"), [(3.0, 0.0), (1.0, -5.0), (-1.0, 1.0), (-40.0, 7.0)])
def test_brightness_contrast_and_inversion_change_nothing(scale: float, offset: float) -> None:
    image = textures((8, 9, 7), count=1)[0]
    torch.testing.assert_close(mind_ssc(scale * image + offset), mind_ssc(image), rtol=1e-6, atol=1e-9)


def test_a_monotone_change_of_the_intensities_counts_little() -> None:
    other, image = textures((12, 11, 10))
    for changed in ((0.2 + image).sqrt(), 1 - image**1.5):
        assert float(MindSsc()(changed, image)) < 0.2 * float(MindSsc()(other, image))


def test_the_value_is_the_mean_square_of_the_difference_of_descriptors() -> None:
    warped, fixed = textures((7, 8, 6))
    squared = (mind_ssc(warped) - mind_ssc(fixed)) ** 2
    torch.testing.assert_close(MindSsc()(warped, fixed), squared.mean())
    mask = torch.zeros_like(fixed)
    mask[:, :, 2:5, 1:6, 3:] = 1
    torch.testing.assert_close(MindSsc()(warped, fixed, mask), squared[:, :, 2:5, 1:6, 3:].mean())
    assert float(MindSsc()(warped, fixed, torch.zeros_like(mask))) == 0.0


def test_a_region_of_one_value_gives_numbers_and_a_gradient() -> None:
    image, fixed = textures((9, 8, 10))
    image[:, :, 2:] = 0.4
    leaf = image.requires_grad_(True)
    value = MindSsc()(leaf, fixed)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(leaf.grad).all()
    assert torch.equal(mind_ssc(torch.zeros_like(fixed)), torch.ones(1, CHANNELS, 9, 8, 10, dtype=torch.float64))


def test_an_image_smaller_than_the_neighborhood_has_descriptors() -> None:
    image = textures((3, 3, 3), count=1)[0][:, :, :, :1, :2]
    assert torch.isfinite(mind_ssc(image, radius=2, dilation=2)).all()


def test_the_gradient_agrees_with_finite_differences() -> None:
    warped, fixed = textures((5, 6, 4))
    check_gradient(lambda a, b: MindSsc(radius=0, dilation=1)(a, b), [warped, fixed])


@pytest.mark.parametrize(("radius", "dilation"), [(-1, 2), (1, 0)])
def test_a_radius_or_dilation_that_makes_no_sense_is_refused(radius: int, dilation: int) -> None:
    with pytest.raises(ValueError, match=f"got {radius} and {dilation}"):
        MindSsc(radius, dilation)


def test_an_image_of_two_channels_is_refused() -> None:
    check_refuses(mind_ssc, [torch.zeros(1, 2, 4, 4, 4)], r"needs a \(N, 1, i, j, k\) image")
