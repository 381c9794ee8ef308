"""Tables of a study: means, comparisons and aims from measurements that are known; the page that shows them."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from page_tags import Tags

from SpatialRegularizationLib.registration.verdict import LEVELS
from SpatialRegularizationLib.report.page import Section
from SpatialRegularizationLib.studies.measured_pair import Measured
from SpatialRegularizationLib.studies.report import study_html
from SpatialRegularizationLib.studies.results import StudyResults
from SpatialRegularizationLib.studies.settings import StudySettings
from SpatialRegularizationLib.studies.statistics import wilcoxon_signed_rank
from SpatialRegularizationLib.studies.tables import measurements_csv, plain_values, summary_csv
from SpatialRegularizationLib.tuning.drawings import Axis, Chart
from SpatialRegularizationLib.tuning.ranges import Range

COUNT = 12


REASON = "The images <share> little."


def results(aims: list[dict[str, Any]] | None = None, failed: int = 1, *, judged: bool = False) -> StudyResults:
    """Twelve pairs: "generic" gains 0.01 n over "brain-mri" on pair n, and failed on the last `failed` pairs.

    Where it is judged, "generic" says so on pair 0: failed, on pairs 1 and 2: look here.
    """
    settings = StudySettings.from_dict(
        {"title": "A <try>", "pairs": "p.csv", "methods": ["brain-mri", "generic"], "aims": aims or [], "pictures": 1}
    )
    measured = {}
    for n in range(COUNT):
        pair = f"pair{n}"
        for name, dice, seconds in (("start", 0.4, None), ("brain-mri", 0.7, 2.0), ("generic", 0.7 + 0.01 * (n + 1), 1.0 + n)):
            figures = {"dice": dice, "dice_1": dice - 0.1, "dice_2": dice + 0.1, "folding_percent": 0.0, "hd95_mm": None}
            figures |= {} if seconds is None else {"seconds": seconds}
            level = LEVELS[max(0, 2 - (n + 1) // 2)] if judged and name == "generic" else ""
            reasons = (REASON, "Look.") if level not in ("", "good") else ()
            measured[pair, name] = Measured(pair, name, figures, verdict=level, reasons=reasons)
        if n >= COUNT - failed:
            measured[pair, "generic"] = Measured(pair, "generic", error="It is <broken>.")
    return StudyResults(settings, tuple(f"pair{n}" for n in range(COUNT)), measured)


def test_means_count_the_pairs_that_worked() -> None:
    found = results()
    dice = 0.7 + 0.01 * np.arange(1, COUNT)
    spread = found.spread("generic", "dice")
    assert (spread.mean, spread.sd, spread.count) == (pytest.approx(dice.mean()), pytest.approx(dice.std(ddof=1)), COUNT - 1)
    assert found.spread("generic", "seconds").typical("seconds") == pytest.approx(np.median(1.0 + np.arange(COUNT - 1)))
    assert found.spread("generic", "hd95_mm") is None, "undefined on every pair"
    assert found.pooled_sd("generic", "dice") == pytest.approx(np.concatenate([dice - 0.1, dice + 0.1]).std(ddof=1))
    assert (found.count("generic", failed=True), found.count("generic", failed=False)) == (1, COUNT - 1)


def test_comparisons_are_paired_over_what_both_have() -> None:
    (comparison,) = (c for c in results().comparisons if c.figure == "dice")
    assert (comparison.method, comparison.reference) == ("generic", "brain-mri")
    assert comparison.difference == pytest.approx(np.mean(0.01 * np.arange(1, COUNT)))
    assert (comparison.count, comparison.higher) == (COUNT - 1, COUNT - 1)
    assert comparison.test == wilcoxon_signed_rank(np.round(0.01 * np.arange(1, COUNT), 6))
    assert comparison.p_holm == 2 / 2 ** (COUNT - 1)


@pytest.mark.parametrize(
    ("aim", "failed", "reached", "words"),
    [
        ({"method": "generic", "at_least": 0.75}, 0, True, "asked: at least 0.75"),
        ({"method": "generic", "at_least": 0.9}, 0, False, "is 0.765"),
        ({"method": "generic", "at_least": 0.75}, 1, False, "1 pairs failed"),
        ({"method": "generic", "worst_at_least": 0.72}, 0, False, "worst pair 0.71"),
        ({"method": "generic", "against": "brain-mri", "difference_at_least": 0.06, "p_at_most": 0.001}, 0, True, "p against"),
        ({"method": "brain-mri", "against": "generic", "difference_at_least": -0.005}, 0, False, "minus generic -0.065"),
        ({"method": "brain-mri", "against": "generic", "better_on_all": True}, 0, False, "not better than generic on 12 of 12"),
        ({"method": "generic", "against": "start", "better_on_all": True}, 0, True, "on 0 of 12"),
        ({"figure": "seconds", "method": "brain-mri", "against": "generic", "ratio_at_most": 0.5}, 0, True, "generic 0.3077"),
        ({"figure": "folding_percent", "method": "generic", "worst_at_most": 0}, 0, True, "worst pair 0"),
        ({"figure": "dice_1", "method": "generic", "less_than": "dice_2"}, 0, True, "is 0.665, dice_2 is 0.865"),
        ({"figure": "dice_2", "method": "generic", "less_than": "dice_1"}, 0, False, "is 0.865"),
        ({"figure": "dice_2", "method": "generic", "less_than": "lncc"}, 0, None, "lncc is not measured"),
        ({"figure": "tre_mm", "method": "generic", "at_most": 1}, 0, None, "not measured"),
    ],
)
def test_aims_are_judged_by_the_numbers(aim: dict[str, Any], failed: int, reached: bool | None, words: str) -> None:
    (verdict,) = results([{"figure": "dice"} | aim], failed).aim_results()
    assert verdict.reached is reached
    assert words in verdict.words


def test_the_table_marks_the_best_and_what_is_no_chance() -> None:
    table = study_html(results(failed=0))
    assert "<b>0.765 ± 0.036</b><sup>***</sup>" in table
    assert "0.700 ± 0.000" in table
    assert "<td>6.50</td>" in table, "the median of the seconds"
    assert "<b>2.00</b>" in table


def test_the_csv_holds_every_measurement() -> None:
    rows = list(csv.DictReader(io.StringIO(measurements_csv(results()))))
    assert len(rows) == 3 * COUNT
    assert rows[2]["dice"] == "0.71"
    assert rows[-1]["error"] == "It is <broken>."
    assert rows[-1]["dice"] == ""
    summary = {(r["method"], r["figure"]): r for r in csv.DictReader(io.StringIO(summary_csv(results())))}
    assert float(summary["brain-mri", "dice"]["mean"]) == pytest.approx(0.7)
    assert summary["generic", "dice"]["pairs"] == str(COUNT - 1)


def test_verdicts_are_counted_and_stand_in_both_tables_with_their_reasons() -> None:
    found = results(judged=True)
    assert found.verdict_counts("generic") == {"good": COUNT - 4, "look here": 2, "failed": 1}, "none where it failed to run"
    assert found.verdict_counts("brain-mri") == {}
    rows = {(r["pair"], r["method"]): r for r in csv.DictReader(io.StringIO(measurements_csv(found)))}
    assert [rows[f"pair{n}", "generic"]["verdict"] for n in (0, 1, 2, 3, 11)] == ["failed", "look here", "look here", "good", ""]
    assert rows["pair0", "generic"]["reasons"] == f"{REASON} Look."
    assert rows["pair0", "start"]["verdict"] == rows["pair0", "brain-mri"]["verdict"] == ""
    assert plain_values(found, "")["methods"]["generic"]["verdicts"] == found.verdict_counts("generic")
    html = study_html(found)
    assert "<th>Good / look here / failed</th>" in html
    assert "<td>8 / 2 / 1</td>" in html
    assert html.count('<td class="caution"><details><summary>look here</summary>') == 2
    assert html.count('<td class="bad"><details><summary>failed</summary>') == 1
    assert html.count("<li>The images &lt;share&gt; little.</li><li>Look.</li>") == 3
    tags = Tags()
    tags.feed(html)
    assert not tags.problems
    assert not tags.open


def test_a_study_without_verdicts_says_nothing_of_them() -> None:
    found = results()
    assert "verdicts" not in plain_values(found, "")["methods"]["generic"]
    assert {r["verdict"] for r in csv.DictReader(io.StringIO(measurements_csv(found)))} == {""}
    assert "look here" not in study_html(found).split("How each figure is defined")[0]


def test_the_values_for_programs_are_plain() -> None:
    values = plain_values(results([{"figure": "dice", "method": "generic", "at_least": 0.5}]), "spatialreg evaluate x")
    assert values["methods"]["generic"]["figures"]["dice"]["mean"] == pytest.approx(0.76)
    assert values["methods"]["generic"]["failed"] == 1
    assert values["methods"]["generic"]["what"] == "generic"
    assert values["failures"] == [{"pair": "pair11", "method": "generic", "error": "It is <broken>."}]
    assert values["aims"][0]["reached"] is False
    assert values["pairs"] == COUNT


def test_the_page_is_whole_stands_alone_and_shows_everything() -> None:
    found = results([{"figure": "dice", "method": "generic", "at_least": 0.9}])
    more = [Section("Sweep of a <model>", "", [Chart(Axis("<η>", Range(0, 1)), Axis("Dice", Range(0, 1)), "surface")])]
    html = study_html(found, command="spatialreg evaluate <x>", pictures=lambda p, m: ("<i>pair</i>", f"<i>{m}</i>"), more=more)
    tags = Tags()
    tags.feed(html)
    assert not tags.problems
    assert not tags.open
    assert "http://" not in html
    assert "https://" not in html
    words_of_page = (
        "A &lt;try&gt;", "It is &lt;broken&gt;.", "0 of 1 aims", "Sweep of a &lt;model&gt;", "&lt;η&gt;", 'aria-label="surface"',
        "<i>generic</i>", "Wilcoxon",
    )  # fmt: skip
    for words in words_of_page:
        assert words in html
    assert html.count("<i>pair</i>") == 1, "the pair itself once, not for every method"
    assert html.count('class="boxes"') == 3, "Dice, time, and Dice of the labels"


def test_an_unfinished_study_says_so() -> None:
    found = results()
    part = StudyResults(found.settings, found.pairs, {k: v for k, v in found.measured.items() if k[0] == "pair0"})
    html = study_html(part)
    assert f"{3 * (COUNT - 1)} measurements are still to come" in html
