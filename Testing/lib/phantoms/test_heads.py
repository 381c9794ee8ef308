"""The synthetic heads: plausible, repeatable, and related by exactly the deformation they claim."""

from __future__ import annotations

import pytest
import torch

from analytic import determinant
from SpatialRegularizationLib.fields.sampling import sample_linear, sample_nearest
from SpatialRegularizationLib.geometry import Volume
from SpatialRegularizationLib.phantoms.heads import LABELS, PhantomPair, known_deformation, two_subjects

SHAPE = (64, 72, 64)
BRAIN = (4, 5, 6, 7, 8, 9, 10, 12, 13)

PLAUSIBLE_ML = {
    "scalp and face": (700, 2500),
    "skull": (400, 1000),
    "outer CSF": (150, 700),
    "ventricles": (10, 120),
    "cortex": (400, 800),
    "white matter": (350, 700),
    "caudate": (5, 16),
    "putamen": (5, 16),
    "pallidum": (1.5, 6),
    "thalamus": (7, 20),
    "hippocampus": (2, 10),
    "cerebellum": (90, 200),
    "brainstem": (20, 60),
}


@pytest.fixture(scope="module")
def subjects() -> PhantomPair:
    return two_subjects(SHAPE)


@pytest.fixture(scope="module")
def known() -> PhantomPair:
    return known_deformation(SHAPE, largest_mm=10.0)


def _seen_from_fixed(volume: Volume, pair: PhantomPair, *, displaced: bool) -> torch.Tensor:
    """A moving volume at the fixed voxel centers, with or without the true displacement."""
    grid = pair.fixed.grid
    index = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float64) for n in grid.shape])
    points = torch.from_numpy(grid.index_to_point(index.numpy()))
    if displaced:
        points = points + pair.displacement.vectors.flatten(1).T.double()
    coordinates = torch.from_numpy(volume.grid.point_to_index(points.numpy())).T.reshape(1, 3, *grid.shape)
    if volume.data.is_floating_point():
        return sample_linear(volume.data[None].double(), coordinates)[0]
    return sample_nearest(volume.data[None], coordinates, fill=0)[0]


def _dice(a: torch.Tensor, b: torch.Tensor) -> float:
    scores = [2.0 * ((a == n) & (b == n)).sum() / ((a == n).sum() + (b == n).sum()) for n in BRAIN]
    return float(sum(scores) / len(scores))


@pytest.mark.parametrize("side", ["fixed_labels", "moving_labels"])
def test_every_structure_has_a_plausible_volume(subjects: PhantomPair, side: str) -> None:
    labels = getattr(subjects, side)
    voxel_ml = labels.grid.spacing[0] * labels.grid.spacing[1] * labels.grid.spacing[2] / 1000
    for number, name in LABELS.items():
        low, high = PLAUSIBLE_ML[name]
        assert low < float((labels.data == number).sum()) * voxel_ml < high, name


def test_tissues_are_ordered_as_in_a_t1_weighted_image(subjects: PhantomPair) -> None:
    image, labels = subjects.fixed.data, subjects.fixed_labels.data
    mean = {name: float(image[labels == number].mean()) for number, name in LABELS.items()}
    assert mean["white matter"] > mean["thalamus"] > mean["cortex"] > mean["ventricles"] > 0
    assert torch.isfinite(image).all()
    assert image.dtype == torch.float32
    assert labels.dtype == torch.int32


def test_the_same_seed_gives_the_same_heads_and_another_seed_others() -> None:
    small = (24, 28, 24)
    first, again, other = two_subjects(small), two_subjects(small), two_subjects(small, seed=5)
    assert torch.equal(first.fixed.data, again.fixed.data)
    assert torch.equal(first.moving_labels.data, again.moving_labels.data)
    assert not torch.equal(first.fixed_labels.data, other.fixed_labels.data)


def test_two_subjects_overlap_enough_to_be_registered_and_too_little_to_be_done(subjects: PhantomPair) -> None:
    moving = _seen_from_fixed(subjects.moving_labels, subjects, displaced=False)
    assert 0.35 < _dice(moving, subjects.fixed_labels.data) < 0.75
    assert subjects.displacement is None


def test_the_headers_of_a_pair_differ_in_orientation_and_field_of_view(subjects: PhantomPair) -> None:
    fixed, moving = subjects.fixed.grid, subjects.moving.grid
    assert fixed.direction != moving.direction
    assert fixed.shape != moving.shape


def test_the_known_deformation_carries_the_moving_head_onto_the_fixed_one(known: PhantomPair) -> None:
    before = _dice(_seen_from_fixed(known.moving_labels, known, displaced=False), known.fixed_labels.data)
    after = _dice(_seen_from_fixed(known.moving_labels, known, displaced=True), known.fixed_labels.data)
    assert after > 0.83, "what is left is the size of a voxel"
    assert after > before + 0.1
    inside = known.fixed_labels.data > 0
    warped = _seen_from_fixed(known.moving, known, displaced=True)
    pairs = torch.stack([warped[inside], known.fixed.data.double()[inside]])
    assert float(torch.corrcoef(pairs)[0, 1]) > 0.93


def test_the_known_deformation_does_not_fold_and_has_the_size_asked_for(known: PhantomPair) -> None:
    u = known.displacement.to_voxels().double()
    jacobian = torch.stack([torch.stack(torch.gradient(u[c])) for c in range(3)])
    assert float(determinant(jacobian).min()) > 0.3
    assert 7.0 < float(known.displacement.magnitude().max()) < 13.0


@pytest.mark.parametrize("largest_mm", [0.0, -3.0, 25.0, float("nan")])
def test_a_deformation_that_would_tear_the_head_is_refused(largest_mm: float) -> None:
    with pytest.raises(ValueError, match=r"largest_mm must be in \(0, 20\]"):
        known_deformation(SHAPE, largest_mm=largest_mm)
