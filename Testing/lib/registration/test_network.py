"""A network's answer in patient space: the closed form of `known_model.py`, whatever the images' storage, spacing and pose."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import bending
import numpy as np
import physical
import pytest
import torch
from bending import FAST
from known_model import Known, KnownSettings, card_of

from SpatialRegularizationLib.fields.sampling import voxel_coordinates
from SpatialRegularizationLib.geometry import DisplacementField, Grid, SpatialTransform, Volume
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.registration.large_motion import velocity_of
from SpatialRegularizationLib.registration.optimize import _refined_at, _refinement_steps
from SpatialRegularizationLib.registration.register import register
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.report.result_folder import FILES, read_report
from SpatialRegularizationLib.report.results import write_result
from SpatialRegularizationLib.transforms.diffeomorphism import fold_map
from SpatialRegularizationLib.transforms.mapping import transform_points

SEEN = physical.grid("LIA", shape=(40, 36, 38), spacing=(2.5, 2.5, 2.5))
"""Where the network sees an image about the center of the anatomy."""
CARD = card_of(SEEN)
MODEL = Known()
PLAIN = replace(FAST, levels=((1, 2, 20),))


def answer(grid: Grid, *, model: Known = MODEL, **more: object) -> Registration:
    """An image of the anatomy registered to itself: all that happens is the network's."""
    image = bending.image(grid)
    return register(image, image, replace(PLAIN, **more.pop("settings", {})), model=(model, CARD), **more)


def truth_mm(points: np.ndarray, model: Known = MODEL, strength: float = 1.0) -> np.ndarray:
    """exp(v)(x) - x by 400 Euler steps of the closed form, mm."""
    at = torch.from_numpy(SEEN.point_to_index(points).T)
    start = at.clone()
    for _ in range(400):
        at = at + model.value(at, SEEN.shape, strength) / 400
    return (at - start).T.numpy() @ SEEN.affine[:3, :3].T


def apart(found: Registration, truth: np.ndarray, points: np.ndarray) -> float:
    return float(np.linalg.norm(transform_points(found.transform, points) - points - truth, axis=1).max())


