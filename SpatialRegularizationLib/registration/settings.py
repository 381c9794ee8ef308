"""Declare everything that can be chosen about a registration: one frozen value, fields with unit, range and meaning."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ..declaration import check_fields, choice, entry, integer, number, offers, parameters_of, refuse_unknown
from ..priors import PRIORS
from ..similarity import SIMILARITIES


def _checked_kept(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list of names of settings, got {value!r}; write for example [\"similarity\"].")
    refuse_unknown(value, setting_names(), "setting")
    return tuple(sorted(set(value)))


def _checked_levels(name: str, value: Any) -> tuple[tuple[int, int, int], ...]:
    problem = (
        f"{name} must be triples of (image shrink, velocity shrink, steps) with shrinks from 1 to 64 and steps from 0 to "
        f"10000, coarse to fine, got {value!r}; write for example ((4, 4, 60), (2, 4, 40))."
    )
    try:
        levels = tuple((int(image), int(velocity), int(steps)) for image, velocity, steps in value)
    except (TypeError, ValueError):
        raise ValueError(problem) from None
    inside = all(1 <= a <= 64 and 1 <= b <= 64 and 0 <= steps <= 10000 for a, b, steps in levels)
    falling = all(later[n] <= earlier[n] for earlier, later in itertools.pairwise(levels) for n in (0, 1))
    if not levels or not inside or not falling:
        raise ValueError(problem)
    return levels


@dataclass(frozen=True)
@offers(similarity=SIMILARITIES, prior=PRIORS)
class RegistrationSettings:
    """What `register` does; start from a preset and change fields with `changed` (or `dataclasses.replace`).

    The fields carry their help, unit, range and choices in `metadata`; command line and panel read them from there. Further
    fields are `similarity`, `prior` and the parameters that their methods declare: `lncc_window`, `lambda_max`, `alpha_prime`, ….

    Raises:
        ValueError: a field outside its range or choices; one sentence naming both.
    """

    lambda_pooling: int = integer(
        1, 1, 32, "voxels", "edge of the blocks of the velocity's lattice over which lambda is evaluated"
    )
    edge_relief: float = number(
        0.0, 0.0, 0.99, "", "share of lambda that strong edges of the fixed image take from differences of the motion across "
        "them, so that organs can slide along one another; 0 none",
    )  # fmt: skip
    automatic: str = choice(
        "off", ("off", "on"),
        "on: the pair is measured, and the preset that fits it takes the place of all settings that were not changed",
    )  # fmt: skip
    kept: tuple[str, ...] = entry(
        (), "names of settings that were asked for, and stay where the pair decides, whatever their values", check=_checked_kept
    )
    affine: str = choice(
        "affine", ("none", "center", "rigid", "affine"),
        "alignment before the deformable stage; candidates from all rotations and shifts compete, whatever the contrasts",
    )
    deformable: str = choice(
        "on", ("on", "none"), "what follows the alignment: a deformation, or none, so that the result is a linear transform"
    )
    evidence: str = choice(
        "none", ("none", "clear"),
        "clear: a deformation is taken only where the structures of the images agree clearly better with it than without, so "
        "that images of one person between which nothing has changed stay as the alignment brought them",
    )  # fmt: skip
    global_search: str = choice(
        "auto",
        ("auto", "on", "off"),
        "search for large displacements before the gradient descent; auto decides by the pair",
    )
    levels: tuple[tuple[int, int, int], ...] = entry(
        ((8, 8, 60), (4, 4, 50), (2, 4, 40), (1, 2, 30)),
        "coarse to fine: (image shrink, velocity shrink, steps) of each level, shrinks in working voxels",
        unit="voxels, voxels, steps",
        check=_checked_levels,
    )
    learning_rate: float = number(0.1, 1e-4, 10.0, "voxels", "step of the optimizer at each level")
    tolerance: float = number(
        1e-4, 0.0, 0.1, "", "a level ends when ten steps lower the energy by less than this share of its whole fall; 0 never"
    )
    refine_steps: int = integer(
        0, 0, 1000, "steps", "steps of the optimizer that follow a model's answer; 0 takes the answer as it is"
    )
    working_spacing_mm: float | None = number(
        None, 0.05, 50.0, "mm", "voxel spacing to work at; default: that of the fixed image", step=0.1
    )
    max_voxels: int = integer(
        12_000_000, 1000, 500_000_000, "voxels", "working grid is coarsened to stay below this"
    )
    intensity: str = choice(
        "percentile", ("percentile", "ct", "none"), "intensity preparation: robust percentiles, a CT window, or none"
    )
    seed: int = integer(0, 0, 2**31 - 1, "", "seed of the random sampling; the same seed gives the same result")
    device: str = choice(
        "auto", ("auto", "cpu", "cuda", "mps"), "where to compute; auto takes a GPU when there is one"
    )
    threads: int | None = integer(None, 1, 1024, "", "CPU threads; default: all")
    precision: str = choice("float32", ("float32", "float64"), "floating-point precision of the optimization")
    network_precision: str = choice(
        "float32", ("float32", "bf16"), "precision of a model's pass; bf16 is faster, the answer moves by hundredths of a voxel"
    )

    def __post_init__(self) -> None:
        check_fields(self)

    def changed(self, **values: Any) -> RegistrationSettings:
        """With these values, which also stay where the pair decides the others (the preset auto), even if they are its own.

        Raises:
            ValueError: a name that is no setting (the nearest one is suggested), or a value out of range.
        """
        refuse_unknown(values, setting_names(), "setting")
        found = replace(self, **values)
        asked = {*found.kept, *values} - {"automatic", "kept"}
        return replace(found, kept=tuple(sorted(asked))) if found.automatic == "on" else found

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, as they stand in report.json."""
        return asdict(self) | {"levels": [list(level) for level in self.levels], "kept": list(self.kept)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RegistrationSettings:
        """From names and values.

        Raises:
            ValueError: a name that is no setting (the nearest one is suggested), or a value out of range.
        """
        refuse_unknown(values, setting_names(), "setting")
        return cls(**dict(values))


OF_THE_DEFORMATION = (
    "prior", "lambda_pooling", "edge_relief", "evidence", "global_search", "levels", "learning_rate", "tolerance", "refine_steps",
    "working_spacing_mm", "max_voxels", "precision", "network_precision",
)  # fmt: skip
"""Settings that have an effect where something deforms only, like the parameters of the prior."""


def effect_of(name: str) -> tuple[str, tuple[str, ...]] | None:
    """On which other setting it depends whether a setting has an effect, and the values with which it has; None: always."""
    if name in OF_THE_DEFORMATION:
        return "deformable", ("on",)
    if name == "kept":
        return "automatic", ("on",)
    users = RULES[name].get("of")
    return None if users is None else (users[0][0], tuple(method for _, method in users))


def obstacle_of(name: str, chosen: Mapping[str, Any]) -> tuple[str, tuple[str, ...]] | None:
    """The other setting that keeps a setting from having an effect, and the values with which it would; None: it has one.

    Args:
        name: of a setting.
        chosen: values of all settings by name.
    """
    effect = effect_of(name)
    if effect is None:
        return None
    above = obstacle_of(effect[0], chosen)
    return above or (None if chosen.get(effect[0]) in effect[1] else effect)


def check_linear(settings: RegistrationSettings, *, model: bool, initial: bool) -> None:
    """Refuses a registration without a deformation that contradicts itself; every other one passes.

    Args:
        settings: of the registration.
        model: whether a network shall answer.
        initial: whether there is a transform to start from.

    Raises:
        ValueError: a model, or nothing that is to be found or applied.
    """
    if settings.deformable == "on":
        return
    if model:
        raise ValueError(
            "A model answers with a deformation, and nothing is to deform (deformable none): leave the model out, or choose "
            "deformable on or a preset that deforms."
        )
    if settings.affine == "none" and not initial:
        raise ValueError(
            "There is nothing to find where both affine and deformable are none: choose affine rigid or affine, or "
            "deformable on, or give an initial transform to apply."
        )


def live_settings(prior: str) -> tuple[str, ...]:
    """The parameters of a prior that have a slider."""
    return _declaring(prior, "live")


def searched_settings(prior: str) -> tuple[str, ...]:
    """The parameters of a prior that say how strongly is regularized: those that tuning searches."""
    return _declaring(prior, "search")


def _declaring(prior: str, rule: str) -> tuple[str, ...]:
    method = next(method for method in PRIORS if method.name == prior)
    return tuple(name for name in parameters_of(method).values() if RULES[name].get(rule))


def setting_names() -> tuple[str, ...]:
    """The names of all settings, in order."""
    return tuple(f.name for f in fields(RegistrationSettings))


RULES: dict[str, Mapping[str, Any]] = {f.name: f.metadata for f in fields(RegistrationSettings)}
"""Setting → its declaration: help, unit, and choices or range; of parameters also symbol, `of`, `live`, `search`."""
