"""Build the geometry of a synthetic head: signed distances of its parts, painted one over the other.

Points are LPS millimeters in a head frame with its origin near the third ventricle: x to the Left, y to the Posterior,
z to the Superior. A signed distance is negative inside; one voxel around zero is a mixture (partial volume). The cortex
is a ribbon of constant thickness along the hull, the fissures and the folds; the folds are the zero set of band-limited
noise that is constant along the rays of a hemisphere, as sulci are.

It resembles a head enough to try registration on. It is no atlas, and no measure of accuracy on patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..fields.sampling import sample_linear

BOX_MM = 264.0
"""Period of the noise, mm: larger than any head."""

CORTEX_MM = 3.1
LABELS = {
    1: "scalp and face",
    2: "skull",
    3: "outer CSF",
    4: "ventricles",
    5: "cortex",
    6: "white matter",
    7: "caudate",
    8: "putamen",
    9: "pallidum",
    10: "thalamus",
    11: "hippocampus",
    12: "cerebellum",
    13: "brainstem",
}
"""Number → structure of the label maps; 0 is air."""


@dataclass(frozen=True)
class Folding:
    """What makes one cortex unlike another: noise lattices (1, 1, n, n, n) over the box, each of unit variance."""

    pattern: Tensor
    depth: Tensor
    lean: Tensor
    texture: Tensor


@dataclass(frozen=True)
class Layer:
    """One coat of paint: where (signed distance, mm), its label, its T1-weighted intensity (white matter 1)."""

    distance: Tensor
    label: int
    intensity: Tensor | float


def noise(generator: torch.Generator, *, wavelength_mm: float, band: float = 0.0) -> Tensor:
    """Periodic Gaussian noise (1, 1, n, n, n) of unit variance.

    Args:
        wavelength_mm: of the band's middle; of low-pass noise, 2π times its correlation length.
        band: width of the band relative to its middle; 0 gives low-pass noise.
    """
    lattice = 2 * min(48, max(12, round(3.5 * BOX_MM / wavelength_mm)))
    white = torch.randn(lattice, lattice, lattice, generator=generator)
    axis = torch.fft.fftfreq(lattice, d=BOX_MM / lattice)
    half = torch.fft.rfftfreq(lattice, d=BOX_MM / lattice)
    frequency = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half[None, None, :] ** 2).sqrt()
    middle, width = (1.0, band) if band else (0.0, 1.0)
    spectrum = torch.exp(-(((frequency * wavelength_mm - middle) / width) ** 2) / 2)
    spectrum[0, 0, 0] = 0
    field = torch.fft.irfftn(torch.fft.rfftn(white) * spectrum, s=white.shape)
    return (field / field.std())[None, None]


def at(lattice: Tensor, points: Tensor) -> Tensor:
    """Noise (1, C, n, n, n) at points (3, *t) in mm → (C, *t)."""
    n = lattice.shape[-1]
    return sample_linear(lattice, ((points / BOX_MM + 0.5) * n)[None])[0]


def head_layers(
    points: Tensor, spacing_mm: float, folding: Folding, *, ventricles: float, gap_mm: float
) -> list[Layer]:
    """All parts of a head in the order of painting.

    Args:
        points: (3, i, j, k) positions in the head frame, mm, one per voxel of a lattice.
        spacing_mm: distance of neighbouring voxels, for the derivatives of the folds.
        ventricles: size of the ventricles, 1 is average.
        gap_mm: width of the CSF between brain and skull.
    """
    x, y, z = points
    mirrored = torch.stack([x.abs(), y, z])
    hull = _cerebrum(mirrored)
    vermis = _ellipsoid(mirrored, (0, 48, -33), (14, 27, 26))
    cerebellum = _union(_ellipsoid(mirrored, (20, 51, -38), (32, 30, 23)), vermis, 12)
    stem = ((0, 8, -2, 12), (0, 12, -16, 13), (0, 13, -29, 16), (0, 24, -48, 10), (0, 30, -66, 8), (0, 32, -110, 7))
    brainstem = _tube(mirrored, stem)
    cavity = _union(_union(hull, cerebellum, 6), brainstem, 6) - gap_mm
    texture = at(folding.texture, points)[0]
    layers = list(_outer_head(points, mirrored, cavity, texture))
    layers.append(Layer(cavity, 3, 0.22))
    layers += _hindbrain(points, cerebellum, brainstem, texture)
    layers += _mantle(points, mirrored, hull, folding, spacing_mm)
    layers.append(Layer(torch.maximum(brainstem, z + 2), 13, 0.9 + 0.015 * texture))
    layers += _deep(mirrored, ventricles, texture)
    return layers


def paint(layers: list[Layer], spacing_mm: float) -> tuple[Tensor, Tensor]:
    """Image and label map (i, j, k): each layer covers what lies under it, half-transparent within its border voxel."""
    image = torch.zeros_like(layers[0].distance)
    labels = torch.zeros(image.shape, dtype=torch.int32)
    for layer in layers:
        cover = (0.5 - layer.distance / spacing_mm).clamp(0, 1)
        image += cover * (layer.intensity - image)
        labels[cover > 0.5] = layer.label
    return image, labels


def _outer_head(points: Tensor, mirrored: Tensor, cavity: Tensor, texture: Tensor) -> Iterator[Layer]:
    _, y, z = points
    face = _ellipsoid(mirrored, (0, -36, -58), (62, 58, 62))
    face = _union(face, _ellipsoid(mirrored, (0, -8, -22), (76, 88, 52)), 20)
    nose = _ellipsoid(mirrored, (0, -98, -50), (13, 16, 22))
    neck = torch.maximum(_ellipsoid(mirrored, (0, 18, -60), (58, 64, 1e3)), z + 30)
    head = _union(_union(_union(cavity - 13, face, 14), nose, 8), neck, 20)
    yield Layer(head, 1, 1.05 + 0.05 * texture)
    muscle = torch.maximum(head + 4.5, z - 5 + 0.2 * y)
    yield Layer(muscle, 1, 0.5 + 0.07 * texture)
    yield Layer(_ellipsoid(mirrored, (34, -66, -24), (19, 26, 17)), 1, 1.0)
    yield Layer(_ellipsoid(mirrored, (32, -78, -24), (12.5, 12.5, 12.5)), 1, 0.22)
    yield Layer(_ellipsoid(mirrored, (32, -90, -24), (4, 2, 4)), 1, 0.45)
    yield Layer(cavity - 7.5, 2, 0.1)
    diploe = (cavity - 3.9).abs() - 1.6 - 0.7 * texture.clamp(-1, 1)
    yield Layer(diploe, 2, 0.6)
    yield Layer(_ellipsoid(mirrored, (0, -84, -8), (15, 8, 10)), 0, 0.02)
    yield Layer(_ellipsoid(mirrored, (30, -66, -56), (14, 17, 16)), 0, 0.02)
    yield Layer(_ellipsoid(mirrored, (9, -66, -52), (5, 30, 20)), 0, 0.04)
    yield Layer(_tube(mirrored, ((0, -20, -58, 8), (0, -14, -110, 7))), 0, 0.02)
    yield Layer(_ellipsoid(mirrored, (0, -62, -84), (26, 24, 8)), 1, 0.6)


def _hindbrain(points: Tensor, cerebellum: Tensor, brainstem: Tensor, texture: Tensor) -> Iterator[Layer]:
    _, y, z = points
    mirrored = torch.stack([points[0].abs(), y, z])
    inward = (-cerebellum).clamp(min=0)
    branch = (17 * torch.atan2(z + 38, y - 34) + 0.07 * mirrored[0] + 0.8 * texture).cos()
    leaves = 0.22 * branch.clamp(min=0) ** 2 * torch.exp(-(((inward - 8) / 6) ** 2))
    clefts = 0.3 * branch.clamp(max=0) ** 2 * torch.exp(-inward / 5)
    yield Layer(cerebellum, 12, 0.72 + leaves - clefts)
    core = _union(_ellipsoid(mirrored, (20, 46, -38), (19, 12, 8)), _ellipsoid(mirrored, (0, 38, -37), (12, 9, 9)), 6)
    yield Layer(core - 2.5 * branch, 12, 0.95)
    yield Layer(brainstem, 13, 0.9 + 0.015 * texture)
    yield Layer(_ellipsoid(mirrored, (0, 29, -36), (6, 4, 9)), 4, 0.22)


def _cerebrum(mirrored: Tensor) -> Tensor:
    x, y, z = mirrored
    vault = _ellipsoid(mirrored, (0, 0, 4), (68, 86, 68))
    posterior = torch.sigmoid((y - 20) / 8)
    base = -18 + 3 * posterior + 11 * posterior * torch.exp(-((x / 20) ** 2))
    upper = -_union(-vault, -(base - z), 7)
    temporal = _ellipsoid(mirrored, (42, 2, -21), (23, 47, 21))
    return _union(upper, temporal, 4)


def _mantle(points: Tensor, mirrored: Tensor, hull: Tensor, folding: Folding, spacing_mm: float) -> Iterator[Layer]:
    """CSF of the fissures, cortex and white matter from the distance to the nearest outer surface."""
    x, y, z = mirrored
    arch = 1 - _length((y - 2) / 41, (z - 6) / 23)
    fissure = _length(x, (arch * 23).clamp(min=0)) - 0.9
    sylvian_height = -4 + 0.45 * (y + 4) + 0.25 * (x - 50)
    wave = 4 * at(folding.lean, points)[0]
    sylvian = _length((z - sylvian_height - wave) * 0.96, (36 - x).clamp(min=0), (y - 36).clamp(min=0)) - 0.8
    depth = torch.minimum(-hull, fissure)
    folds = _folds(points, depth, folding, spacing_mm)
    surface = torch.minimum(torch.minimum(depth, sylvian), folds)
    texture = at(folding.texture, points)[0]
    yield Layer(-surface, 5, 0.69 + 0.02 * texture)
    thickness = CORTEX_MM + 0.25 * at(folding.depth, points)[0]
    yield Layer(thickness - surface, 6, 1.0 + 0.012 * texture)
    yield Layer(torch.maximum(hull, torch.minimum(fissure, sylvian)), 3, 0.22)


def _folds(points: Tensor, depth: Tensor, folding: Folding, spacing_mm: float) -> Tensor:
    """Distance (mm) to the CSF of the nearest sulcus: |g| / |∇g| of the noise g that is constant along rays."""
    x, y, z = points
    side = torch.where(x < 0, -1.0, 1.0)
    center = torch.stack([side * 27, torch.zeros_like(y) + 2, torch.zeros_like(z) + 6])
    axes = torch.tensor([40.0, 84.0, 60.0]).view(3, 1, 1, 1)
    ray = (points - center) / axes
    level = _length(*ray)
    outward = center + axes * ray / level.clamp(min=0.05)
    lean = 0.5 * depth.clamp(0, 25) * at(folding.lean, points)
    pattern = at(folding.pattern, outward + lean)[0]
    slope = _length(*torch.gradient(pattern, spacing=spacing_mm))
    distance = pattern.abs() / (slope**2 + 0.03**2).sqrt()
    reach = (16 + 6 * at(folding.depth, outward)[0]).clamp(0, 24)
    opening = 0.2 + 0.8 * torch.exp(-depth.clamp(min=0) / 3.5)
    return _length(distance, (depth - reach).clamp(min=0), 60 * (0.62 - level).clamp(min=0)) - opening


def _deep(mirrored: Tensor, ventricles: float, texture: Tensor) -> Iterator[Layer]:
    x, y, z = mirrored
    yield Layer(_tube(mirrored, ((24, -6, -20, 5), (27, 8, -19, 4.5), (27, 24, -10, 4), (22, 32, 0, 3))), 11, 0.7)
    yield Layer(_tube(mirrored, ((13, -24, 2, 8), (15, -16, 9, 7), (18, 2, 19, 4.5), (21, 16, 19, 3))), 7, 0.73)
    yield Layer(_ellipsoid(_turned(mirrored, (26, -4, 2), 0.2), (0, 0, 0), (6, 19, 12)), 8, 0.76 + 0.015 * texture)
    yield Layer(_ellipsoid(_turned(mirrored, (19, -1, 0), 0.3), (0, 0, 0), (4.5, 10, 8)), 9, 0.88)
    yield Layer(_ellipsoid(_turned(mirrored, (11.5, 13, 7), 0.35), (0, 0, 0), (9, 16, 10)), 10, 0.82 + 0.015 * texture)
    size = ventricles**0.5
    body = ((5, -34, 3, 3), (7, -22, 12, 5), (8, -4, 20, 4.5), (11, 16, 21, 5), (22, 34, 12, 6.5), (26, 46, 6, 5.5))
    horns = (
        ((26, 46, 6, 5.5), (24, 66, 4, 2.5)),
        ((24, 36, 8, 5.5), (31, 22, -8, 3), (32, 2, -18, 2.5), (30, -8, -20, 2)),
    )
    lateral = _tube(mirrored, tuple((a, b, c, r * size) for a, b, c, r in body))
    for horn in horns:
        lateral = _union(lateral, _tube(mirrored, tuple((a, b, c, r * size) for a, b, c, r in horn)), 2)
    septum = 0.9 - x
    yield Layer(torch.maximum(lateral, septum), 4, 0.2)
    third = _length(x / (2.0 * size), (y - 6) / 16, (z - 2) / 10) - 1
    yield Layer(third * 2.0 * size, 4, 0.2)
    yield Layer(_ellipsoid(mirrored, (0, 14, 3), (3.5, 3.5, 3.0)), 10, 0.82)


def _ellipsoid(points: Tensor, center: tuple[float, ...], axes: tuple[float, ...]) -> Tensor:
    """Signed distance to an ellipsoid, exact to first order at its surface."""
    scale = torch.tensor(axes, dtype=points.dtype).view(3, 1, 1, 1)
    relative = points - torch.tensor(center, dtype=points.dtype).view(3, 1, 1, 1)
    level = _length(*(relative / scale))
    slope = _length(*(relative / scale**2))
    return level * (level - 1) / slope.clamp(min=1e-6)


def _tube(points: Tensor, nodes: tuple[tuple[float, float, float, float], ...]) -> Tensor:
    """Signed distance to a polyline of nodes (x, y, z, radius)."""
    result = torch.full_like(points[0], 1e3)
    for first, second in pairwise(nodes):
        start = torch.tensor(first[:3], dtype=points.dtype).view(3, 1, 1, 1)
        along = torch.tensor(second[:3], dtype=points.dtype).view(3, 1, 1, 1) - start
        t = (((points - start) * along).sum(dim=0) / (along**2).sum()).clamp(0, 1)
        radius = first[3] + t * (second[3] - first[3])
        result = _union(result, _length(*(points - start - t * along)) - radius, 1.0)
    return result


def _union(a: Tensor, b: Tensor, blend_mm: float) -> Tensor:
    """Smooth minimum of two signed distances; the seam is rounded within `blend_mm`."""
    h = (blend_mm - (a - b).abs()).clamp(min=0) / blend_mm
    return torch.minimum(a, b) - h * h * blend_mm / 4


def _turned(points: Tensor, center: tuple[float, ...], angle: float) -> Tensor:
    """Points relative to a center, turned by `angle` radians about the vertical axis."""
    x, y, z = points - torch.tensor(center, dtype=points.dtype).view(3, 1, 1, 1)
    cos, sin = torch.tensor(angle).cos(), torch.tensor(angle).sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z])


def _length(*components: Tensor) -> Tensor:
    """√(a² + b² + …), elementwise; several times faster than `torch.linalg.norm` over a leading axis."""
    total = components[0] ** 2
    for component in components[1:]:
        total = total + component**2
    return total.sqrt()
