"""What TM-SPR (Chen et al., Medical Image Analysis 2025) claims or implies, as equalities."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conformance import displacement, weights
from SpatialRegularizationLib.fields.sampling import compose
from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.priors.gaussian import GaussianPrior
from SpatialRegularizationLib.priors.uniform import UniformPrior
from SpatialRegularizationLib.regularizers.diffusion import WeightEnd, gradient_energy, weighted_diffusion

SHAPE = (5, 6, 4)
VOXELS = 120


def _sum_form(u: Tensor, lambda_map: Tensor) -> Tensor:
    """Eq. 12 as printed: Σ_p λ(p) |∇u(p)|², forward differences, a sum over voxels, axes and components."""
    padded = F.pad(u, (0, 1, 0, 1, 0, 1), mode="replicate")  # no difference across the end of an axis
    squares = [(padded.narrow(2 + a, 1, u.shape[2 + a])[_inner(a)] - u).square().sum(1, keepdim=True) for a in range(3)]
    return (lambda_map * sum(squares)).sum()


def _inner(axis: int) -> tuple[slice, ...]:
    """All but the added plane of the other axes."""
    return (slice(None), slice(None), *(slice(None) if a == axis else slice(0, -1) for a in range(3)))


def _released_form(u: Tensor, w: Tensor) -> list[Tensor]:
    """Per axis, mean of w(q + e_a) (u(q + e_a) - u(q))² over components and existing differences."""
    return [(w.narrow(2 + a, 1, w.shape[2 + a] - 1) * u.diff(dim=2 + a) ** 2).mean() for a in range(3)]


def test_sums_are_nine_times_the_number_of_voxels_of_the_means() -> None:
    u, lambda_map = displacement(SHAPE), weights(SHAPE)
    torch.testing.assert_close(_sum_form(u, lambda_map), 9 * VOXELS * weighted_diffusion(u, lambda_map))


def test_the_weighted_laplacian_gives_the_population_prior() -> None:
    """Eqs. 8-12: tr(uᵀ Λ u) with one edge of weight λ(p) from p to each of its forward neighbors."""
    u, lambda_map = displacement((3, 2, 4)), weights((3, 2, 4))
    index = torch.arange(24).view(3, 2, 4)
    laplacian = torch.zeros(24, 24, dtype=torch.float64)
    for axis in range(3):
        near = index.narrow(axis, 0, index.shape[axis] - 1).flatten()
        far = index.narrow(axis, 1, index.shape[axis] - 1).flatten()
        for p, q in zip(near.tolist(), far.tolist(), strict=True):
            edge = lambda_map.flatten()[p]
            laplacian[p, p] += edge
            laplacian[q, q] += edge
            laplacian[p, q] -= edge
            laplacian[q, p] -= edge
    columns = u[0].flatten(1).T
    quadratic = torch.trace(columns.T @ laplacian @ columns)
    torch.testing.assert_close(quadratic, 9 * 24 * weighted_diffusion(u, lambda_map))


def test_the_released_mean_is_the_far_end_over_the_existing_differences() -> None:
    u, w = displacement(SHAPE), weights(SHAPE)
    per_axis = _released_form(u, w)
    ours = weighted_diffusion(u, w, end=WeightEnd.FAR)
    exact = sum((n - 1) / n * part for n, part in zip(SHAPE, per_axis, strict=True)) / 3
    torch.testing.assert_close(ours, exact)
    assert float(ours) < float(sum(per_axis) / 3)


def test_the_far_end_is_the_near_end_seen_in_a_mirror() -> None:
    u, lambda_map = displacement(SHAPE), weights(SHAPE)
    mirrored = weighted_diffusion(u.flip(2, 3, 4), lambda_map.flip(2, 3, 4))
    torch.testing.assert_close(weighted_diffusion(u, lambda_map, end=WeightEnd.FAR), mirrored)
    assert abs(float(mirrored / weighted_diffusion(u, lambda_map)) - 1) > 1e-4


def test_both_ends_agree_where_the_weight_is_the_same_everywhere() -> None:
    u = displacement(SHAPE)
    constant = torch.full_like(weights(SHAPE), 0.3)
    near, far = (weighted_diffusion(u, constant, end=end) for end in WeightEnd)
    torch.testing.assert_close(near, far)
    torch.testing.assert_close(near, weighted_diffusion(u, UniformPrior(0.3).optimal_lambda(gradient_energy(u))))


def test_raising_the_largest_weight_alone_lowers_the_relative_weight() -> None:
    energy = gradient_energy(displacement(SHAPE))[..., :-1, :-1, :-1]
    relative = [BetaPrior(m, 0.03).optimal_lambda(energy) / m for m in (0.2, 1.0, 5.0)]
    for lower, higher in zip(relative[1:], relative[:-1], strict=True):
        assert (lower <= higher).all()
        assert float(lower.mean()) < float(higher.mean())
    unsaturated = relative[1] < 1  # there λ itself no longer depends on λmax
    torch.testing.assert_close(relative[1][unsaturated], 5 * relative[2][unsaturated])


def test_a_larger_alpha_pushes_the_weight_to_its_largest_value() -> None:
    energy = gradient_energy(displacement(SHAPE))
    maps = [BetaPrior(1.0, a).optimal_lambda(energy) for a in (0.001, 0.03, 1e3)]
    assert (maps[0] <= maps[1]).all()
    assert (maps[1] <= maps[2]).all()
    torch.testing.assert_close(maps[2], torch.ones_like(energy))


def test_the_beta_prior_is_a_cross_entropy_with_target_one() -> None:
    w = weights(SHAPE)
    expected = 0.3 * F.binary_cross_entropy(w, torch.ones_like(w))
    torch.testing.assert_close(BetaPrior(2.0, 0.3)(2.0 * w), expected)


def test_only_the_relative_weight_enters_the_priors() -> None:
    w = weights(SHAPE)
    torch.testing.assert_close(BetaPrior(5.0, 0.1)(5.0 * w), BetaPrior(0.2, 0.1)(0.2 * w))
    torch.testing.assert_close(GaussianPrior(5.0, 0.1)(5.0 * w), GaussianPrior(0.2, 0.1)(0.2 * w))


@pytest.mark.parametrize("prior", [BetaPrior(1.0, 0.03), GaussianPrior(1.0, 0.05)])
def test_for_a_given_displacement_the_map_is_better_than_any_uniform_weight(prior) -> None:
    u = displacement(SHAPE)

    def total(lambda_map: Tensor) -> float:
        return float(weighted_diffusion(u, lambda_map) + prior(lambda_map))

    best = prior.optimal_lambda(gradient_energy(u))
    uniform = [total(torch.full_like(best, float(w))) for w in torch.linspace(0.01, 1, 100)]
    assert total(best) < min(uniform)


def test_increments_of_the_time_loop_are_composed_and_not_added() -> None:
    increments = [displacement(SHAPE), displacement(SHAPE).flip(3)]
    constant = [torch.ones_like(increments[0]), 0.5 * torch.ones_like(increments[0])]
    torch.testing.assert_close(compose(*constant), constant[0] + constant[1])
    assert float((compose(*increments) - sum(increments)).abs().max()) > 0.1
