"""Register one pair of files into its result folder, as a command line or a line of a table asks for."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..io.companions import read_companions
from ..io.stamps import stamp_of
from ..io.transforms import read_transform
from ..io.volumes import read_volume
from ..registration.choices import chosen_device
from ..registration.presets import PRESETS, preset_settings
from ..registration.register import register
from ..registration.settings import RULES, RegistrationSettings, check_linear, obstacle_of, setting_names
from ..report.result_folder import check_destination, claimed_folder
from ..report.results import write_result
from .console import Console, UsageError, silent_libraries
from .model_choice import ModelChoice, model_choice
from .options import INPUTS


@contextlib.contextmanager
def folder_of(job: Job, *, force: bool) -> Iterator[None]:
    """The folder of the result belongs to this process inside the block; refused before any work where it may not be written.

    Raises:
        UsageError: it holds an earlier result or something else, or another process is writing there.
    """
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(claimed_folder(job.out))
            check_destination(job.out, overwrite=force)
            claim = stack.pop_all()
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(str(error)) from error
    with claim:
        yield


def perform(job: Job, console: Console, command: str, *, force: bool, debug: bool) -> dict[str, Any]:
    """Read, register and write one pair; returns the content of its report.json."""
    model, condition = None, None
    if job.model is not None:
        console.step("Reading the model")
        model, condition = job.model.load(chosen_device(job.settings.device))
    console.step("Reading images")
    fixed, moving = read_volume(job.fixed), read_volume(job.moving)
    companions = read_companions(job.inputs, fixed, moving)
    initial = read_transform(job.inputs["initial"]) if "initial" in job.inputs else None
    registration = register(
        fixed, moving, job.settings, companions=companions, initial=initial, model=model, condition=condition,
        monitor=console.progress,
    )  # fmt: skip
    console.step("Writing the result")
    about = {"title": job.title, "job": job.identity()}
    with silent_libraries(debug=debug):
        return write_result(job.out, registration, command, overwrite=force, companions=companions, about=about)


@dataclass(frozen=True)
class Job:
    """A pair, its files and its settings.

    Args:
        fixed, moving: image files or DICOM folders.
        out: folder of the result.
        settings: how to register.
        inputs: paths of `INPUTS` and "initial", those that were given.
        name: what to call the pair.
        model: the network that answers, or None for the per-pair mode.
    """

    fixed: Path
    moving: Path
    out: Path
    settings: RegistrationSettings
    inputs: dict[str, Path] = field(default_factory=dict)
    name: str = ""
    model: ModelChoice | None = None

    @property
    def title(self) -> str:
        """The heading of the report."""
        return f"{self.name + ': ' if self.name else ''}{self.moving.name} to {self.fixed.name}"

    def identity(self) -> dict[str, Any]:
        """What was asked for, as it stands in report.json under "job": equal for a repetition, unequal otherwise."""
        files = {"fixed": self.fixed, "moving": self.moving} | self.inputs
        model = {}
        if self.model is not None:
            files["model"] = self.model.path
            model = {"model": self.model.values()}
        return model | {"settings": self.settings.to_dict(), "inputs": {name: stamp_of(path) for name, path in files.items()}}

    def is_that_of(self, identity: Any) -> bool:
        """Whether an earlier result was asked for in the same way, as its report.json holds it under "job"."""
        return _in_effect(identity) == _in_effect(self.identity())


ADDED = {"deformable": "on", "edge_relief": 0.0, "evidence": "none", "automatic": "off"}
"""Settings that earlier versions did not have → what these did."""


def _in_effect(identity: Any) -> Any:
    """An identity without settings that have no effect: those of methods that are not chosen, which versions may differ in."""
    if not isinstance(identity, Mapping) or not isinstance(identity.get("settings"), Mapping):
        return identity
    asked = ADDED | dict(identity["settings"])
    kept = {name: value for name, value in asked.items() if name not in RULES or obstacle_of(name, asked) is None}
    return {**identity, "settings": kept}


def job_from(options: argparse.Namespace) -> Job:
    """The job of a command line with one pair.

    Raises:
        UsageError: images are missing, or a setting is out of range.
    """
    if options.fixed is None or options.moving is None:
        raise UsageError("Two images are needed, FIXED and MOVING: see 'spatialreg register --help'.")
    inputs = {name: Path(value) for name in (*INPUTS, "initial") if (value := getattr(options, name))}
    check_pairs(inputs)
    settings = settings_from(vars(options), options.preset)
    model = model_choice(options)
    check_linear_job(settings, model, inputs)
    return Job(Path(options.fixed), Path(options.moving), Path(options.out), settings, inputs, model=model)


def settings_from(options: Mapping[str, Any], preset: str) -> RegistrationSettings:
    """The preset with the options that were given.

    Raises:
        UsageError: unknown preset, value out of range, or an option without effect.
    """
    given = {name: options[name] for name in setting_names() if options.get(name) is not None}
    try:
        base = preset_settings(preset)
        if options.get("iterations"):
            given["levels"] = _levels(base, options["iterations"])
        settings = base.changed(**given)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(_as_options(str(error), given)) from error
    for name in given:
        obstacle = obstacle_of(name, vars(settings))
        if obstacle and not _may_fall(obstacle, settings):
            other, values = obstacle
            wanted = f"{_flag(other)} {' or '.join(values)}"
            raise UsageError(
                f"{_flag(name)} has an effect with {wanted} only, and it is {getattr(settings, other)}: leave it out, or choose "
                f"{wanted}."
            )
    return settings


def _may_fall(obstacle: tuple[str, tuple[str, ...]], settings: RegistrationSettings) -> bool:
    """Whether the preset that the pair decides may take an obstacle away."""
    other, values = obstacle
    decided = settings.automatic == "on" and other not in settings.kept
    return decided and any(getattr(preset, other) in values for preset in PRESETS.values())


def check_linear_job(settings: RegistrationSettings, model: ModelChoice | None, inputs: Mapping[str, Path]) -> None:
    """A job without a deformation has something to find or to apply, and no model.

    Raises:
        UsageError: it has not.
    """
    try:
        check_linear(settings, model=model is not None, initial="initial" in inputs)
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_pairs(inputs: Mapping[str, Path]) -> None:
    """Label maps and points are of use on both sides only.

    Raises:
        UsageError: one side is missing.
    """
    for kind in ("labels", "points"):
        given = [side for side in ("fixed", "moving") if f"{side}_{kind}" in inputs]
        if len(given) == 1:
            missing = "moving" if given == ["fixed"] else "fixed"
            if kind == "labels" and missing == "fixed":
                continue  # labels of the moving image alone are carried along
            raise UsageError(f"--{given[0]}-{kind} needs --{missing}-{kind} to compare with: give both or neither.")


def _levels(base: RegistrationSettings, steps: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    if len(steps) != len(base.levels):
        raise UsageError(f"--iterations needs {len(base.levels)} numbers for this preset, got {len(steps)}.")
    return tuple((image, velocity, n) for (image, velocity, _), n in zip(base.levels, steps, strict=True))


def _as_options(message: str, given: Mapping[str, Any]) -> str:
    for name in sorted(given, key=len, reverse=True):
        message = message.replace(name, _flag(name))
    return message


def _flag(name: str) -> str:
    return {"working_spacing_mm": "--working-spacing", "levels": "--iterations", "refine_steps": "--refine"}.get(
        name, "--" + name.replace("_", "-")
    )
