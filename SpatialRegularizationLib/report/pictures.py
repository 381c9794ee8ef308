"""The pictures of a registration: the same three cuts of every volume, ready for a page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..transforms.resample import resample_labels
from .cuts import Cuts, shrunk
from .drawings import deformation_lines, fold_marks, label_outlines
from .pixels import DIFFERENCE, GRAY, VOLUME_CHANGE, WEIGHT, ColorMap, data_uri, indices
from .planes import Plane

CONTOURS = (0.25, 0.6)
"""Levels of the fixed image (share of its display range) drawn over maps."""
TILE_SHARE = 0.085
"""Side of a checkerboard tile as a share of the longest side of the picture."""


@dataclass(frozen=True)
class Picture:
    """One image of a page: a PNG address, SVG drawn over it ("" for none), and words for who cannot see it."""

    uri: str
    alt: str
    overlay: str = ""


@dataclass(frozen=True)
class Bar:
    """A color bar: its map, tick texts at shares 0 to 1, and what the two ends mean."""

    color_map: ColorMap
    ticks: tuple[tuple[float, str], ...]
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class Row:
    """The same volume in three planes: title, what good looks like, color bar; light pictures get dark letters."""

    title: str
    caption: str
    pictures: tuple[Picture, ...]
    bar: Bar | None = None
    light: bool = False


def comparison(cuts: Cuts) -> list[dict[str, list[str]]]:
    """For each plane the PNG addresses of its slices: {"fixed": […], "before": […], "affine": […], "after": […]}."""
    states = ["before", *(["affine"] if cuts.has_affine else []), "after"]
    return [
        {"fixed": [_gray(cuts.fixed(p, n)) for n in cuts.slices[p]]}
        | {state: [_gray(cuts.moving(p, n, state)) for n in cuts.slices[p]] for state in states}
        for p in range(3)
    ]


def match_rows(cuts: Cuts) -> list[Row]:
    """Fixed, moving before and after, checkerboards, differences, outlines of label maps."""
    before = "affine" if cuts.has_affine else "before"
    rows = [
        _image_row(cuts, "Fixed", "The image that stays as it is; every picture lies in its space.", None),
        _image_row(
            cuts,
            "Moving, before",
            "The moving image as stored, on the fixed grid. It is black where it has no data.",
            "before",
        ),
    ]
    if cuts.has_affine:
        rows.append(_image_row(cuts, "Moving, affine part only", "Position, rotation, size and shear.", "affine"))
    rows += [
        _image_row(
            cuts,
            "Warped (moving, after)",
            "It should show the anatomy of the moving image in the places of the fixed image.",
            "after",
        ),
        _checker_row(cuts, before, "Checkerboard before", "Tiles alternate between fixed and moving."),
        _checker_row(cuts, "after", "Checkerboard after", "Edges should run on unbroken from tile to tile."),
        *_difference_rows(cuts, before),
    ]
    labels = _outline_row(cuts)
    return [*rows, labels] if labels else rows


def deformation_rows(cuts: Cuts) -> list[Row]:
    """λ, log-Jacobian, deformation grid; through the worst fold, where there is one."""
    fold = cuts.worst_fold()
    numbers = [cuts.middle(p) if fold is None else cuts.planes[p].slice_index(fold) for p in range(3)]
    rows = [_lambda_row(cuts, numbers), _jacobian_row(cuts, numbers), _grid_row(cuts, numbers)]
    return [row for row in rows if row is not None]


def subject_rows(cuts: Cuts) -> list[Row]:
    """The two images of a pair, the moving one after the affine part."""
    return [
        _image_row(cuts, "Fixed", "The image that stays as it is.", None),
        _image_row(cuts, "Moving", "After the affine start.", "affine" if cuts.has_affine else "before"),
    ]


def method_rows(cuts: Cuts) -> list[Row]:
    """What one method made of a pair: warped image, λ over the fixed image, log-Jacobian, deformation grid."""
    numbers = [cuts.middle(p) for p in range(3)]
    weight = _lambda_row(cuts, numbers)
    rows = [_image_row(cuts, "Warped", "The moving image in the places of the fixed one.", "after")]
    if weight is not None:
        rows.append(_over_fixed(cuts, weight))
    return [*rows, _jacobian_row(cuts, numbers), _grid_row(cuts, numbers)]


def _over_fixed(cuts: Cuts, weight: Row) -> Row:
    """The pictures of λ, half transparent over the fixed image."""
    pictures = tuple(
        Picture(_gray(cuts.fixed(p, cuts.middle(p))), f"{picture.alt}, over the fixed image", _veil(picture))
        for p, picture in enumerate(weight.pictures)
    )
    caption = "Half transparent over the fixed image. Dark is free to deform, bright is held together."
    return Row("Regularization weight λ over the fixed image", caption, pictures, weight.bar)


def _veil(picture: Picture) -> str:
    return f'<img src="{picture.uri}" alt="" style="opacity:.55">'


def _image_row(cuts: Cuts, title: str, caption: str, state: str | None) -> Row:
    def draw(plane: int, number: int) -> Picture:
        image = cuts.fixed(plane, number) if state is None else cuts.moving(plane, number, state)
        return Picture(_gray(image), f"{title}, {cuts.planes[plane].name.lower()}")

    return Row(title, caption, _per_plane(cuts, draw))


def _checker_row(cuts: Cuts, state: str, title: str, caption: str) -> Row:
    def draw(plane: int, number: int) -> Picture:
        fixed, moving = cuts.fixed(plane, number), cuts.moving(plane, number, state)
        tiles = _tiles(fixed.shape, cuts.planes[plane])
        return Picture(_gray(np.where(tiles, moving, fixed)), f"{title}, {cuts.planes[plane].name.lower()}")

    return Row(title, caption, _per_plane(cuts, draw))


def _difference_rows(cuts: Cuts, before: str) -> list[Row]:
    """Moving minus fixed, both scaled to their own window; one color scale for both rows."""
    differences = {
        state: [cuts.moving(p, cuts.middle(p), state) - cuts.fixed(p, cuts.middle(p)) for p in range(3)]
        for state in (before, "after")
    }
    finite = np.concatenate([np.abs(d[np.isfinite(d)]) for d in differences[before]] or [np.zeros(1)])
    limit = max(0.1, float(np.percentile(finite, 98))) if finite.size else 1.0
    bar = Bar(
        DIFFERENCE, ((0.0, f"-{limit:.2g}"), (0.5, "0"), (1.0, f"+{limit:.2g}")), "moving darker", "moving brighter"
    )
    caption = {
        before: "Share of the display range; white is equal, gray has no data.",
        "after": "The colors should fade, edges above all. Between modalities the difference says little: "
        "trust the checkerboard there.",
    }
    titles = {before: "Difference before", "after": "Difference after"}
    return [
        Row(
            titles[state],
            caption[state],
            tuple(
                Picture(
                    data_uri(indices(d, -limit, limit), DIFFERENCE), f"{titles[state]}, {cuts.planes[p].name.lower()}"
                )
                for p, d in enumerate(pictures)
            ),
            bar,
            light=True,
        )
        for state, pictures in differences.items()
    ]


def _outline_row(cuts: Cuts) -> Row | None:
    """Outlines of the fixed and of the warped moving label map over the fixed image."""
    companions = cuts.companions
    if companions is None or companions.fixed_labels is None or companions.moving_labels is None:
        return None

    def draw(plane: int, number: int) -> Picture:
        view, grid = cuts.planes[plane], cuts.planes[plane].slice_grid(cuts.grid, number)
        fixed = view.cut(resample_labels(companions.fixed_labels, None, grid).data[0], 0)
        warped = view.cut(resample_labels(companions.moving_labels, cuts.registration.transform, grid).data[0], 0)
        overlay = label_outlines(fixed, "fixed-outline") + label_outlines(warped, "warped-outline")
        return Picture(_gray(cuts.fixed(plane, number)), f"Label outlines, {view.name.lower()}", overlay)

    caption = "Structures of the fixed image (green) and of the warped moving image (orange): they should coincide."
    return Row("Label outlines", caption, _per_plane(cuts, draw))


def _lambda_row(cuts: Cuts, numbers: list[int]) -> Row | None:
    weights, settings = cuts.registration.lambda_map.data[0], cuts.registration.settings
    highest = float(weights.max())
    if highest - float(weights.min()) < 1e-6:
        return None
    per_pair = settings.prior == "beta" and not cuts.registration.model  # a network has a largest weight of its own
    top = settings.lambda_max if per_pair else float(f"{highest:.2g}")

    def draw(plane: int, number: int) -> Picture:
        cut = shrunk(cuts.field(weights, plane, number))
        uri = data_uri(indices(cut, 0, top), WEIGHT)
        return Picture(uri, f"Weight map, {cuts.planes[plane].name.lower()}", _anatomy(cuts, plane, number))

    bar = Bar(WEIGHT, ((0.0, "0"), (0.5, f"{top / 2:g}"), (1.0, f"{top:g}")), "free to deform", "held together")
    caption = (
        "How strongly the deformation was kept smooth at each place. Dark where the two anatomies differ or slide "
        "along each other, bright where the motion is uniform."
    )
    return Row("Regularization weight λ", caption, _per_plane(cuts, draw, numbers), bar)


def _jacobian_row(cuts: Cuts, numbers: list[int]) -> Row:
    jacobian = cuts.registration.jacobian.data[0]
    positive = jacobian[jacobian > 0].to(torch.float32)
    sample = positive[:: max(1, positive.numel() // 200_000)].log().abs().cpu().numpy()
    reach = float(np.percentile(sample, 98)) if sample.size else 1.0
    factor = next((f for f in (1.1, 1.25, 1.5, 2.0, 3.0, 4.0) if math.log(f) >= reach), 8.0)
    limit = math.log(factor)

    def draw(plane: int, number: int) -> Picture:
        cut = cuts.field(jacobian, plane, number)
        folded = shrunk((cut <= 0).astype(np.float32)) > 0
        log = shrunk(np.log(np.maximum(cut, 1e-9)))
        uri = data_uri(indices(log, -limit, limit, marked=folded), VOLUME_CHANGE)
        return Picture(uri, f"Volume change, {cuts.planes[plane].name.lower()}", _anatomy(cuts, plane, number))

    ticks = ((0.0, f"÷ {factor:g}"), (0.5, "1"), (1.0, f"× {factor:g}"))
    bar = Bar(VOLUME_CHANGE, ticks, "moving image is smaller here", "moving image is larger here")
    caption = (
        "Logarithm of the Jacobian determinant of the nonlinear part, fixed to moving: × 2 means that a voxel of the "
        "fixed image reads two voxels of the moving one. Smooth colors are plausible; red marks folds, of which there "
        "should be none."
    )
    return Row("Volume change (log-Jacobian)", caption, _per_plane(cuts, draw, numbers), bar, light=True)


def _grid_row(cuts: Cuts, numbers: list[int]) -> Row:
    registration = cuts.registration

    def draw(plane: int, number: int) -> Picture:
        view = cuts.planes[plane]
        lines = deformation_lines(view, registration.inverse, cuts.field_slice(plane, number))
        folds = fold_marks(cuts.field(registration.jacobian.data[0], plane, number))
        picture = _gray(0.55 * cuts.moving(plane, number, "after"))
        return Picture(picture, f"Deformation grid, {view.name.lower()}", lines + folds)

    caption = (
        "A straight grid drawn on the moving image (after its affine part) and carried along with it. Lines may bend "
        "and crowd; they must not cross. Folds would be red."
    )
    return Row("Deformation grid", caption, _per_plane(cuts, draw, numbers))


def _anatomy(cuts: Cuts, plane: int, number: int) -> str:
    """Faint contours of the fixed image, to tell where one is."""
    image = np.pad(cuts.fixed(plane, number), 1, mode="edge")
    smooth = sum(image[r : image.shape[0] - 2 + r, c : image.shape[1] - 2 + c] for r in range(3) for c in range(3)) / 9
    return label_outlines(np.digitize(smooth, CONTOURS), "anatomy")


def _tiles(shape: tuple[int, int], plane: Plane) -> np.ndarray:
    """Checkerboard of square tiles in millimeters."""
    side = TILE_SHARE * max(plane.size_mm)
    rows, columns = (np.floor((np.arange(n) + 0.5) * mm / n / side) for n, mm in zip(shape, plane.size_mm, strict=True))
    return (rows[:, None] + columns[None, :]) % 2 == 1


def _gray(image: np.ndarray) -> str:
    return data_uri(indices(image, 0, 1), GRAY)


def _per_plane(
    cuts: Cuts, draw: Callable[[int, int], Picture], numbers: list[int] | None = None
) -> tuple[Picture, ...]:
    """`draw(plane number, slice number)` for the three planes; the middle slices if none are named."""
    return tuple(draw(p, cuts.middle(p) if numbers is None else numbers[p]) for p in range(3))
