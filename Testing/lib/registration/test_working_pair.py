"""Two volumes on one lattice: the same place in patient space at the same voxel."""

from __future__ import annotations

import bending
import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.fields.sampling import warp
from SpatialRegularizationLib.geometry import Grid, Volume
from SpatialRegularizationLib.registration.working_pair import MARGIN_MM, TensorPair, working_pair

IDENTITY = np.eye(4)


def made(images, grid: Grid, affine: np.ndarray = IDENTITY, masks=(None, None), dtype=torch.float32) -> TensorPair:
    return working_pair(images, masks, grid, affine, device=torch.device("cpu"), dtype=dtype)


def at_rest(pair: TensorPair, image: torch.Tensor) -> torch.Tensor:
    """The moving image (or mask) at the fixed voxels, without motion: (i, j, k)."""
    return warp(image, torch.zeros(1, 3, *pair.fixed.shape[2:], dtype=image.dtype), offset=pair.offset)[0, 0]


@pytest.mark.parametrize("fixed", ["LPS", "RAS", "LIA", "oblique"])
@pytest.mark.parametrize("moving", ["LPS", "RAS", "oblique left-handed"])
def test_the_same_anatomy_on_two_grids_coincides(fixed: str, moving: str) -> None:
    grid, other = physical.grid(fixed, shape=(24, 22, 20), spacing=(2, 2, 2)), physical.other_grid(moving)
    pair = made((physical.image(grid), physical.image(other)), grid)
    difference = (at_rest(pair, pair.moving) - pair.fixed[0, 0]).abs()
    assert float(difference.mean()) < 0.02 * float(pair.fixed.std())


def test_the_affine_start_is_applied() -> None:
    grid, other = physical.grid("RAS", shape=(20, 18, 16), spacing=(1.5, 1.5, 1.5)), physical.other_grid("LIA")
    points = physical.voxel_centers(grid) @ physical.affine()[:3, :3].T + physical.affine()[:3, 3]
    fixed = Volume(torch.from_numpy(physical.pattern(points))[None].float(), grid)
    pair = made((fixed, physical.image(other)), grid, physical.affine())
    difference = (at_rest(pair, pair.moving) - pair.fixed[0, 0]).abs()
    assert float(difference.mean()) < 0.03 * float(pair.fixed.std())


def test_the_moving_lattice_reaches_beyond_the_fixed_one_as_far_as_there_is_data() -> None:
    grid = bending.cube(10, 4.0)
    for size, margin in ((10, 0), (16, 3), (80, int(MARGIN_MM / 4.0))):
        pair = made((bending.image(grid), bending.image(bending.cube(size, 4.0))), grid)
        assert pair.offset == (float(margin),) * 3
        assert tuple(pair.moving.shape[2:]) == (10 + 2 * margin,) * 3


def test_what_lies_beyond_the_fixed_field_of_view_is_there() -> None:
    grid, wide = bending.cube(12, 4.0), bending.cube(18, 4.0)
    pair = made((bending.image(grid), bending.image(wide)), grid)
    assert torch.allclose(pair.moving[0, 0], bending.image(wide).data[0], atol=0.5)


def test_where_the_moving_image_has_no_data_its_smallest_value_stands() -> None:
    grid, small = bending.cube(16, 4.0), bending.cube(8, 4.0)
    image = bending.image(small)
    image = image.with_data(image.data - 1000)
    pair = made((bending.image(grid), image), grid)
    assert pair.offset == (0.0,) * 3
    assert torch.allclose(pair.moving[0, 0, 0], image.data.min())


def test_masks_lie_with_their_images() -> None:
    grid, other = bending.cube(20, 4.0), physical.grid("oblique", shape=(30, 30, 30), spacing=(3, 3, 3))
    masks = tuple(bending.labels(g).with_data((bending.labels(g).data == 1).to(torch.uint8)) for g in (grid, other))
    pair = made((bending.image(grid), bending.image(other)), grid, masks=masks)
    both = (pair.mask[0, 0] > 0.5), (at_rest(pair, pair.moving_mask) > 0.5)
    assert 2 * int((both[0] & both[1]).sum()) / (int(both[0].sum()) + int(both[1].sum())) > 0.95
    alone = made((bending.image(grid), bending.image(other)), grid)
    assert alone.mask is None
    assert alone.moving_mask is None


def test_the_moving_mask_is_zero_where_there_is_no_moving_image() -> None:
    grid, small = bending.cube(16, 4.0), bending.cube(8, 4.0)
    everywhere = Volume(torch.ones(1, 8, 8, 8, dtype=torch.uint8), small)
    pair = made((bending.image(grid), bending.image(small)), grid, masks=(None, everywhere))
    assert int(pair.moving_mask.sum()) == 8**3


def test_a_coarse_lattice_keeps_the_end_voxels_and_its_length() -> None:
    grid = bending.cube(21, 3.0)
    coarse = grid.resized((11, 11, 11))
    pair = made((bending.image(grid), bending.image(grid)), coarse, dtype=torch.float64)
    assert pair.fixed.dtype == pair.moving.dtype == torch.float64
    assert tuple(pair.fixed.shape[2:]) == (11, 11, 11)
    assert pair.extent == pytest.approx(grid.extent)
    assert float((at_rest(pair, pair.moving) - pair.fixed[0, 0]).abs().max()) < 0.05 * float(pair.fixed.max())
