"""The Swin encoder: which tokens see which, and the shapes of its levels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from SpatialRegularizationLib.networks.swin import SwinEncoder, SwinSettings, _Block, _shift_mask, relative_position

SETTINGS = SwinSettings(channels=8, patch=2, depths=(2, 2, 2), heads=(2, 2, 4), window=(2, 3, 2), drop_path=0.0)


def _touched(shift: tuple[int, int, int], where: tuple[int, int, int], size: tuple[int, int, int] = (6, 6, 6)) -> Tensor:
    """Which tokens of a block change when one token does: (i, j, k) of bool."""
    block = _Block(8, 2, 0.0, SETTINGS).double().eval()
    x = torch.randn(1, *size, 8, dtype=torch.float64)
    changed = x.clone()
    changed[0, where[0], where[1], where[2], 0] += 1
    mask = _shift_mask(size, SETTINGS.window, shift, x) if max(shift) else None
    windows = (shift, mask, relative_position(SETTINGS.window))
    with torch.no_grad():
        difference = (block(changed, None, windows) - block(x, None, windows)).abs().amax(-1)[0]
    return difference > 1e-9


def test_a_token_is_seen_by_its_window_and_by_no_other() -> None:
    expected = torch.zeros(6, 6, 6, dtype=torch.bool)
    expected[2:4, 3:6, 0:2] = True
    assert torch.equal(_touched((0, 0, 0), (3, 4, 1)), expected)


def test_shifted_windows_lie_half_a_window_further() -> None:
    expected = torch.zeros(6, 6, 6, dtype=torch.bool)
    expected[1:3, 1:4, 3:5] = True
    assert torch.equal(_touched((1, 1, 1), (2, 3, 3)), expected)


def test_the_cyclic_shift_does_not_make_the_two_ends_of_an_axis_neighbors() -> None:
    expected = torch.zeros(6, 6, 6, dtype=torch.bool)
    expected[0:1, 0:1, 0:1] = True
    assert torch.equal(_touched((1, 1, 1), (0, 0, 0)), expected)


def test_maps_that_are_no_multiple_of_the_window_keep_their_size() -> None:
    block = _Block(8, 2, 0.0, SETTINGS)
    x = torch.randn(1, 5, 4, 7, 8)
    assert block(x, None, ((0, 0, 0), None, relative_position(SETTINGS.window))).shape == x.shape


def test_the_bias_of_two_tokens_depends_on_their_difference_only() -> None:
    window = (2, 3, 2)
    index = relative_position(window)
    assert index.shape == (12, 12)
    assert len(index.unique()) == 3 * 5 * 3
    positions = torch.cartesian_prod(*[torch.arange(n) for n in window])
    same = (positions[:, None] - positions[None]).view(-1, 3)
    for row in index.unique():
        assert len(same[index.flatten() == row].unique(dim=0)) == 1


def test_the_levels_halve_the_lattice_and_double_the_channels() -> None:
    features = SwinEncoder(SETTINGS)(torch.rand(2, 2, 16, 24, 16))
    assert [tuple(f.shape) for f in features] == [(2, 8, 8, 12, 8), (2, 16, 4, 6, 4), (2, 32, 2, 3, 2)]


@pytest.mark.parametrize(("everywhere", "expected"), [(True, (0, 1, 1)), (False, (0, 0, 0))])
def test_released_networks_do_not_shift_at_all_where_an_axis_of_the_window_is_one_token(
    everywhere: bool, expected: tuple[int, int, int]
) -> None:
    settings = SwinSettings(8, 2, (1, 1, 1), (2, 2, 4), (1, 2, 2), shift_thin_windows=everywhere)
    assert SwinEncoder(settings).levels[0].shift == expected


def test_stochastic_depth_leaves_out_branches_in_training_only() -> None:
    block = _Block(8, 2, 0.5, SETTINGS)
    x = torch.randn(1, 2, 3, 2, 8)
    windows = ((0, 0, 0), None, relative_position(SETTINGS.window))
    training = {round(float(block(x, None, windows).detach().sum()), 4) for _ in range(40)}
    assert len(training) == 4  # each of the two branches in or out
    block.eval()
    assert len({float(block(x, None, windows).detach().sum()) for _ in range(3)}) == 1
