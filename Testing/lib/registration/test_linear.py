"""Rigid and affine alone: the pose that was put in comes out as an exact linear transform, and nothing else is made."""

from __future__ import annotations

from dataclasses import replace

import bending
import numpy as np
import physical
import pytest
import torch

from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform, Volume
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.measures.affine_part import AffinePart
from SpatialRegularizationLib.registration import optimize, working_pair
from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.registration.preview import PairPreview
from SpatialRegularizationLib.registration.progress import Progress
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.registration.session import PairSession
from SpatialRegularizationLib.registration.settings import OF_THE_DEFORMATION, RegistrationSettings, obstacle_of, setting_names
from SpatialRegularizationLib.transforms.mapping import transform_points

GRID = bending.cube(30, 3.2)
FIXED = bending.image(GRID)
LINEAR = {name: replace(PRESETS[name], threads=1, device="cpu") for name in ("rigid", "affine")}


def pose(stretch: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """4x4: some degrees about the middle, and a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = physical.rotation(0.08, -0.06, 0.1) @ np.diag(stretch)
    matrix[:3, 3] = physical.CENTER - matrix[:3, :3] @ physical.CENTER + np.array([5.0, -4.0, 3.0])
    return matrix


def moved(matrix: np.ndarray) -> Volume:
    """The fixed image somewhere else: B is the matrix."""
    return Volume(FIXED.data, Grid.from_affine(matrix @ GRID.affine, GRID.shape))


def stretched(matrix: np.ndarray) -> Volume:
    """The anatomy seen through the inverse of a matrix, on the same grid: B is the matrix."""
    back = np.linalg.inv(matrix)
    points = physical.voxel_centers(GRID) @ back[:3, :3].T + back[:3, 3]
    return Volume(torch.from_numpy(bending.anatomy(points)).float()[None], GRID)


def off(found: Registration, matrix: np.ndarray) -> float:
    """Mean distance to the truth in the body, mm."""
    points = bending.points_of()
    there = points @ matrix[:3, :3].T + matrix[:3, 3]
    return float(np.linalg.norm(transform_points(found.transform, points) - there, axis=1).mean())


@pytest.fixture(scope="module")
def rigid() -> Registration:
    points = bending.points_of(20)
    there = points @ pose()[:3, :3].T + pose()[:3, 3]
    labels = bending.labels(GRID)
    companions = Companions(
        fixed_labels=labels, moving_labels=Volume(labels.data, moved(pose()).grid), fixed_points=points, moving_points=there
    )
    return register(FIXED, moved(pose()), LINEAR["rigid"], companions=companions)


def test_a_known_pose_comes_out_as_an_exact_rigid_map(rigid: Registration) -> None:
    assert off(rigid, pose()) < 0.5
    assert rigid.transform.is_affine
    assert np.array_equal(rigid.transform.affine_matrix, rigid.affine)
    linear = rigid.affine[:3, :3]
    assert np.allclose(linear.T @ linear, np.eye(3), atol=1e-9)
    true = AffinePart.of(pose(), GRID.center)
    found = AffinePart.of(rigid.affine, GRID.center)
    assert found.rotation_degrees == pytest.approx(true.rotation_degrees, abs=0.5)


def test_the_inverse_is_exact(rigid: Registration) -> None:
    points = physical.inner_points(GRID, margin=-40)
    back = transform_points(rigid.inverse_transform, transform_points(rigid.transform, points))
    assert np.abs(back - points).max() < 1e-9


def test_there_is_no_map_of_a_deformation_and_the_figures_are_those_that_apply(rigid: Registration) -> None:
    assert rigid.displacement is rigid.inverse is rigid.lambda_map is rigid.jacobian is None
    assert rigid.history == ()
    assert rigid.model == {}
    figures = rigid.figures
    assert figures.folding_percent is figures.sd_log_j is figures.inverse_residual_mm is None
    assert figures.similarity_after > figures.similarity_before
    assert figures.dice_after["mean"] > figures.dice_before["mean"] + 0.05
    assert figures.tre_after_mm["mean"] < 0.5 < figures.tre_before_mm["mean"]
    assert rigid.warped.grid == GRID
    assert float((rigid.warped.data - FIXED.data).abs().mean()) < 12


def test_affine_finds_a_stretch_that_rigid_leaves() -> None:
    truth = pose((1.06, 0.95, 1.0))
    moving = stretched(truth)
    found = {name: off(register(FIXED, moving, settings), truth) for name, settings in LINEAR.items()}
    assert found["affine"] < 0.8 < found["rigid"]


def test_other_contrasts_are_no_hindrance() -> None:
    moving = moved(pose())
    assert off(register(FIXED, moving.with_data(900 - moving.data), LINEAR["rigid"]), pose()) < 1.0


def test_no_working_lattice_is_made_and_nothing_descends(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    inner = working_pair.read_through

    def note(volume: Volume, grid: Grid, *rest: object, **more: object) -> torch.Tensor:
        seen.append(grid.shape)
        return inner(volume, grid, *rest, **more)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to descend")

    monkeypatch.setattr(working_pair, "read_through", note)
    monkeypatch.setattr(optimize, "descend", never)
    monkeypatch.setattr("SpatialRegularizationLib.registration.linear.SCORED_VOXELS", 4000)
    monkeypatch.setattr("SpatialRegularizationLib.registration.register.judged", lambda _, found, **__: found)
    register(FIXED, FIXED, LINEAR["rigid"])
    assert seen
    assert max(np.prod(shape) for shape in seen) < 0.5 * np.prod(GRID.shape)


def test_two_runs_are_equal_to_the_last_bit_and_the_progress_never_falls(rigid: Registration) -> None:
    told: list[Progress] = []
    again = register(FIXED, moved(pose()), LINEAR["rigid"], monitor=told.append)
    assert np.array_equal(again.affine, rigid.affine)
    assert torch.equal(again.warped.data, rigid.warped.data)
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert max(p.fraction for p in told if p.stage == "affine start") == pytest.approx(0.9)


def test_an_initial_transform_is_the_start_and_without_an_affine_stage_the_result() -> None:
    found = register(FIXED, moved(pose()), replace(LINEAR["rigid"], affine="none"), initial=SpatialTransform(pose()))
    assert np.array_equal(found.affine, pose())
    assert float((found.warped.data - FIXED.data).abs().max()) < 1e-2


BENT = SpatialTransform(displacement=DisplacementField.zeros(GRID))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"settings": replace(LINEAR["rigid"], affine="none")}, "There is nothing to find where both affine and deformable are"),
        ({"initial": BENT}, "The initial transform bends, and nothing is to deform"),
        ({"model": "no-matter-which"}, "A model answers with a deformation, and nothing is to deform"),
    ],
)
def test_what_contradicts_a_linear_result_is_refused_at_once(more: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        register(FIXED, FIXED, **({"settings": LINEAR["rigid"]} | more), monitor=lambda _: pytest.fail("nothing is begun"))


def test_there_is_nothing_to_preview() -> None:
    with pytest.raises(ValueError, match="Live updates show what the weight of a deformation changes, and nothing is to deform"):
        PairPreview(FIXED, FIXED, LINEAR["affine"])
    with pytest.raises(ValueError, match="A model answers with a deformation"):
        PairSession(FIXED, FIXED, "no-matter-which", LINEAR["affine"])


def test_what_has_no_effect_beside_a_linear_result_is_known() -> None:
    chosen = vars(LINEAR["rigid"])
    idle = {name for name in setting_names() if obstacle_of(name, chosen) == ("deformable", ("on",))}
    assert set(OF_THE_DEFORMATION) < idle
    assert {"lambda_max", "alpha_prime", "sigma_prime", "lambda_floor"} <= idle
    for name in ("affine", "deformable", "similarity", "intensity", "seed", "device", "threads"):
        assert obstacle_of(name, chosen) is None, name
    assert obstacle_of("lncc_window", chosen) == ("similarity", ("lncc",))
    usual = vars(RegistrationSettings())
    assert obstacle_of("lambda_max", usual) is None
    assert obstacle_of("sigma_prime", usual) == ("prior", ("gaussian",))
