"""Draw the pictures of a registration: the same three cuts of every volume as PNG, with outlines and grids as paths over them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..geometry.displacement import DisplacementField
from ..registration.choices import chosen_prior
from ..transforms.resample import resample_labels
from .cuts import Cuts, Plane, shrunk
from .pixels import DIFFERENCE, GRAY, VOLUME_CHANGE, WEIGHT, Bar, data_uri, indices

CONTOURS = (0.25, 0.6)
"""Levels of the fixed image (share of its display range) drawn over maps."""
TILE_SHARE = 0.085
"""Side of a checkerboard tile as a share of the longest side of the picture."""
GRID_LINES = 34
"""Lines along the longest side of a picture of the deformation grid."""
LINE_POINTS = 140
"""Largest number of points of one line."""


@dataclass(frozen=True)
class Line:
    """A path over a picture: its class in the style sheet, "WIDTH HEIGHT" of what it is drawn in, and SVG commands."""

    kind: str
    view: str
    path: str


@dataclass(frozen=True)
class Picture:
    """One image of a page: a PNG address, words for who cannot see it, lines over it, a half transparent PNG over it or ""."""

    uri: str
    alt: str
    lines: tuple[Line, ...] = ()
    veil: str = ""


@dataclass(frozen=True)
class Row:
    """The same volume in three planes: title, what good looks like, color bar; light pictures get dark letters."""

    title: str
    caption: str
    pictures: tuple[Picture, ...]
    bar: Bar | None = None
    light: bool = False


Drawn = tuple[str, tuple[Line, ...]]
"""A PNG address and lines over it."""


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
    stored = "The moving image as stored, on the fixed grid. It is black where it has no data."
    warped = "It should show the anatomy of the moving image in the places of the fixed image."
    affine = [_image_row(cuts, "Moving, affine part only", "Position, rotation, size and shear.", "affine")]
    return [
        _image_row(cuts, "Fixed", "The image that stays as it is; every picture lies in its space.", None),
        _image_row(cuts, "Moving, before", stored, "before"),
        *(affine if cuts.has_affine else []),
        _image_row(cuts, "Warped (moving, after)", warped, "after"),
        _checker_row(cuts, before, "Checkerboard before", "Tiles alternate between fixed and moving."),
        _checker_row(cuts, "after", "Checkerboard after", "Edges should run on unbroken from tile to tile."),
        *_difference_rows(cuts, before),
        *_outline_rows(cuts),
    ]


def deformation_rows(cuts: Cuts) -> list[Row]:
    """λ, log-Jacobian, deformation grid; through the worst fold, where there is one. Nothing where nothing deforms."""
    if not cuts.deforms:
        return []
    fold = cuts.worst_fold()
    numbers = [cuts.middle(p) if fold is None else cuts.planes[p].slice_index(fold) for p in range(3)]
    return [*_lambda_rows(cuts, numbers), _jacobian_row(cuts, numbers), _grid_row(cuts, numbers)]


def subject_rows(cuts: Cuts) -> list[Row]:
    """The two images of a pair, the moving one after the affine part."""
    return [
        _image_row(cuts, "Fixed", "The image that stays as it is.", None),
        _image_row(cuts, "Moving", "After the affine start.", "affine" if cuts.has_affine else "before"),
    ]


def method_rows(cuts: Cuts) -> list[Row]:
    """What one method made of a pair: warped image, and where it deforms λ over the fixed image, log-Jacobian, grid."""
    numbers = [cuts.middle(p) for p in range(3)]
    warped = _image_row(cuts, "Warped", "The moving image in the places of the fixed one.", "after")
    if not cuts.deforms:
        return [warped]
    return [
        warped,
        *(_over_fixed(cuts, weight) for weight in _lambda_rows(cuts, numbers)),
        _jacobian_row(cuts, numbers),
        _grid_row(cuts, numbers),
    ]


def label_outlines(labels: np.ndarray, kind: str) -> Line:
    """The borders between different labels of a picture (rows, columns), in pixels."""
    rows, columns = labels.shape
    vertical = labels[:, 1:] != labels[:, :-1]  # between column c and c + 1
    horizontal = labels[1:, :] != labels[:-1, :]
    path = [f"M{c + 1} {start}v{n}" for c in range(columns - 1) for start, n in _runs(vertical[:, c])]
    path += [f"M{start} {r + 1}h{n}" for r in range(rows - 1) for start, n in _runs(horizontal[r, :])]
    return Line(kind, f"{columns} {rows}", "".join(path))


def deformation_lines(plane: Plane, inverse: DisplacementField, number: int) -> Line:
    """The grid y ↦ y + d_inv(y) of one slice, seen along its normal, in millimeters of the picture.

    Args:
        plane: the cut.
        inverse: d_inv, mm LPS, on the fixed grid or on one with the same end voxels.
        number: slice number of that grid.
    """
    height, width = plane.size_mm
    direction = np.array(inverse.grid.direction)
    vectors = np.stack([plane.cut(inverse.vectors[c], number) for c in range(3)])
    down, right = (direction[:, plane.axes[a]] * (-1 if plane.flips[a] else 1) for a in (0, 1))
    rows, columns = vectors.shape[1:]
    spacing = [inverse.grid.spacing[a] for a in plane.axes[:2]]
    y = _centers(rows, height, spacing[0])[:, None] + np.tensordot(down, vectors, 1)
    x = _centers(columns, width, spacing[1])[None, :] + np.tensordot(right, vectors, 1)
    step = max(height, width) / GRID_LINES
    lines = [_polyline(x[r, :], y[r, :]) for r in _positions(rows, height, step)]
    lines += [_polyline(x[:, c], y[:, c]) for c in _positions(columns, width, step)]
    return Line("grid", f"{width:.1f} {height:.1f}", "".join(lines))


def _over_fixed(cuts: Cuts, weight: Row) -> Row:
    """The pictures of λ, half transparent over the fixed image."""
    pictures = tuple(
        Picture(_gray(cuts.fixed(p, cuts.middle(p))), f"{picture.alt}, over the fixed image", veil=picture.uri)
        for p, picture in enumerate(weight.pictures)
    )
    caption = "Half transparent over the fixed image. Dark is free to deform, bright is held together."
    return Row("Regularization weight λ over the fixed image", caption, pictures, weight.bar)


def _image_row(cuts: Cuts, title: str, caption: str, state: str | None) -> Row:
    def draw(plane: int, number: int) -> Drawn:
        return _gray(cuts.fixed(plane, number) if state is None else cuts.moving(plane, number, state)), ()

    return Row(title, caption, _pictures(cuts, title, draw))


def _checker_row(cuts: Cuts, state: str, title: str, caption: str) -> Row:
    def draw(plane: int, number: int) -> Drawn:
        fixed, moving = cuts.fixed(plane, number), cuts.moving(plane, number, state)
        return _gray(np.where(_tiles(fixed.shape, cuts.planes[plane]), moving, fixed)), ()

    return Row(title, caption, _pictures(cuts, title, draw))


def _difference_rows(cuts: Cuts, before: str) -> list[Row]:
    """Moving minus fixed, both scaled to their own window; one color scale for both rows."""
    differences = {
        state: [cuts.moving(p, cuts.middle(p), state) - cuts.fixed(p, cuts.middle(p)) for p in range(3)]
        for state in (before, "after")
    }
    finite = np.concatenate([np.abs(d[np.isfinite(d)]) for d in differences[before]])
    limit = max(0.1, float(np.percentile(finite, 98))) if finite.size else 1.0
    ticks = ((0.0, f"-{limit:.2g}"), (0.5, "0"), (1.0, f"+{limit:.2g}"))
    bar = Bar(DIFFERENCE, ticks, "moving darker", "moving brighter")
    fading = (
        "The colors should fade, edges above all. Between modalities the difference says little: trust the checkerboard there."
    )

    def row(state: str, title: str, caption: str) -> Row:
        def draw(plane: int, number: int) -> Drawn:
            return data_uri(indices(differences[state][plane], -limit, limit), DIFFERENCE), ()

        return Row(title, caption, _pictures(cuts, title, draw), bar, light=True)

    share = "Share of the display range; white is equal, gray has no data."
    return [row(before, "Difference before", share), row("after", "Difference after", fading)]


def _outline_rows(cuts: Cuts) -> list[Row]:
    """Outlines of the fixed and of the warped moving label map over the fixed image; no row without both."""
    companions = cuts.companions
    if companions is None or companions.fixed_labels is None or companions.moving_labels is None:
        return []

    def draw(plane: int, number: int) -> Drawn:
        view, grid = cuts.planes[plane], cuts.planes[plane].slice_grid(cuts.grid, number)
        fixed = view.cut(resample_labels(companions.fixed_labels, None, grid).data[0], 0)
        warped = view.cut(resample_labels(companions.moving_labels, cuts.registration.transform, grid).data[0], 0)
        lines = label_outlines(fixed, "fixed-outline"), label_outlines(warped, "warped-outline")
        return _gray(cuts.fixed(plane, number)), lines

    caption = "Structures of the fixed image (green) and of the warped moving image (orange): they should coincide."
    return [Row("Label outlines", caption, _pictures(cuts, "Label outlines", draw))]


def _lambda_rows(cuts: Cuts, numbers: list[int]) -> list[Row]:
    """The map of λ; no row where it is one constant."""
    if cuts.constant_weight() is not None:
        return []
    weights, prior = cuts.registration.lambda_map.data[0], chosen_prior(cuts.registration.settings)
    known = prior.bounded and not cuts.registration.model  # a network has a largest weight of its own
    top = prior.reference if known else float(f"{float(weights.max()):.2g}")

    def draw(plane: int, number: int) -> Drawn:
        cut = shrunk(cuts.field(weights, plane, number))
        return data_uri(indices(cut, 0, top), WEIGHT), (_anatomy(cuts, plane, number),)

    bar = Bar(WEIGHT, ((0.0, "0"), (0.5, f"{top / 2:g}"), (1.0, f"{top:g}")), "free to deform", "held together")
    caption = (
        "How strongly the deformation was kept smooth at each place. Dark where the two anatomies differ or slide "
        "along each other, bright where the motion is uniform."
    )
    return [Row("Regularization weight λ", caption, _pictures(cuts, "Weight map", draw, numbers), bar)]


def _jacobian_row(cuts: Cuts, numbers: list[int]) -> Row:
    jacobian = cuts.registration.jacobian.data[0]
    positive = jacobian[jacobian > 0].to(torch.float32)
    sample = positive[:: max(1, positive.numel() // 200_000)].log().abs().cpu().numpy()
    reach = float(np.percentile(sample, 98)) if sample.size else 1.0
    factor = next((f for f in (1.1, 1.25, 1.5, 2.0, 3.0, 4.0) if math.log(f) >= reach), 8.0)
    limit = math.log(factor)

    def draw(plane: int, number: int) -> Drawn:
        cut = cuts.field(jacobian, plane, number)
        folded = shrunk((cut <= 0).astype(np.float32)) > 0
        log = shrunk(np.log(np.maximum(cut, 1e-9)))
        uri = data_uri(indices(log, -limit, limit, marked=folded), VOLUME_CHANGE)
        return uri, (_anatomy(cuts, plane, number),)

    ticks = ((0.0, f"÷ {factor:g}"), (0.5, "1"), (1.0, f"× {factor:g}"))
    bar = Bar(VOLUME_CHANGE, ticks, "moving image is smaller here", "moving image is larger here")
    caption = (
        "Logarithm of the Jacobian determinant of the nonlinear part, fixed to moving: × 2 means that a voxel of the "
        "fixed image reads two voxels of the moving one. Smooth colors are plausible; red marks folds, of which there "
        "should be none."
    )
    return Row("Volume change (log-Jacobian)", caption, _pictures(cuts, "Volume change", draw, numbers), bar, light=True)


def _grid_row(cuts: Cuts, numbers: list[int]) -> Row:
    registration = cuts.registration

    def draw(plane: int, number: int) -> Drawn:
        grid = deformation_lines(cuts.planes[plane], registration.inverse, cuts.field_slice(plane, number))
        folds = _fold_marks(cuts.field(registration.jacobian.data[0], plane, number))
        return _gray(0.55 * cuts.moving(plane, number, "after")), (grid, *folds)

    caption = (
        "A straight grid drawn on the moving image (after its affine part) and carried along with it. Lines may bend "
        "and crowd; they must not cross. Folds would be red."
    )
    return Row("Deformation grid", caption, _pictures(cuts, "Deformation grid", draw, numbers))


def _pictures(cuts: Cuts, alt: str, draw: Callable[[int, int], Drawn], numbers: list[int] | None = None) -> tuple[Picture, ...]:
    """`draw(plane number, slice number)` for the three planes; of the middle slices if none are named."""
    drawn = [draw(p, cuts.middle(p) if numbers is None else numbers[p]) for p in range(3)]
    return tuple(
        Picture(uri, f"{alt}, {plane.name.lower()}", lines) for plane, (uri, lines) in zip(cuts.planes, drawn, strict=True)
    )


def _gray(image: np.ndarray) -> str:
    return data_uri(indices(image, 0, 1), GRAY)


def _anatomy(cuts: Cuts, plane: int, number: int) -> Line:
    """Faint contours of the fixed image, to tell where one is."""
    image = np.pad(cuts.fixed(plane, number), 1, mode="edge")
    smooth = sum(image[r : image.shape[0] - 2 + r, c : image.shape[1] - 2 + c] for r in range(3) for c in range(3)) / 9
    return label_outlines(np.digitize(smooth, CONTOURS), "anatomy")


def _fold_marks(jacobian: np.ndarray) -> list[Line]:
    """Red squares where the Jacobian determinant (rows, columns) is not positive; none without folds."""
    path = "".join(f"M{c} {r}h1v1h-1z" for r, c in np.argwhere(jacobian <= 0))
    return [Line("fold", f"{jacobian.shape[1]} {jacobian.shape[0]}", path)] if path else []


def _tiles(shape: tuple[int, int], plane: Plane) -> np.ndarray:
    """Checkerboard of square tiles in millimeters."""
    side = TILE_SHARE * max(plane.size_mm)
    rows, columns = (np.floor((np.arange(n) + 0.5) * mm / n / side) for n, mm in zip(shape, plane.size_mm, strict=True))
    return (rows[:, None] + columns[None, :]) % 2 == 1


def _positions(count: int, size: float, step: float) -> np.ndarray:
    """Voxel rows (or columns) about `step` mm apart, the last one included."""
    stride = max(1, round(step / (size / count)))
    return np.unique(np.append(np.arange(0, count, stride), count - 1))


def _centers(count: int, size: float, spacing: float) -> np.ndarray:
    """Where voxel centers lie along an edge of `size` mm, when the first and last are equally far from its ends."""
    return (size - (count - 1) * spacing) / 2 + np.arange(count) * spacing


def _polyline(x: np.ndarray, y: np.ndarray) -> str:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), LINE_POINTS)).round().astype(int))
    return "M" + "L".join(f"{x[n]:.1f} {y[n]:.1f}" for n in keep)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, length) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
