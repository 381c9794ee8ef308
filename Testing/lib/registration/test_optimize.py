"""Descent on tensors: the energy falls, levels keep images in place, masks follow the motion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from SpatialRegularizationLib.fields.resize import gaussian_smooth
from SpatialRegularizationLib.fields.sampling import voxel_coordinates, warp
from SpatialRegularizationLib.models.free import Adam, Free
from SpatialRegularizationLib.objective import NonFiniteEnergyError, Objective
from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.priors.uniform import UniformPrior
from SpatialRegularizationLib.registration.optimize import Descent, descend
from SpatialRegularizationLib.registration.working_pair import TensorPair, level_shape
from SpatialRegularizationLib.regularizers.diffusion import WeightedDiffusion
from SpatialRegularizationLib.regularizers.edges import EdgeDiffusion, edge_shares
from SpatialRegularizationLib.similarity.mse import Mse
from SpatialRegularizationLib.transforms.diffeomorphism import displacement_of

SHAPE = (20, 18, 16)
OBJECTIVE = Objective(Mse(), WeightedDiffusion(), BetaPrior(0.02, 0.001))


def texture(shape: tuple[int, ...]) -> torch.Tensor:
    """Smooth random image (1, 1, *shape) in [0, 1]."""
    image = gaussian_smooth(torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(4)), (1.8,) * 3)
    return (image - image.min()) / (image.max() - image.min())


def moved_pair(margin: int = 3) -> tuple[TensorPair, torch.Tensor]:
    """A moving image that reaches `margin` voxels beyond the fixed one, and the u that makes fixed of it."""
    moving = texture(tuple(n + 2 * margin for n in SHAPE))
    x = voxel_coordinates(SHAPE)
    middle = torch.tensor([(n - 1) / 2 for n in SHAPE]).view(3, 1, 1, 1)
    bump = torch.exp(-((x - middle) ** 2).sum(0) / 40)
    u = (torch.tensor([1.8, -1.4, 1.0]).view(3, 1, 1, 1) * bump)[None]
    offset = (float(margin),) * 3
    return TensorPair(warp(moving, u, offset=offset), moving, offset), u


def run(pair: TensorPair, descent: Descent, **options) -> tuple[Free, list[dict[str, float]]]:
    free = Free(torch.zeros(1, 3, *SHAPE), OBJECTIVE.prior.optimal_lambda)
    return free, descend(free, pair, OBJECTIVE, descent, **options)


def test_the_energy_falls_and_the_displacement_is_found() -> None:
    pair, u = moved_pair()
    free, history = run(pair, Descent(40))
    assert history[-1]["similarity"] < 0.1 * history[0]["similarity"]
    assert history[-1]["total"] < 0.5 * history[0]["total"]
    found = displacement_of(free.velocity.detach(), SHAPE)
    strong = u.norm(dim=1, keepdim=True) > 0.8
    rest = (found - u).norm(dim=1, keepdim=True)[strong].mean() / u.norm(dim=1, keepdim=True)[strong].mean()
    assert rest < 0.35


def test_every_step_is_told_and_returned() -> None:
    told = []
    _, history = run(moved_pair()[0], Descent(5), on_step=lambda step, energies: told.append((step, energies["total"])))
    assert [step for step, _ in told] == [0, 1, 2, 3, 4]
    assert [total for _, total in told] == [energies["total"] for energies in history]


def test_a_level_ends_early_where_nothing_is_gained() -> None:
    pair, _ = moved_pair()
    assert len(run(pair, Descent(200, tolerance=0.05))[1]) < 150
    assert len(run(pair, Descent(60, tolerance=0.0))[1]) == 60


def test_no_steps_leave_the_velocity_alone() -> None:
    free, history = run(moved_pair()[0], Descent(0))
    assert history == []
    assert not free.velocity.any()


def test_a_voxel_that_is_not_a_number_stops_the_descent_with_the_term() -> None:
    pair, _ = moved_pair()
    broken = pair.fixed.clone()
    broken[..., 3] = float("nan")
    with pytest.raises(NonFiniteEnergyError, match="The similarity term of the energy is nan"):
        run(replace(pair, fixed=broken), Descent(3))


def test_what_lies_outside_of_the_mask_changes_nothing() -> None:
    pair, _ = moved_pair()
    mask = torch.zeros(1, 1, *SHAPE)
    mask[:, :, :10] = 1
    other = pair.fixed.clone()
    other[:, :, 10:] = torch.rand_like(other[:, :, 10:])
    one, two = (run(replace(pair, fixed=f, mask=mask), Descent(8))[0].velocity for f in (pair.fixed, other))
    assert torch.equal(one, two)


def test_a_voxel_weighs_as_much_against_the_regularization_with_a_mask_as_without() -> None:
    pair, _ = moved_pair()
    mask = torch.zeros(1, 1, *SHAPE)
    mask[:, :, :5] = 1
    (_, everywhere), (_, masked) = run(pair, Descent(1)), run(replace(pair, mask=mask), Descent(1))
    (_, rest) = run(replace(pair, mask=1 - mask), Descent(1))
    assert masked[0]["similarity"] + rest[0]["similarity"] == pytest.approx(everywhere[0]["similarity"], rel=1e-5)


def test_the_moving_mask_follows_the_motion() -> None:
    """u = +3 along the first axis reads the moving mask three voxels further on."""
    pair, _ = moved_pair(margin=0)
    inside = torch.zeros_like(pair.moving)
    inside[:, :, 9:] = 1
    u = torch.zeros(1, 3, *SHAPE)
    u[:, 0] = 3
    resting, moved = (replace(pair, moving_mask=inside).weight(v)[0, 0, :, 5, 5] for v in (torch.zeros_like(u), u))
    assert resting.tolist() == [0.0] * 9 + [1.0] * 11
    assert moved.tolist() == [0.0] * 6 + [1.0] * 11 + [0.0] * 3  # beyond the moving image nothing counts


def test_both_masks_must_hold_and_none_means_everywhere() -> None:
    pair, _ = moved_pair(margin=2)
    u = torch.zeros(1, 3, *SHAPE)
    assert pair.weight(u) is None
    fixed, moving = torch.zeros_like(pair.fixed), torch.zeros_like(pair.moving)
    fixed[:, :, :8], moving[:, :, 6:] = 1, 1  # the moving mask starts at fixed voxel 4
    weight = replace(pair, mask=fixed, moving_mask=moving).weight(u)
    assert weight[0, 0, :, 4, 4].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 12


@pytest.mark.parametrize("factor", [1.3, 2.0, 3.7])
def test_a_coarser_level_shows_both_images_at_the_same_place(factor: float) -> None:
    """Both images hold a linear ramp: then averaging changes nothing and positions can be read off."""
    shape, margin = (25, 21, 17), 5
    ramp = voxel_coordinates(tuple(n + 2 * margin for n in shape)).sum(0)[None, None]
    inner = tuple(slice(margin, margin + n) for n in shape)
    pair = TensorPair(ramp[(slice(None), slice(None), *inner)], ramp, (float(margin),) * 3, extent=(1.0, 2.0, 3.0))
    level = pair.at_level(factor)
    assert tuple(level.fixed.shape[2:]) == level_shape(shape, factor)
    assert level.extent == pair.extent
    difference = warp(level.moving, torch.zeros(1, 3, *level.fixed.shape[2:]), offset=level.offset) - level.fixed
    assert float(difference[..., 2:-2, 2:-2, 2:-2].abs().max()) < 1e-3


def test_the_full_level_is_the_pair_itself() -> None:
    pair, _ = moved_pair()
    assert pair.at_level(1.0) is pair


def test_thin_axes_keep_eight_voxels_or_what_they_have() -> None:
    assert level_shape((65, 33, 5), 8) == (9, 8, 5)
    assert level_shape((65, 64, 1), 2) == (33, 33, 1)


def test_adam_takes_the_steps_of_pytorch() -> None:
    start = torch.randn(3, 4, dtype=torch.float64)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    adam, reference = Adam(ours, 0.1), torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.99), eps=1e-12)
    for _ in range(20):
        adam.step(4 * ours**3 - ours)
        theirs.grad = (4 * theirs**3 - theirs).detach()
        reference.step()
    assert torch.allclose(ours, theirs.detach(), rtol=0, atol=1e-9)


def test_organs_that_slide_are_found_better_where_edges_take_weight() -> None:
    """Two halves of unlike brightness, one of which moves along their border."""
    margin, middle = 3, SHAPE[0] // 2
    moving = 0.5 * texture(tuple(n + 2 * margin for n in SHAPE))
    moving[:, :, middle + margin :] += 0.5
    u = torch.zeros(1, 3, *SHAPE)
    u[0, 2, middle:] = 1.5
    offset = (float(margin),) * 3
    pair = TensorPair(warp(moving, u, offset=offset), moving, offset)
    errors = []
    for relief in (0.0, 0.9):
        prior = UniformPrior(0.02)
        regularizer = EdgeDiffusion(edge_shares(pair.fixed, SHAPE, relief=relief))
        free = Free(torch.zeros(1, 3, *SHAPE), prior.optimal_lambda)
        descend(free, pair, Objective(Mse(), regularizer, prior), Descent(60))
        errors.append(float((displacement_of(free.velocity.detach(), SHAPE) - u).norm(dim=1).mean()))
    assert errors[1] < 0.85 * errors[0]
