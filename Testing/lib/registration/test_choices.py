"""Names become the objects they stand for."""

from __future__ import annotations

from dataclasses import replace

import bending
import pytest
import torch

from SpatialRegularizationLib.priors.beta import BetaPrior
from SpatialRegularizationLib.priors.gaussian import GaussianPrior
from SpatialRegularizationLib.priors.uniform import UniformPrior
from SpatialRegularizationLib.registration.choices import ComputeChoices, chosen_device, chosen_prior
from SpatialRegularizationLib.registration.prepare import prepare
from SpatialRegularizationLib.registration.progress import Reporter
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.registration.working_pair import TensorPair
from SpatialRegularizationLib.regularizers.diffusion import WeightedDiffusion
from SpatialRegularizationLib.regularizers.edges import EdgeDiffusion
from SpatialRegularizationLib.similarity.lncc import Lncc
from SpatialRegularizationLib.similarity.mse import Mse

SETTINGS = RegistrationSettings(
    device="cpu", lambda_max=2.0, alpha_prime=0.07, lambda_mean=0.6, sigma_prime=0.4, lambda_floor=0.25, lncc_window=5
)


def tensors(shape: tuple[int, int, int] = (12, 11, 10)) -> TensorPair:
    image = torch.rand(1, 1, *shape)
    return TensorPair(image, image.clone(), (0.0,) * 3, extent=(11.0, 10.0, 9.0))


@pytest.mark.parametrize(
    ("name", "prior"),
    [("beta", BetaPrior(2.0, 0.07, 0.25)), ("gaussian", GaussianPrior(0.6, 0.4, 0.25)), ("uniform", UniformPrior(2.0))],
)
def test_a_prior_gets_its_own_parameters(name: str, prior: object) -> None:
    assert chosen_prior(replace(SETTINGS, prior=name)) == prior


@pytest.mark.parametrize(("name", "kind"), [("lncc", Lncc), ("mse", Mse), ("mind", Mse)])
def test_a_similarity_is_chosen_by_name(name: str, kind: type) -> None:
    choices = ComputeChoices.of(replace(SETTINGS, similarity=name))
    assert isinstance(choices.similarity, kind)
    assert (choices.compared is choices.similarity) == (name != "mind")


def test_the_window_reaches_the_similarity() -> None:
    assert ComputeChoices.of(SETTINGS).similarity.window == 5


@pytest.mark.parametrize(("relief", "kind"), [(0.0, WeightedDiffusion), (0.9, EdgeDiffusion)])
def test_edges_take_weight_where_that_is_asked_for(relief: float, kind: type) -> None:
    choices = ComputeChoices.of(replace(SETTINGS, edge_relief=relief))
    regularizer = choices.regularizer(tensors().fixed, (6, 5, 5), (1.0, 1.0, 2.0))
    assert isinstance(regularizer, kind)
    assert regularizer.spacing == (1.0, 1.0, 2.0)
    if relief:
        assert regularizer.shares.shape == (1, 3, 6, 5, 5)


def test_descriptors_replace_the_images_for_mind_alone() -> None:
    pair = tensors()
    assert ComputeChoices.of(SETTINGS).featured(pair) is pair
    described = ComputeChoices.of(replace(SETTINGS, similarity="mind")).featured(pair)
    assert described.fixed.shape == described.moving.shape == (1, 12, 12, 11, 10)
    assert torch.equal(described.fixed, described.moving)
    assert described.offset == pair.offset


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("float64", torch.float64)])
def test_the_precision_is_that_of_the_pair(name: str, dtype: torch.dtype) -> None:
    grid = bending.cube(10, 9.0)
    image = bending.image(grid)
    pair = prepare(image, image, replace(SETTINGS, precision=name, affine="none"), reporter=Reporter(None)).tensors(grid)
    assert pair.fixed.dtype == pair.moving.dtype == dtype


def test_voxel_sizes_are_left_out_where_voxels_are_cubes() -> None:
    assert ComputeChoices.relative_spacing(tensors(), (12, 11, 10)) is None
    assert ComputeChoices.relative_spacing(tensors(), (12, 6, 10)) == (1.0, 2.0, 1.0)
    assert ComputeChoices.relative_spacing(None, (10, 10, 4), bending.cube(10, 3.0)) == (3.0, 3.0, 9.0)


def test_a_small_pair_is_scored_at_its_own_resolution() -> None:
    assert ComputeChoices.scoring_shrink(tensors()) == 1.0
    large = TensorPair(torch.empty(1, 1, 320, 250, 200, device="meta"), torch.empty(0), (0.0,) * 3)
    assert ComputeChoices.scoring_shrink(large) == pytest.approx(2.0)


def test_an_absent_device_is_an_error_and_auto_finds_one() -> None:
    assert chosen_device("cpu").type == "cpu"
    assert chosen_device("auto").type in ("cpu", "cuda")
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if there:
            continue
        with pytest.raises(RuntimeError, match=f"^The device {name} was asked for, .*use cpu or auto"):
            chosen_device(name)
