"""Read which model and which condition a command line asks for, and refuse options without effect."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..models.base import RegistrationModel
from ..registration.settings import RULES
from ..zoo.card import ModelCard, load_model
from ..zoo.folder import locate
from .console import UsageError

WITHOUT_NETWORK = ("iterations", "global_search")
"""Options of a descent from rest."""
_OF_PRIORS = [name for name, rules in RULES.items() if any(family == "prior" for family, _ in rules.get("of", ()))]
SHARED = tuple(name for name in _OF_PRIORS if RULES[name].get("live"))
"""Options of the energy that may be hyperparameters of a model, too."""
REFINEMENT = ("prior", *(name for name in _OF_PRIORS if name not in SHARED))
"""Options of the energy: of no effect on a network's answer that is not refined."""


@dataclass(frozen=True)
class ModelChoice:
    """A model and what was said about its hyperparameters.

    Args:
        name: as it was given.
        path: of its parameters.
        condition: from --condition, by name.
        shared: of `SHARED`, those that were given: hyperparameters where the model has them, else for the refinement only.
        refined: whether there is a refinement.
    """

    name: str
    path: Path
    condition: dict[str, float] = field(default_factory=dict)
    shared: dict[str, float] = field(default_factory=dict)
    refined: bool = False

    def values(self) -> dict[str, Any]:
        """What was asked for, for a comparison."""
        return {"name": self.name, "condition": self.condition | self.shared}

    def load(self, device: torch.device) -> tuple[tuple[RegistrationModel, ModelCard], dict[str, float]]:
        """(model, card) and its condition.

        Raises:
            UsageError: an option that this model does not take, or a value out of its range.
            ValueError: the file is damaged.
        """
        model, card = load_model(self.path, device)
        names = [h.name for h in model.hyperparameters]
        for name in self.shared:
            if name not in names and not self.refined:
                raise UsageError(
                    f"--{name.replace('_', '-')} has no effect with the model {self.name}, whose hyperparameters are "
                    f"{', '.join(names) or 'none'}: leave it out, or refine the answer (--refine N)."
                )
        condition = self.condition | {name: value for name, value in self.shared.items() if name in names}
        try:
            model.condition(condition)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return (model, card), condition


def model_choice(options: argparse.Namespace | Mapping[str, Any]) -> ModelChoice | None:
    """The model of a command line, or None.

    Raises:
        UsageError: options that have no effect together.
        FileNotFoundError: no such model; the nearest name is suggested.
    """
    options = options if isinstance(options, Mapping) else vars(options)
    name, refined = options.get("model"), bool(options.get("refine_steps"))
    if name is None:
        for option, flag in (
            ("refine_steps", "--refine"),
            ("condition", "--condition"),
            ("network_precision", "--network-precision"),
        ):
            if options.get(option):
                raise UsageError(f"{flag} has an effect with a model only: name one (--model NAME), or leave it out.")
        return None
    useless = [option for option in WITHOUT_NETWORK if options.get(option) is not None]
    useless += [option for option in REFINEMENT if options.get(option) is not None and not refined]
    if useless:
        remedy = "leave it out" if useless[0] in WITHOUT_NETWORK else "leave it out, or refine the answer (--refine N)"
        raise UsageError(f"--{useless[0].replace('_', '-')} has no effect on a model's answer: {remedy}.")
    shared = {option: options[option] for option in SHARED if options.get(option) is not None}
    return ModelChoice(name, locate(name), dict(options.get("condition") or ()), shared, refined)