GRIDS = {
    "as trained": SEEN,
    "RAS": physical.grid("RAS", shape=(40, 38, 36), spacing=(2.5, 2.5, 2.5)),
    "LPS, finer": physical.grid("LPS", shape=(62, 60, 48), spacing=(1.6, 1.6, 1.9)),
    "longer": physical.grid("LAS", shape=(60, 38, 44), spacing=(2.5, 2.5, 2.5)),
    "oblique": physical.grid("oblique left-handed", shape=(44, 44, 44), spacing=(2.4, 2.4, 2.4)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_answer_is_the_same_motion_of_the_patient_on_every_grid(name: str) -> None:
    """Measured: 0.26 mm (a tenth of a voxel; the velocity's own lattice is twice as coarse), 0.4 mm on the finer grid."""
    points = bending.points_of(60, radius=22)
    found = answer(GRIDS[name])
    truth = truth_mm(points)
    assert np.linalg.norm(truth, axis=1).max() > 7
    assert apart(found, truth, points) < 0.5
    assert found.displacement.grid == found.lambda_map.grid == GRIDS[name]
    inverse = transform_points(found.inverse_transform, points + truth)
    assert np.linalg.norm(inverse - points, axis=1).max() < 0.5


def test_the_order_of_storage_changes_nothing() -> None:
    one, other = answer(SEEN), answer(GRIDS["RAS"])
    assert bending.apart_mm(one.transform, other.transform)[1] < 1e-3
    assert bending.apart_mm(one.inverse_transform, other.inverse_transform)[1] < 0.05


def test_lambda_lies_where_the_network_put_it() -> None:
    found = answer(GRIDS["RAS"])
    index = SEEN.point_to_index(physical.voxel_centers(found.lambda_map.grid))[..., 0]
    inner = (index > 1) & (index < SEEN.shape[0] - 2)
    assert np.allclose(found.lambda_map.data[0].numpy()[inner], 2 * index[inner] / (SEEN.shape[0] - 1), atol=1e-4)


def test_the_affine_start_comes_after_the_networks_motion() -> None:
    matrix = physical.affine()
    found = register(
        bending.image(SEEN), bending.image(physical.other_grid("RAS")), PLAIN, model=(MODEL, CARD),
        initial=SpatialTransform(matrix),
    )  # fmt: skip
    points = bending.points_of(40, radius=22)
    expected = (points + truth_mm(points)) @ matrix[:3, :3].T + matrix[:3, 3]
    assert np.abs(transform_points(found.transform, points) - expected).max() < 0.5


def test_the_condition_reaches_the_network_and_the_report() -> None:
    points = bending.points_of(40, radius=22)
    found = answer(SEEN, condition={"alpha_prime": 0.5})
    assert apart(found, truth_mm(points, strength=0.5), points) < 0.3
    assert found.model["condition"] == {"alpha_prime": 0.5}
    assert found.model["name"] == CARD.name


def test_the_result_keeps_the_promises_of_the_per_pair_mode(tmp_path) -> None:
    labels = bending.labels(GRIDS["RAS"])
    points = bending.points_of(20)
    companions = Companions(fixed_labels=labels, moving_labels=labels, fixed_points=points, moving_points=points)
    found = answer(GRIDS["RAS"], companions=companions)
    figures = found.figures
    assert figures.folding_percent == figures.folding_one_sided_percent == figures.ndv_percent == 0
    assert figures.inverse_residual_p99_mm < 0.13  # a twentieth of a voxel
    assert figures.similarity_after < figures.similarity_before - 0.01
    assert figures.dice_before["mean"] == 1
    assert figures.dice_after["mean"] < 0.99
    assert figures.tre_after_mm["mean"] > 1
    assert found.history == ()
    folder = tmp_path / "out"
    write_result(folder, found, companions=companions)
    assert set(FILES) <= {path.name for path in folder.iterdir()}
    report = read_report(folder)
    assert report["model"] == {"name": CARD.name, "system": "known", "condition": {"alpha_prime": 1.0}, "sha256": CARD.sha256}
    assert any(note.startswith("The network saw 40 x 36 x 38 voxels") for note in report["notes"])
    assert f"{CARD.name} (known, alpha_prime = 1)" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("integrates", [True, False])
def test_an_answer_that_folds_is_made_one_to_one(integrates: bool) -> None:
    model = Known(KnownSettings(height=(28.0, -18.0, 10.0), width=3.0, integrates=integrates))
    found = answer(SEEN, model=model)
    assert any("smoothed around" in note and "none folds now" in note for note in found.notes)
    assert not fold_map(found.displacement.to_voxels()[None]).any()
    assert found.figures.inverse_residual_p99_mm < 0.13


def test_a_model_of_uniform_lambda_says_its_constant() -> None:
    found = answer(SEEN, model=Known(KnownSettings(spatial=False, lambda_max=0.7)))
    assert torch.allclose(found.lambda_map.data, torch.tensor(0.7))


def test_the_velocity_on_the_images_lattice_is_read_through_the_model() -> None:
    seen = torch.zeros(1, 1, *SEEN.shape)
    found = MODEL.velocity(MODEL(seen, seen, MODEL.condition()), SEEN.shape)
    expected = MODEL.value(voxel_coordinates(SEEN.shape), SEEN.shape)
    assert (found[0] - expected).abs().max() < 0.02 * expected.abs().max()


def test_refinement_starts_from_the_networks_velocity_and_lambda() -> None:
    """The network knows the truth of this pair; the refinement keeps it and does not find it from rest in as few steps.

    Measured: 0.62 mm from the network, 0.54 mm the whole per-pair mode.
    """
    bend = bending.Bend()
    grid = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
    vectors = np.moveaxis(bend(physical.voxel_centers(grid)), -1, 0)
    u = DisplacementField(torch.from_numpy(vectors).float(), grid).to_voxels()[None]
    model = Known()
    velocity = torch.nn.functional.avg_pool3d(velocity_of(u), 2)[0]
    model.value = lambda p, shape, strength=1.0: strength * velocity  # instead of the bump
    pair = bending.image(grid, bend), bending.image(grid)
    settings = replace(FAST, refine_steps=10)
    refined = register(*pair, settings, model=(model, card_of(grid)))
    begun = register(*pair, replace(FAST, levels=((1, 2, 10),)))
    before = bending.error_mm(SpatialTransform.identity(), bend)
    assert bending.error_mm(refined.transform, bend) < 0.2 * before
    assert bending.error_mm(begun.transform, bend) > 1.4 * bending.error_mm(refined.transform, bend)
    assert [level.stage for level in refined.history] == [f"refinement {n} of 3" for n in (1, 2, 3)]
    assert sum(len(level.total) for level in refined.history) == 10
    guide = 2 * grid.point_to_index(physical.voxel_centers(refined.lambda_map.grid))[..., 0] / (grid.shape[0] - 1)
    kept = 0.9**10  # of the network's λ; the closed form of this pair lies between 0.06 and 0.3
    left = refined.lambda_map.data.numpy()[0] - kept * guide
    assert 0 < left[2:-2].min() < left[2:-2].max() < 0.3


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 33])
def test_a_refinement_takes_as_many_steps_as_asked_for_coarse_to_fine(steps: int) -> None:
    parts = _refinement_steps(steps)
    assert sum(count for _, count in parts) == steps
    assert [coarser for coarser, _ in parts] == sorted((coarser for coarser, _ in parts), reverse=True)
    assert all(count > 0 for _, count in parts)


