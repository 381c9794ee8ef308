"""Every name, label, path, note and command that a page shows is a text to it, whatever it looks like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from finished import finished_registration
from shippable import complete_card, tiny_model

from SpatialRegularizationLib.commands.model_page import model_page
from SpatialRegularizationLib.registration.result import Registration
from SpatialRegularizationLib.report import page as pages
from SpatialRegularizationLib.report.report import report_html
from SpatialRegularizationLib.report.side_by_side import side_by_side_html
from SpatialRegularizationLib.report.summary import summary
from SpatialRegularizationLib.studies.aims import Aim
from SpatialRegularizationLib.studies.measured_pair import Measured, pictures_of
from SpatialRegularizationLib.studies.methods import Method
from SpatialRegularizationLib.studies.regions import Region
from SpatialRegularizationLib.studies.report import study_html
from SpatialRegularizationLib.studies.results import StudyResults
from SpatialRegularizationLib.studies.settings import StudySettings
from SpatialRegularizationLib.tuning.ranges import Range
from SpatialRegularizationLib.tuning.report import tune_report_html
from SpatialRegularizationLib.tuning.sweep import SweepRecord, SweepSettings
from SpatialRegularizationLib.tuning.sweep_report import sweep_report_html, sweep_section
from SpatialRegularizationLib.tuning.trials import SearchRecord as TuningRecord
from SpatialRegularizationLib.tuning.trials import TrialRecord
from SpatialRegularizationLib.zoo.record import DataSource, StudyRecord, TrainingRecord

ATTACKS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'><svg onload=alert(1)>")


class Hostile:
    """Gives texts that would become part of a page if it did not escape them, and remembers them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, name: str) -> str:
        self.texts.append(f"{name}{''.join(ATTACKS)}")
        return self.texts[-1]


def _hostile_registration(h: Hostile) -> tuple[Registration, dict]:
    found = finished_registration(folded=True)
    label = h("label")
    scores = {"dice_after": {label: 0.5, "mean": 0.5}, "hd95_after_mm": {label: 1.0, "mean": 1.0}}
    found = replace(
        found,
        figures=replace(found.figures, device=h("device"), **scores),
        history=(replace(found.history[0], stage=h("stage")),),
        notes=(h("note"),),
        model={"name": h("network"), "system": h("system"), "condition": {h("condition"): 1.0}, "sha256": ""},
    )
    content = summary(found, h("command")) | {"title": h("title")}
    content["settings"] |= {h("setting"): h("value")}
    content["conventions"] = {h("figure"): h("convention")}
    content["verdict"] = {"level": "look here", "reasons": [h("reason")], "evidence": {}}
    return found, content


def _registration(h: Hostile) -> str:
    return report_html(*_hostile_registration(h))


def _side_by_side(h: Hostile) -> str:
    found = finished_registration()
    model, figures = {"name": h("network"), "system": h("system")}, replace(found.figures, device=h("device"))
    registrations = {h("one"): replace(found, model=model, figures=figures), h("other"): found}
    links = {name: h("link") for name in registrations}
    return side_by_side_html(registrations, title=h("title"), links=links, command=h("command"))


def _sweep_record(h: Hostile, ranges: int = 2) -> SweepRecord:
    spans = {h(f"hyperparameter{n}"): Range(0.0, 1.0) for n in range(ranges)}
    figures = {name: np.random.default_rng(0).random((3,) * ranges) for name in ("dice", "sd_log_j")}
    return SweepRecord(SweepSettings(spans, 3), figures, ("pair",), 2)


def _sweep(h: Hostile) -> str:
    record = _sweep_record(h)
    return sweep_report_html(record, model=h("model"), command=h("command"), settings={h("setting"): h("value")})


def _study(h: Hostile) -> str:
    methods = [Method(h(name), "preset", "generic", settings={h("setting"): h("value")}) for name in ("one", "other")]
    first, second = (method.name for method in methods)
    label, region, pair = h("label"), h("region"), h("pair")
    settings = replace(
        StudySettings(methods=methods, title=h("title"), pairs=h("list of pairs")),
        aims=(Aim(f"dice_{label}", first, against=second, difference_at_least=0.0),),
        regions=(Region(h("part"), (1,)),),
    )
    names = ("dice", f"dice_{label}", "dice_2", f"hd95_mm_{label}", f"lambda_mean_{region}", "lambda_mean_rim")
    names = (*names, "lambda_mean", "lambda_gradient_correlation", "tre_mm")
    generator = np.random.default_rng(0)
    measured = {
        (p, m): Measured(p, m, {name: float(generator.random()) for name in names}, verdict="look here", reasons=(h("look"),))
        for p in (pair, "p2", "p3")
        for m in settings.method_names
    }
    failed = h("failed pair")
    measured[failed, first] = Measured(failed, first, error=h("reason"))
    results = StudyResults(settings, (pair, "p2", "p3", failed), measured)
    more = [sweep_section(_sweep_record(h, n), h("swept model")) for n in (1, 2)]
    drawn = pictures_of(finished_registration()).split("<!-- subject -->")
    return study_html(results, command=h("command"), pictures=lambda p, m: tuple(drawn), more=more)


