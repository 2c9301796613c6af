"""A page about two versions: what it says, and that it needs and runs nothing."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from mlops.registry.charts import Axes, Line, Spread, line_chart, spread_chart
from mlops.registry.comparison import Comparison, compare, interval, quantile_distance
from mlops.registry.dossier import Dossier, from_registry
from mlops.registry.report import render_report
from mlops.registry.scorecard import Curves, Measured
from tests.approvals import manifest_of, model_version, scorecard

_CURVES = Curves(
    roc=((0.0, 0.0), (0.1, 0.8), (1.0, 1.0)),
    precision_recall=((0.5, 1.0), (1.0, 0.1)),
    calibration=((0.01, 0.02), (0.3, 0.35)),
)
_DRAWS = tuple(0.8 + n / 1000 for n in range(100))


def _measured(auc: float, shift: float, *, alternating: float = 0.0) -> Measured:
    draws = [d + shift + (alternating if n % 2 else -alternating) for n, d in enumerate(_DRAWS)]
    return Measured(metrics={"auc_roc": auc}, replicates={"auc_roc": draws}, curves=_CURVES)


def _pair(second: Measured) -> tuple[Dossier, Dossier]:
    """Version 1, and version 2 that was measured beside it."""
    first = _measured(0.85, 0)
    card = scorecard(approved=(1, 0.85)).model_copy(update={"own": second, "approved": first})
    manifests = [
        manifest_of("fraud", 1, graph=b"g", data_snapshot="old"),
        manifest_of("fraud", 2, graph=b"g", inputs=()),
    ]
    one = from_registry(model_version(1), manifests[0], scorecard())
    return one, from_registry(model_version(2), manifests[1], card)


def _verdict(second: Measured) -> Any:
    (found,) = compare(*_pair(second)).same_rows
    return found


def test_a_lead_on_every_draw_is_named_and_one_that_changes_sides_is_unclear() -> None:
    assert _verdict(_measured(0.86, 0.01)).better == "second"
    assert _verdict(_measured(0.84, -0.01)).better == "first"
    assert _verdict(_measured(0.86, 0.01, alternating=0.02)).better == "unclear"
    assert _verdict(_measured(0.85, 0)).better == "equal"


def test_a_difference_is_taken_draw_by_draw() -> None:
    found = _verdict(_measured(0.86, 0.01))
    low, high = found.difference_interval
    assert (low, high) == (pytest.approx(0.01), pytest.approx(0.01))
    assert found.first_interval[1] - found.first_interval[0] > 0.09


def test_an_interval_leaves_out_the_outermost_of_a_hundred_and_needs_enough_of_them() -> None:
    assert interval(range(201)) == (5.0, 195.0)
    assert interval([1.0] * 39) is None


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        (range(9), range(9), 0.0),
        (range(9), range(100, 109), 1.0),
        ([0] * 9, [0] * 9, 0.0),
        ([0, 0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1, 1], 0.25),
    ],
)
def test_quantiles_tell_how_far_distributions_are_apart(
    first: list[float], second: list[float], distance: float
) -> None:
    assert quantile_distance(first, second) == pytest.approx(distance)


def test_changed_inputs_and_data_are_named() -> None:
    found: Comparison = compare(*_pair(_measured(0.86, 0.01)))
    assert [(pair.name, pair.second) for pair in found.inputs] == [("amount", "")]
    assert {pair.name for pair in found.changed} == {"execution"}
    assert {pair.metric for pair in found.cost} == {"model_bytes", "p50_ms", "p99_ms"}
    assert found.rows == 100


class _Page(HTMLParser):
    """What a page loads or runs, and whether its elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.active: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        loads = [name for name, _ in attrs if name in {"src", "href"} or name.startswith("on")]
        self.active += loads + ([tag] if tag in {"script", "link", "iframe"} else [])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Elements of SVG that close themselves."""


def test_the_page_is_whole_and_loads_and_runs_nothing() -> None:
    first, second = _pair(_measured(0.86, 0.01))
    evil = dataclasses.replace(second, facts={"code": "<script>alert(1)</script>"})
    page = _Page(render_report(evil, first))
    assert (page.open, page.active) == ([], [])


def test_the_page_shows_verdict_intervals_curves_cost_and_changes() -> None:
    first, second = _pair(_measured(0.86, 0.01))
    text = render_report(second, first)
    for part in (
        "On the same 100 test rows",
        "0.8600 [0.8",
        "version 2</td></tr>",
        "Precision over recall",
        "model_bytes",
        "Changed inputs",
        "Where they come from",
    ):
        assert part in text
    assert text.count("<svg") == 4


def test_a_first_version_has_a_page_of_its_own() -> None:
    text = render_report(_pair(_measured(0.86, 0.01))[1], None)
    assert "with nothing to compare it with" in text
    assert "Metrics of version 2" in text


def test_versions_without_common_rows_are_said_not_to_be_comparable() -> None:
    first, second = _pair(_measured(0.86, 0.01))
    text = render_report(dataclasses.replace(second, card=scorecard(rows="b")), first)
    assert "There are no rows that both were tested on" in text


def test_charts_are_well_formed_and_stay_within_their_frame() -> None:
    line = Line("a & b", ((0.0, 0.0), (0.8, 0.8)), "#000", dots=True)
    chart = ET.fromstring(line_chart(Axes("<ROC>", "x", "y", 0.8, 0.8), [line]))
    dots = [(float(d.get("cx", 0)), float(d.get("cy", 0))) for d in chart.iter() if d.get("r")]
    assert dots == [(56.0, 258.0), (308.0, 28.0)]
    spreads = [Spread("auc", 0.01, (-0.5, 2.0), "#000"), Spread("none", 0.0, None, "#000")]
    drawn = ET.fromstring(spread_chart("d", spreads))
    ends = [float(x.get("x2", 0)) for x in drawn.iter() if x.tag.endswith("line")]
    assert max(ends) <= 520
