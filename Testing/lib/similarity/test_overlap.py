"""Soft Dice: values by hand, its range, its gradient."""

from __future__ import annotations

import pytest
import torch

from SpatialRegularizationLib.measures.overlap import dice_per_label, mean_over_labels
from SpatialRegularizationLib.similarity.overlap import one_hot, soft_dice_loss


def labels(seed: int) -> torch.Tensor:
    return torch.randint(0, 4, (1, 1, 6, 5, 4), generator=torch.Generator().manual_seed(seed))


def test_it_is_one_minus_the_mean_dice_of_hard_labels() -> None:
    a, b = labels(0), labels(1)
    expected = 1 - mean_over_labels(dice_per_label(a[0, 0], b[0, 0], [1, 2, 3]))
    assert float(soft_dice_loss(one_hot(a, [1, 2, 3]), one_hot(b, [1, 2, 3]))) == pytest.approx(expected, abs=1e-5)


def test_equal_labels_cost_nothing_and_disjoint_ones_all() -> None:
    a = labels(2)
    assert float(soft_dice_loss(one_hot(a, [1, 2]), one_hot(a, [1, 2]))) == pytest.approx(0, abs=1e-5)
    assert float(soft_dice_loss(one_hot(a, [1]), one_hot(a, [2]))) == 1


def test_labels_absent_from_both_images_do_not_count() -> None:
    a, b = labels(3), labels(4)
    few, many = ([1, 2, 3], [1, 2, 3, 77])
    assert torch.equal(soft_dice_loss(one_hot(a, few), one_hot(b, few)), soft_dice_loss(one_hot(a, many), one_hot(b, many)))
    assert float(soft_dice_loss(one_hot(a, [77]), one_hot(b, [77]))) == 0


def test_its_gradient_is_that_of_the_formula() -> None:
    warped = torch.rand(1, 2, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    fixed = one_hot(labels(5)[..., :3, :3, :3], [1, 2], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: soft_dice_loss(x, fixed), warped)
