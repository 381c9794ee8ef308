"""The list of the pairs on which the verdict is calibrated, kind by kind; see verdict_pairs.py for what the kinds are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from verdict_pairs import (
    BRAINS,
    SOURCES,
    Entry,
    Pair,
    cropped,
    head,
    hippocampus,
    lung_pair,
    mirrored,
    moved,
    noisy,
    of_people,
    own_preset,
    source,
    without_start,
)

from SpatialRegularizationLib.phantoms.heads import two_subjects
from SpatialRegularizationLib.registration.presets import PRESETS
from SpatialRegularizationLib.registration.settings import RegistrationSettings

UNLIKE = (
    ("brain_a", "abdomen_ct"), ("abdomen_ct", "p07_t1"), ("mni", "lung"), ("lung", "brain_b"), ("p07_t2", "abdomen_mr"),
    ("abdomen_mr", "brain_c"), ("lung", "abdomen_mr"), ("abdomen_mr", "ms_flair"), ("ms_t1", "abdomen_ct"),
    ("lung_out", "p19_t1"), ("abdomen_ct", "lung"), ("lung_out", "abdomen_ct"),
)  # fmt: skip
"""Fixed and moving image of unlike parts of the body; the last two share the upper abdomen, and nothing of it is the same."""
COUPLES = (("p07_t1", "p07_t2"), ("p07_t2", "p07_t1"))
TURNS = (55, 70, 90, 110, 135, 160, 180)


def entries() -> list[Entry]:
    """All pairs in a fixed order, kinds one after another."""
    makers = (_moved, _people, _contrast, _wrong_preset, _wrong_part, _mirrored, _turned, _apart)
    return [entry for maker in makers for entry in maker()]


def _moved() -> Iterator[Entry]:
    for name, copy in itertools.product(SOURCES, range(4)):
        yield Entry(f"moved_{name}_{copy}", "moved", lambda r, n=name: moved(source(n), source(n), own_preset(n), r))
    for person in range(1, 11):
        yield Entry(f"moved_head_{person}", "moved", lambda r, p=person: _one_head(p, r))


def _one_head(person: int, random: np.random.Generator) -> Pair:
    image = head(person, "t1", stripped=person % 2 == 0)[0]
    return moved(image, image, PRESETS["brain-mri"], random)


def _people() -> Iterator[Entry]:
    brain = PRESETS["brain-mri"]
    for n in range(24):
        f, m = np.random.default_rng(n).choice(np.arange(1, 15), 2, replace=False)
        yield Entry(
            f"people_head_{n}_{f}_{m}", "people",
            lambda _, f=f, m=m, s=n % 3 > 0: of_people(head(f, "t1", stripped=s), head(m, "t1", stripped=s), brain),
        )  # fmt: skip
    for n in range(24):
        f, m = np.random.default_rng(100 + n).choice(40, 2, replace=False)
        settings = replace(brain, affine="center") if n % 2 else brain
        yield Entry(
            f"people_hippocampus_{n}_{f}_{m}", "people",
            lambda _, f=f, m=m, s=settings: of_people(hippocampus(f), hippocampus(m), s),
        )  # fmt: skip
    for seed in range(6):
        yield Entry(f"people_phantom_{seed}", "people", lambda _, s=seed: _phantoms(s))
    for preset, (f, m) in itertools.product(("chest-ct", "generic"), (("lung", "lung_out"), ("lung_out", "lung"))):
        yield Entry(f"people_{f}_{preset}", "people", lambda _, p=preset, f=f, m=m: lung_pair(f, m, PRESETS[p]))


def _phantoms(seed: int) -> Pair:
    pair = two_subjects((64, 75, 64), seed=seed)
    return of_people((pair.fixed, pair.fixed_labels), (pair.moving, pair.moving_labels), PRESETS["brain-mri"])


def _two_contrasts(preset: str, kind: str, copies: int) -> Iterator[Entry]:
    """Two contrasts of one person (real, and synthesized), and of two people."""
    settings = PRESETS[preset]
    for (f, m), copy in itertools.product(COUPLES, range(copies)):
        yield Entry(f"{kind}_{f}_{copy}", kind, lambda r, f=f, m=m: moved(source(f), source(m), settings, r))
    for person in range(1, 1 + 2 * copies):
        stripped, turned = person % 2 == 0, person % 4 > 1
        kinds = ("t2", "t1") if turned else ("t1", "t2")
        yield Entry(
            f"{kind}_head_{person}", kind,
            lambda r, p=person, k=kinds, s=stripped: moved(
                *(head(p, contrast, stripped=s)[0] for contrast in k), settings, r
            ),
        )  # fmt: skip
    for n in range(copies):
        f, m = np.random.default_rng(200 + n).choice(np.arange(1, 15), 2, replace=False)
        yield Entry(
            f"{kind}_people_{n}", kind,
            lambda _, f=f, m=m: of_people(head(f, "t1", stripped=False), head(m, "t2", stripped=False), settings),
        )  # fmt: skip


def _contrast() -> Iterator[Entry]:
    yield from _two_contrasts("multi-modal", "contrast", 6)


def _wrong_preset() -> Iterator[Entry]:
    yield from _two_contrasts("brain-mri", "wrong_preset", 5)


def _wrong_part() -> Iterator[Entry]:
    presets = itertools.cycle(("generic", "multi-modal", "brain-mri", "chest-ct"))
    for (f, m), copy in itertools.product(UNLIKE, range(3)):
        settings = PRESETS[next(presets)]
        settings = replace(settings, intensity="percentile")
        yield Entry(
            f"wrong_part_{f}_{m}_{copy}", "wrong_part",
            lambda r, f=f, m=m, s=settings: Pair(noisy(source(f), r, 0.02), noisy(source(m), r, 0.02), s, hopeless=True),
        )  # fmt: skip
    for n, name in enumerate(("brain_a", "mni", "abdomen_ct", "ms_flair", "lung", "brain_c")):
        settings = replace(PRESETS[("generic", "brain-mri", "multi-modal")[n % 3]], intensity="percentile")
        yield Entry(
            f"wrong_part_noise_{name}", "wrong_part",
            lambda r, f=name, s=settings: _against_noise(f, r, s),
        )  # fmt: skip
    for n in range(4):
        yield Entry(
            f"wrong_part_crop_{n}", "wrong_part",
            lambda r, n=n: Pair(hippocampus(n)[0], source(("abdomen_mr", "lung", "abdomen_ct", "abdomen_mr")[n]),
                                PRESETS["generic"], hopeless=True),
        )  # fmt: skip


def _against_noise(name: str, random: np.random.Generator, settings: RegistrationSettings) -> Pair:
    fixed = source(name)
    data = random.standard_normal(tuple(fixed.data.shape)).astype(np.float32)
    return Pair(fixed, fixed.with_data(torch.from_numpy(data)), settings, hopeless=True)


def _mirrored() -> Iterator[Entry]:
    names = ("abdomen_ct", "lung", "abdomen_mr", "lung_out", *BRAINS, "ms_flair")
    for name, copy in itertools.product(names, range(2)):
        yield Entry(f"mirrored_{name}_{copy}", "mirrored", lambda r, n=name: _reversed(n, r))
    for person in range(1, 7):
        yield Entry(f"mirrored_head_{person}", "mirrored", lambda r, p=person: _reversed_head(p, r))


def _reversed(name: str, random: np.random.Generator) -> Pair:
    pair = moved(source(name), source(name), own_preset(name), random)
    return replace(pair, moving=mirrored(pair.moving), truth=None, hopeless=True)


def _reversed_head(person: int, random: np.random.Generator) -> Pair:
    image = head(person, "t1", stripped=person % 2 == 0)[0]
    pair = moved(image, image, PRESETS["brain-mri"], random)
    return replace(pair, moving=mirrored(pair.moving), truth=None, hopeless=True)


def _turned() -> Iterator[Entry]:
    names = ("brain_a", "mni", "p07_t1", "abdomen_ct", "lung", "ms_flair")
    for degrees, (n, name) in itertools.product(TURNS[:5], enumerate(names)):
        settings = without_start(own_preset(name)) if n % 3 == 2 else own_preset(name)
        yield Entry(
            f"turned_{name}_{degrees}", "turned",
            lambda r, n=name, d=degrees, s=settings: moved(source(n), source(n), s, r, degrees=d + 5, least=d - 5),
        )  # fmt: skip
    for name in (*names, "brain_c", "abdomen_mr"):
        for copy, sides in enumerate(((1, 3), (2, 3))):
            yield Entry(f"turned_upside_{name}_{copy}", "turned", lambda r, n=name, a=sides: _upside_down(n, a, r))


def _upside_down(name: str, axes: tuple[int, int], random: np.random.Generator) -> Pair:
    """Two axes of the moving image reversed under an unchanged header: half a turn."""
    pair = moved(source(name), source(name), own_preset(name), random)
    grid, turned = pair.moving.grid, pair.moving.with_data(pair.moving.data.flip(axes))
    corner = np.eye(4)
    for axis in axes:
        corner[axis - 1, axis - 1] = -1.0
        corner[axis - 1, 3] = grid.shape[axis - 1] - 1
    half = grid.affine @ corner @ np.linalg.inv(grid.affine)
    truth = replace(pair.truth, affine=half @ pair.truth.affine_matrix)
    return replace(pair, moving=turned, truth=truth)


def _apart() -> Iterator[Entry]:
    for n, name in enumerate(("brain_a", "mni", "p07_t1", "abdomen_ct", "lung", "p19_t1", "ms_flair", "brain_c")):
        yield Entry(f"apart_far_{name}", "apart", lambda r, n=name: _far(n, r))
        axis, share = n % 3, (0.45, 0.4)[n % 2]
        yield Entry(f"apart_halves_{name}", "apart", lambda r, n=name, a=axis, s=share: _halves(n, a, s, r))


def _far(name: str, random: np.random.Generator) -> Pair:
    """A shift of 35 to 60 mm that no affine start takes away."""
    axis = random.standard_normal(3)
    shift = axis / np.linalg.norm(axis) * random.uniform(35, 60)
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    settings = without_start(replace(own_preset(name), global_search="off"))
    return moved(source(name), source(name), settings, random, exact=matrix)


def _halves(name: str, axis: int, share: float, random: np.random.Generator) -> Pair:
    """One end of the fixed and the other end of the moving image: nothing is shared."""
    pair = moved(source(name), source(name), own_preset(name), random, shift_mm=0.0, degrees=3.0)
    fixed, moving = cropped(pair.fixed, axis, 0.0, share), cropped(pair.moving, axis, 1 - share, 1.0)
    center = (np.array(fixed.grid.center) - np.array(moving.grid.center)) * 0.7
    grid = replace(moving.grid, origin=tuple(np.array(moving.grid.origin) + center))
    return replace(pair, fixed=fixed, moving=replace(moving, grid=grid), truth=None, hopeless=True)
