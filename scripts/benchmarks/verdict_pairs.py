"""Three hundred pairs with known truth on which the verdict is calibrated: good ones, and every way to fail that users have.

`verdict_list.entries()` lists them in a fixed order; each is made when it is asked for, from a seed of its name. Known is a map
(fixed = moving∘truth, of real or synthetic images moved by us), label maps, landmarks, or that there is no right answer.
Images are small (3 to 5 mm; the hippocampus 1 mm), so that all of them are registered within an hour on one core.

    moved         one image, moved by a smooth deformation of 4 to 14 mm, a turn of up to 8 degrees and a shift; new noise
    people        other people of one contrast, with labels (heads, hippocampus) or landmarks (lung)
    contrast      other contrast of the same or of another person, preset for other modalities
    wrong_preset  other contrast, compared by local correlation
    wrong_part    two parts of the body that have nothing in common, or noise
    mirrored      the moving image is a mirror image of what its header says
    turned        turned by 50 to 180 degrees, or upside down
    apart         hardly any overlap, or a start without affine stage that is far off
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import heads
import known_pair
import numpy as np
import torch
from known_pair import DATA

from SpatialRegularizationLib.fields.sampling import voxel_coordinates
from SpatialRegularizationLib.geometry.companions import Companions
from SpatialRegularizationLib.geometry.displacement import DisplacementField
from SpatialRegularizationLib.geometry.grid import Grid
from SpatialRegularizationLib.geometry.transform import SpatialTransform
from SpatialRegularizationLib.geometry.volume import Volume
from SpatialRegularizationLib.integrators.scaling_and_squaring import integrate_velocity
from SpatialRegularizationLib.phantoms.anatomy import at, noise
from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.registration.settings import RegistrationSettings
from SpatialRegularizationLib.registration.working_pair import read_through
from SpatialRegularizationLib.transforms.resample import resample

WAVELENGTH_MM = 90.0
SOURCES = {
    "brain_a": ("brain_t1/subject_a_image.nii.gz", 3.5),
    "brain_b": ("brain_t1/subject_b.nii.gz", 3.5),
    "brain_c": ("brain_t1/subject_c.nii.gz", 3.5),
    "mni": ("mni152/mni_icbm152_t1.nii.gz", 3.5),
    "p07_t1": ("brain_ms_mni/patient07_T1.nii.gz", 3.5),
    "p07_t2": ("brain_ms_mni/patient07_T2.nii.gz", 3.5),
    "p19_t1": ("brain_ms_mni/patient19_T1.nii.gz", 3.5),
    "ms_flair": ("brain_ms_longitudinal/patient01_study2_FLAIR.nii.gz", 3.5),
    "ms_t1": ("brain_ms_longitudinal/patient01_study2_T1W.nii.gz", 3.5),
    "abdomen_ct": ("abdomen/ct.nii.gz", 5.0),
    "abdomen_mr": ("abdomen/mr.nii.gz", 3.0),
    "lung": ("lung_ct/baseline.mha", 4.0),
    "lung_out": ("lung_ct/followup.mha", 4.0),
}
"""Real images and the spacing they are used at, mm."""
OF_PRESET = {"abdomen_ct": "abdomen-ct", "lung": "chest-ct", "lung_out": "chest-ct", "abdomen_mr": "generic"}
BRAINS = ("brain_a", "brain_b", "brain_c", "mni", "p07_t1", "p19_t1", "ms_t1")


@dataclass(frozen=True)
class Pair:
    """A pair and what is known of it.

    Args:
        fixed, moving: the images.
        settings: of its registration.
        truth: fixed points to moving points, or None.
        companions: labels or landmarks, where they are the truth.
        hopeless: True where there is no right answer.
    """

    fixed: Volume
    moving: Volume
    settings: RegistrationSettings
    truth: SpatialTransform | None = None
    companions: Companions = field(default_factory=Companions)
    hopeless: bool = False


@dataclass(frozen=True)
class Entry:
    """A pair of the list: its name, its kind, and how it is made."""

    name: str
    kind: str
    make: Callable[[np.random.Generator], Pair]

    def pair(self) -> Pair:
        """Made from the seed of its name."""
        return self.make(np.random.default_rng(zlib.crc32(self.name.encode())))


@lru_cache(maxsize=24)
def source(name: str) -> Volume:
    """A real image at its spacing."""
    path, spacing = SOURCES[name]
    data, grid = known_pair.read(path)
    return coarser(Volume(torch.from_numpy(np.maximum(data, -1000.0))[None], grid), spacing)


def coarser(volume: Volume, spacing: float) -> Volume:
    """The image at this spacing (finer axes only), smoothed against aliasing."""
    shape = tuple(min(n, 1 + round(e / spacing)) for n, e in zip(volume.grid.shape, volume.grid.extent, strict=True))
    grid = volume.grid.resized(shape)
    return Volume(read_through(volume, grid, np.eye(4))[0], grid)


def sparser(labels: Volume, grid: Grid) -> Volume:
    """A label map on another grid, nearest voxel."""
    return resample(labels, None, grid, nearest=True)


@lru_cache(maxsize=56)
def head(person: int, contrast: str, *, stripped: bool = True, seed: int = 0) -> tuple[Volume, Volume]:
    """Image and labels of a synthesized head at 3.5 or 4 mm: "t1", or "t2" with the order of the tissues reversed."""
    random = np.random.default_rng([seed, person])
    labels, grid = known_pair.read(f"head_label_maps/head_{person:02d}.nii.gz", np.int32)
    if stripped:
        labels, grid = heads._cropped(labels, grid)
    whole = Volume(torch.from_numpy(labels)[None], grid)
    small = sparser(whole, grid.resized(tuple(1 + round(e / 2.0) for e in grid.extent)))
    labels, means = small.data[0].numpy(), heads.t1_means(np.random.default_rng(seed))
    if contrast == "t2":
        means = np.where(means < 20, means, 200 * np.exp(-means / 60))
    image = heads.t1_like(labels, means, random)
    image = image * (labels > 0) if stripped else image
    seen = coarser(Volume(torch.from_numpy(image.astype(np.float32))[None], small.grid), 3.5 if stripped else 4.0)
    return seen, sparser(whole, seen.grid)


@lru_cache(maxsize=40)
def hippocampus(number: int) -> tuple[Volume, Volume]:
    """Image and labels of one crop."""
    file = sorted((DATA / "hippocampus" / "images").glob("*.nii.gz"))[number]
    image, grid = known_pair.read(file)
    labels, _ = known_pair.read(DATA / "hippocampus" / "labels" / file.name, np.int32)
    return Volume(torch.from_numpy(image)[None], grid), Volume(torch.from_numpy(labels)[None], grid)


def smooth(grid: Grid, random: np.random.Generator, largest_mm: float) -> DisplacementField:
    """A diffeomorphism of the field of view; its largest displacement is this, mm."""
    generator = torch.Generator().manual_seed(int(random.integers(2**31)))
    velocity = torch.cat([noise(generator, wavelength_mm=WAVELENGTH_MM) for _ in range(3)], dim=1)
    points = torch.from_numpy(grid.index_to_point(voxel_coordinates(grid.shape).movedim(0, -1).numpy()))
    centered = points.movedim(-1, 0).float() - torch.tensor(grid.center).float().view(3, 1, 1, 1)
    field = at(velocity, centered.contiguous())
    v = DisplacementField(field * (largest_mm / float(field.norm(dim=0).max())), grid).to_voxels()
    return DisplacementField.from_voxels(integrate_velocity(v[None], steps=6)[0], grid)


def pose(center: tuple[float, ...], axis: np.ndarray, degrees: float, shift: np.ndarray) -> np.ndarray:
    """4x4: a turn about an axis through a point, then a shift, mm."""
    a, angle = axis / np.linalg.norm(axis), np.radians(degrees)
    cross = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = np.array(center) - turn @ np.array(center) + shift
    return matrix


def noisy(volume: Volume, random: np.random.Generator, share: float) -> Volume:
    """With Gaussian noise of a share of the bulk of the range."""
    low, high = np.percentile(volume.data.numpy(), [1, 99])
    added = random.standard_normal(tuple(volume.data.shape)).astype(np.float32) * share * (high - low)
    return volume.with_data(volume.data + torch.from_numpy(added))


def moved(
    seen: Volume, moving: Volume, settings: RegistrationSettings, random: np.random.Generator, *,
    degrees: float = 8.0, least: float = 0.0, shift_mm: float = 10.0, largest_mm: tuple[float, float] = (4.0, 14.0),
    exact: np.ndarray | None = None,
) -> Pair:  # fmt: skip
    """fixed = seen∘truth with noise: turn of `least` to `degrees` about a random axis, a shift, and a smooth deformation.

    `seen` and `moving` lie in the same space: one image, or two contrasts of a person.
    """
    shift = random.uniform(-1, 1, 3) * shift_mm
    matrix = pose(seen.grid.center, random.standard_normal(3), random.uniform(least, degrees), shift)
    matrix = matrix if exact is None else exact
    truth = SpatialTransform(matrix, smooth(seen.grid, random, random.uniform(*largest_mm)))
    fixed = resample(seen, truth, seen.grid, fill=float(min(0.0, seen.data.min())))
    share = random.uniform(0.01, 0.04)
    return Pair(noisy(fixed, random, share), noisy(moving, random, share), settings, truth)


def own_preset(name: str) -> RegistrationSettings:
    """The preset that a user takes for a source."""
    return PRESETS[OF_PRESET.get(name, "brain-mri")]


def mirrored(volume: Volume) -> Volume:
    """The image with its content reversed along the axis nearest to left-right."""
    axis = int(np.argmax(np.abs(np.array(volume.grid.direction)[0])))
    return volume.with_data(volume.data.flip(axis + 1))


def cropped(volume: Volume, axis: int, low: float, high: float) -> Volume:
    """The part between two shares of an axis, its place kept."""
    n = volume.grid.shape[axis]
    start, stop = int(low * n), max(int(low * n) + 4, int(high * n))
    first = tuple(start if a == axis else 0 for a in range(3))
    shape = tuple(stop - start if a == axis else m for a, m in enumerate(volume.grid.shape))
    part = volume.data.narrow(axis + 1, start, stop - start).contiguous()
    return Volume(part, volume.grid.shifted(first, shape))


def of_people(f: tuple[Volume, Volume], m: tuple[Volume, Volume], settings: RegistrationSettings) -> Pair:
    """Two people with labels."""
    return Pair(f[0], m[0], settings, companions=Companions(fixed_labels=f[1], moving_labels=m[1]))


def lung_pair(fixed: str, moving: str, settings: RegistrationSettings) -> Pair:
    """The breathing pair with its landmarks."""
    points = []
    for name in (fixed, moving):
        file = {"lung": "baseline", "lung_out": "followup"}[name]
        _, grid = known_pair.read(f"lung_ct/{file}.mha")
        text = (DATA / "lung_ct" / f"{file}_landmarks_index.txt").read_text().split()
        points.append(grid.index_to_point(np.array(text[2:], dtype=np.float64).reshape(-1, 3)))
    return Pair(source(fixed), source(moving), settings, companions=Companions(fixed_points=points[0], moving_points=points[1]))


def without_start(settings: RegistrationSettings) -> RegistrationSettings:
    """The same from the headers."""
    return replace(settings, affine="none")