@pytest.mark.parametrize(
    ("level", "working_mm", "seen_mm", "expected"),
    [
        ((1, 2), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 2.0)),
        ((2, 4), (1.0, 1.0, 1.0), (3.0, 3.0, 3.0), (2.0, 4.0)),
        ((2, 4), (2.0, 2.0, 2.0), (3.0, 3.0, 3.0), (1.5, 3.0)),
        ((2, 4), (1.0, 1.0, 8.0), (3.0, 3.0, 3.0), (1.5, 3.0)),
        ((2, 4), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 2.0)),
        ((2, 4), (4.0, 4.0, 4.0), (1.0, 1.0, 1.0), (1.0, 2.0)),
        ((1, 2), (4.0, 4.0, 4.0), (1.0, 1.0, 1.0), (1.0, 2.0)),
    ],
)
def test_a_refinement_sees_no_coarser_images_than_the_network_saw(level, working_mm, seen_mm, expected) -> None:
    working, seen = (physical.grid("LPS", shape=(24, 24, 24), spacing=mm) for mm in (working_mm, seen_mm))
    prepared = SimpleNamespace(settings=replace(FAST, levels=((*level, 10),)), grid=working)
    assert _refined_at(prepared, seen) == pytest.approx(expected)


@pytest.mark.parametrize(("helps", "steps", "said"), [(False, 0, True), (True, 0, False), (False, 5, False)])
def test_an_answer_that_makes_images_less_alike_is_said_to(helps: bool, steps: int, said: bool) -> None:
    bend = bending.Bend()
    grid = physical.grid("LIA", shape=(32, 32, 32), spacing=(3.0, 3.0, 3.0))
    vectors = np.moveaxis(bend(physical.voxel_centers(grid)), -1, 0)
    u = DisplacementField(torch.from_numpy(vectors).float(), grid).to_voxels()[None]
    velocity = torch.nn.functional.avg_pool3d(velocity_of(u), 2)[0]
    model = Known()
    model.value = lambda p, shape, strength=1.0: (strength if helps else -strength) * velocity
    pair = bending.image(grid, bend), bending.image(grid)
    found = register(*pair, replace(FAST, refine_steps=steps), model=(model, card_of(grid)))
    assert any("less alike" in note for note in found.notes) == said
    if steps == 0:
        assert (found.figures.similarity_after < found.figures.similarity_before) == said


def test_masks_are_said_to_leave_the_network_alone() -> None:
    mask = Volume(torch.ones(1, *SEEN.shape, dtype=torch.uint8), SEEN)
    found = answer(SEEN, companions=Companions(fixed_mask=mask))
    assert any(note.startswith("The masks have no influence on the network's answer") for note in found.notes)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"condition": {"alpha_prime": 3.0}}, "alpha_prime must be from 0 to 2, the range this model was trained on, got 3"),
        ({"condition": {"alpha_prime": float("nan")}}, "alpha_prime must be from 0 to 2"),
        ({"condition": {"lambda_max": 1.0}}, "Unknown hyperparameter 'lambda_max'; this model takes alpha_prime"),
        ({"initial": SpatialTransform(displacement=DisplacementField.zeros(SEEN))}, "the initial transform bends"),
    ],
)
def test_what_a_network_cannot_do_is_said_in_a_sentence(more: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer(SEEN, **more)


def test_a_condition_without_a_model_is_refused() -> None:
    image = bending.image(SEEN)
    with pytest.raises(ValueError, match=r"A condition \(alpha_prime\) belongs to a model: name the model, or leave it out"):
        register(image, image, PLAIN, condition={"alpha_prime": 1.0})


def test_an_answer_that_is_not_finite_names_the_model() -> None:
    broken = Known(KnownSettings(height=(float("nan"), 0.0, 0.0)))
    with pytest.raises(RuntimeError, match=f"The model {CARD.name} answered with NaN or infinite displacements"):
        answer(SEEN, model=broken)