def _tuning(h: Hostile, ranges: int = 2) -> str:
    spans = {h(f"parameter{n}"): Range(0.1, 2.0) for n in range(ranges)}
    generator, trials = np.random.default_rng(0), []
    for number in range(8):
        values = {name: float(generator.uniform(0.1, 2.0)) for name in spans}
        state = "pruned" if number % 4 == 3 else "completed"
        trials.append(TrialRecord(number, state, values, float(generator.random()), {0: 0.1, 1: 0.2}, 3.0, h(f"note{number}")))
    importance = dict.fromkeys(spans, 0.5) if ranges > 1 else {}
    note = "" if importance else h("why there is no importance")
    record = TuningRecord(h("name"), h("storage"), spans, tuple(trials), 8, importance, note)
    return tune_report_html(record, command=h("command"), score_name=h("score"), settings={h("setting"): h("value")})


def _one_parameter(h: Hostile) -> str:
    return _tuning(h, ranges=1)


def _model(h: Hostile) -> str:
    curves = {"epoch": (1.0, 2.0), "dice": (0.5, 0.6)}
    figures = {"dice": {"mean": 0.5, "sd": 0.1}}
    card = complete_card(
        purpose=h("purpose"), intended_use=h("use"), license=h("license"), citation=h("citation"), source=h("source"),
        dialect=h("dialect"), limits=(h("limit"),), figures={h("figure"): 0.5}, sha256=h("sum"), notice=h("notice"),
        description={"system": h("system"), "lambda_max": h("lambda")},
        data=(DataSource(h("data"), h("terms"), h("used"), h("published"), h("whose")),),
        training=TrainingRecord(h("command"), {h("setting"): h("value")}, 3.5, 20, h("machine"), curves),
        studies=(StudyRecord(h("study"), 2, {h("method"): figures, h("other"): figures}),),
    )  # fmt: skip
    object.__setattr__(card, "name", h("name"))  # a card refuses such a name; the page does not count on it
    object.__setattr__(card, "intensity", h("intensity"))
    object.__setattr__(card, "orientation", h("orientation"))
    return model_page(card, tiny_model(), shipped=True)


KINDS: dict[str, Callable[[Hostile], str]] = {
    "registration": _registration, "side_by_side": _side_by_side, "study": _study, "tuning": _tuning,
    "tuning of one parameter": _one_parameter, "sweep": _sweep, "model": _model,
}  # fmt: skip


class _Elements(HTMLParser):
    """Counts scripts and finds attributes that run one, as a browser would read the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts, self.found, self.links = 0, [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found += [(tag, name) for name, _ in attributes if name.startswith("on")]
        self.links += [value for name, value in attributes if name == "src" and not value.startswith("data:")]


def problems(kind: str) -> list[str]:
    """What is wrong with a page of this kind that is made of hostile texts; nothing, it is hoped."""
    hostile = Hostile()
    text = KINDS[kind](hostile)
    elements = _Elements(text)
    found = [f"{attack} is part of the page" for attack in ATTACKS if attack in text]
    found += [f"{name} runs in <{tag}>" for tag, name in elements.found] + [f"{link} is loaded" for link in elements.links]
    found += ["a script too many"] if elements.scripts != (kind == "registration") else []
    rest = text
    for shown in hostile.texts:
        ways = {escape(shown), escape(shown).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")}
        if not any(way in text for way in ways):
            found.append(f"{shown} is not shown as it is")
        for way in ways:
            rest = rest.replace(way, "")
    return found + [f"{tag} is shown as a text" for tag in re.findall(r"&lt;/?[a-z]+", rest)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_becomes_part_of_a_page(kind: str) -> None:
    assert problems(kind) == []


USED = {
    "page": "sweep", "parts": "model", "charts": "tuning", "registration": "registration", "side_by_side": "side_by_side",
    "study": "study", "tuning": "tuning of one parameter", "sweep": "sweep", "model": "model",
}  # fmt: skip
"""Template → a kind of page that uses it."""


@pytest.mark.parametrize("template", USED)
def test_a_template_that_does_not_escape_is_noticed(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = pages._environment().overlay(autoescape=lambda name: name != f"{template}.html")
    monkeypatch.setattr(pages, "_environment", lambda: careless)
    assert problems(USED[template])


def test_every_template_escapes_and_none_makes_an_exception() -> None:
    environment = pages._environment()
    assert environment.autoescape is True
    assert {f"{name}.html" for name in USED} == set(environment.list_templates(["html"])), "each of them is tried above"
    for name in environment.list_templates():
        source, _, _ = environment.loader.get_source(environment, name)
        assert not re.search(r"\|\s*safe|autoescape|Markup", source), name


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(Exception, match="'title' is undefined"):
        pages.page("sweep")
