"""Measure one pair of a study: read it once, register it with one method after the other; failures are told, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..geometry.companions import Companions
from ..geometry.transform import SpatialTransform
from ..io.lists import ListedPair
from ..measures.memory import peak_memory_of
from ..registration.choices import chosen_device
from ..registration.network import Network, network_of
from ..registration.register import register
from ..registration.result import Registration
from ..report.cuts import Cuts
from ..report.page import part
from ..report.pictures import method_rows, subject_rows
from ..report.summary import plain
from .baselines import run_baseline
from .figures import figures_of_transform, figures_of_weight
from .methods import START, Method
from .pairs import ReadPair
from .reading import read_pair
from .settings import StudySettings

SUBJECT = "<!-- subject -->"
"""Ends the pictures of the pair itself, which are the same for every method."""


@dataclass(frozen=True)
class Measured:
    """What became of one method on one pair: figures, or the reason why there are none.

    Args:
        pair, method: names.
        figures: {name: number}; None for one that is undefined.
        error: one sentence, or "".
        pictures: HTML of the pictures, where they were asked for.
        note: a sentence about the pair for who watches the study, or "".
        verdict: what our own method says of its result, one of `registration.verdict.LEVELS`; "" for the start and the methods of
            others, and where an earlier version measured.
        reasons: of the verdict, sentences.
    """

    pair: str
    method: str
    figures: Mapping[str, float | None] = field(default_factory=dict)
    error: str = ""
    pictures: str = ""
    note: str = ""
    verdict: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A pair, the methods that are still to be run on it, and whether pictures are wanted."""

    pair: ListedPair
    methods: tuple[Method, ...]
    pictured: bool = False


class Measuring:
    """Runs tasks; keeps the models that it has read.

    Args:
        settings: of the study.
        explain: an error as one sentence.
    """

    def __init__(self, settings: StudySettings, explain: Callable[[BaseException], str]) -> None:
        self._settings = settings
        self._explain = explain
        self._networks: dict[str, Network] = {}

    def run(self, task: Task) -> Iterator[Measured]:
        """Every method in turn; a failure is told and the next one follows."""
        name = task.pair.name
        try:
            pair = read_pair(task.pair, self._settings)
        except Exception as error:
            reason = self._explain(error)
            yield from (Measured(name, method.name, error=reason) for method in task.methods)
            return
        for method in task.methods:
            try:
                yield self._one(pair, method, task.pictured)
            except Exception as error:
                yield Measured(name, method.name, error=self._explain(error))

    def _one(self, pair: ReadPair, method: Method, pictured: bool) -> Measured:
        settings, extra, pictures, verdict = self._settings, {}, "", None
        if method.kind == START:
            transform = SpatialTransform(pair.start)
        elif method.kind == "baseline":
            transform, extra = run_baseline(settings.all_baselines, method.what, pair, threads=settings.threads)
        else:
            registration, extra = self._registered(pair, method)
            transform, verdict = registration.transform, registration.verdict
            extra |= figures_of_weight(registration, pair.companions.fixed_labels, settings.regions)
            if pictured:
                pictures = pictures_of(registration)
        figures = figures_of_transform(transform, pair, settings) | extra
        note = " ".join(pair.companions.notes) if method.kind == START else ""
        level, reasons = (verdict.level, verdict.reasons) if verdict else ("", ())
        return Measured(
            pair.name, method.name, plain(figures), pictures=pictures, note=note, verdict=level, reasons=reasons
        )

    def _registered(self, pair: ReadPair, method: Method) -> tuple[Registration, dict[str, float]]:
        chosen = replace(
            method.registration_settings(pair.preset), device=self._settings.device, threads=self._settings.threads
        )
        network = self._network(method)
        start = pair.given if chosen.deformable == "none" else pair.start
        model = {} if network is None else {"model": (network.model, network.card), "condition": method.condition}
        with peak_memory_of(chosen_device(chosen.device)) as memory:
            registration = register(
                pair.fixed, pair.moving, chosen,
                companions=Companions(fixed_mask=pair.companions.fixed_mask, moving_mask=pair.companions.moving_mask),
                initial=SpatialTransform(start), **model,
            )  # fmt: skip
        return registration, {"seconds": registration.seconds, "peak_memory_mb": memory.mb}

    def _network(self, method: Method) -> Network | None:
        if method.kind != "model":
            return None
        if method.what not in self._networks:
            self._networks[method.what] = network_of(method.what, method.condition, chosen_device(self._settings.device))
        return self._networks[method.what]


def pictures_of(registration: Registration) -> str:
    """HTML of the two images, then warped image, λ over the fixed image, volume change and deformation grid."""
    cuts = Cuts(registration)
    subject, method = (part("parts", "rows", cuts.planes, rows_of(cuts)) for rows_of in (subject_rows, method_rows))
    return f"{subject}{SUBJECT}{method}"
