"""Describe the methods of a study: a preset, a trained model (refined or not), or another program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..declaration import check_fields, integer, refuse_unknown, suggestion
from ..registration.presets import PRESETS, preset_settings
from ..registration.settings import RegistrationSettings, check_linear, setting_names
from ..zoo.card import sha256_of
from ..zoo.folder import installed, locate
from .baselines import Baselines

START = "start"
"""The affine start alone, a line of every study."""
OF_THE_PAIR = "pair"
"""Stands for the preset that the list names for the pair, "generic" where it names none."""
KEYS = ("name", "preset", "model", "baseline", "settings", "condition", "refine")
KINDS = ("preset", "model", "baseline")
MACHINE = ("device", "threads")


@dataclass(frozen=True)
class Method:
    """One way to register all pairs.

    Args:
        name: in tables and pictures.
        kind: one of `KINDS`, or `START`.
        what: name of the preset, of the model (or its file), or of the baseline.
        preset: of a model: what its refinement goes by.
        settings: changes of the preset, by name.
        condition: hyperparameters of a model, by name.
        refine: steps that follow a model's answer.
    """

    name: str
    kind: str
    what: str
    preset: str = "generic"
    settings: Mapping[str, Any] = field(default_factory=dict)
    condition: Mapping[str, float] = field(default_factory=dict)
    refine: int = integer(0, 0, 1000, "steps", "that follow a model's answer")

    def __post_init__(self) -> None:
        check_fields(self, f"The method {self.name!r}: ")

    def registration_settings(self, pair_preset: str = "") -> RegistrationSettings:
        """How to register a pair with it.

        Args:
            pair_preset: of the pair's line in the list.

        Raises:
            ValueError: no such preset or setting, or a value out of range.
        """
        wanted = self.what if self.kind == "preset" else self.preset
        base = preset_settings((pair_preset or "generic") if wanted == OF_THE_PAIR else wanted)
        refuse_unknown(self.settings, setting_names(), "setting")
        linear = {**base.to_dict(), **self.settings}["deformable"] == "none"  # then the alignment is all that is asked for
        changes = {**({} if linear else {"affine": "none"}), **self.settings}
        return base.changed(**changes, **({"refine_steps": self.refine} if self.refine else {}))

    def identity(self) -> dict[str, Any]:
        """What was asked for, machine apart: equal for a repetition, unequal otherwise."""
        values = {name: value for name, value in asdict(self).items() if name != "name"}
        if self.kind == "model":
            file = Path(locate(self.what))
            return values | {"what": self.what if self.what in installed() else file.name, "sha256": sha256_of(file)}
        return values


def read_methods(values: Any, baselines: Baselines) -> tuple[Method, ...]:
    """The methods of a study file: names of presets, models and baselines, or objects with `KEYS`.

    Raises:
        ValueError: no method, an unknown one (the nearest is suggested), a misspelt key, or two of one name.
        FileNotFoundError: the file of a model is not there.
    """
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(
            "methods must be a list with at least one preset, model or baseline, such as [brain-mri, {model: head-any-beta}], "
            f"got {values!r}."
        )
    methods = tuple(value if isinstance(value, Method) else _method(value, baselines) for value in values)
    names = [START, *(method.name for method in methods)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"Two methods are called {twice!r}: give each its own name (name: ...); {START!r} is the affine start.")
    return methods


def _method(value: Any, baselines: Baselines) -> Method:
    if isinstance(value, str):
        return _checked(Method(value, _kind_of(value, baselines), value))
    if not isinstance(value, Mapping):
        raise ValueError(f"A method must be a name, or an object with {', '.join(KEYS)}, got {value!r}.")
    refuse_unknown(value, KEYS, "key of a method")
    kinds = [kind for kind in KINDS if kind in value]
    kind = "model" if "model" in kinds else kinds[0] if len(kinds) == 1 else None
    if kind is None or ("baseline" in kinds and len(kinds) > 1):
        raise ValueError(f"A method must name one of preset, model or baseline, got {', '.join(value) or 'nothing'}.")
    what = str(value[kind])
    _check_named(what, kind, baselines)
    method = Method(
        name=str(value.get("name") or what),
        kind=kind,
        what=what,
        preset=str(value.get("preset", "generic")),
        settings=value.get("settings") or {},
        condition=value.get("condition") or {},
        refine=value.get("refine", 0),
    )
    return _checked(method)


def _checked(method: Method) -> Method:
    """The method, if what it asks for can be done together."""
    where = f"The method {method.name!r}"
    if method.kind != "model" and (method.condition or method.refine):
        raise ValueError(f"{where} has no model: condition and refine belong to one; leave them out.")
    if method.kind == "baseline" and method.settings:
        raise ValueError(f"{where} is a baseline and takes no settings: they are in its script; leave them out.")
    own = [name for name in method.settings if name in (*MACHINE, "refine_steps")]
    if own:
        remedy = "write refine: N" if own[0] == "refine_steps" else f"set {own[0]} for the whole study"
        raise ValueError(f"{where} sets {own[0]}: {remedy}.")
    try:
        if method.kind != "baseline":
            check_linear(method.registration_settings(), model=method.kind == "model", initial=True)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return method


def _kind_of(name: str, baselines: Baselines) -> str:
    known = _known(baselines)
    for kind, names in known.items():
        if name in names:
            return kind
    if Path(name).suffix:
        locate(name)
        return "model"
    raise ValueError(_unknown(name, [word for names in known.values() for word in names], "method"))


def _check_named(what: str, kind: str, baselines: Baselines) -> None:
    names = _known(baselines)[kind]
    if what in names or (kind == "model" and Path(locate(what)).is_file()):
        return
    raise ValueError(_unknown(what, names, kind))


def _known(baselines: Baselines) -> dict[str, list[str]]:
    return {"preset": [*PRESETS, OF_THE_PAIR], "model": sorted(installed()), "baseline": sorted(baselines.scripts)}


def _unknown(name: str, names: Iterable[str], what: str) -> str:
    return f"Unknown {what} {name!r}; {suggestion(name, list(names) or ['none (there is none)'])}"
