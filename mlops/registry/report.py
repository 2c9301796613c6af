"""A version, beside another one, as one HTML page that needs nothing else: for approvers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from mlops.registry.charts import COLORS, Axes, Line, Spread, line_chart, spread_chart
from mlops.registry.comparison import Comparison, compare, interval, shown_with_interval
from mlops.registry.dossier import Dossier
from mlops.registry.scorecard import Curves, Measured, on_same_rows

REPORT = "report.html"
_DRIFTS = 12
_ENDS = (0.04, 0.08, 0.2, 0.4, 0.8, 1.0)
"""How far a calibration chart may reach, in round quarters."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #28323c; max-width: 1040px; margin: 2em auto;
  padding: 0 1em } h1 { margin-bottom: 0 } h2 { margin-top: 1.8em; font-size: 1.15em }
table { border-collapse: collapse; margin: .6em 0 } td, th { padding: .25em .9em .25em 0;
  text-align: left; vertical-align: top; border-bottom: 1px solid #e4e8ec }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
td { overflow-wrap: anywhere } .quiet { color: #66727e } .charts { display: flex; flex-wrap: wrap;
  gap: 12px } .key { display: inline-block; width: .8em; height: .8em; border-radius: 50%;
  margin: 0 .3em 0 1em } .yes { color: #1a7f37; font-weight: 600 } .no { color: #b3261e;
  font-weight: 600 }
"""


def render_report(second: Dossier, first: Dossier | None) -> str:
    """The page. first: what it is compared with, as the version that is approved; None for none."""
    found = compare(first, second) if first else None
    against = f"beside {first.label}" if first else "with nothing to compare it with"
    parts = [
        f"<h1>{escape(second.model)}, {escape(second.label)}</h1>",
        f'<p class="quiet">{escape(against)}{_origin(second)}</p>',
        _same_rows(found, first, second) if found and first else _own(second),
        _curves(first, second),
        *(_comparison(found) if found else ()),
        _missing([*(first.missing if first else ()), *second.missing]),
    ]
    title = escape(f"{second.model}: {second.label}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


def _origin(dossier: Dossier) -> str:
    manifest = dossier.manifest
    if manifest is None:
        return ""
    window = manifest.test_window
    return escape(
        f"; trained by execution {manifest.execution}, submitted by {manifest.submitted_by}; "
        f"tested on {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}"
    )


def _same_rows(found: Comparison, first: Dossier, second: Dossier) -> str:
    if not found.same_rows:
        return (
            "<h2>On the same test rows</h2><p>There are no rows that both were tested on, so their "
            "figures below do not tell which is better.</p>" + _own(second)
        )
    verdicts = {"first": first.label, "second": second.label}
    rows = [
        [
            pair.metric,
            shown_with_interval(pair.first, pair.first_interval),
            shown_with_interval(pair.second, pair.second_interval),
            shown_with_interval(pair.difference, pair.difference_interval, sign="+"),
            verdicts.get(pair.better or "", pair.better or ""),
        ]
        for pair in found.same_rows
    ]
    spreads = [
        Spread(p.metric, p.difference, p.difference_interval, COLORS[1]) for p in found.same_rows
    ]
    title = "Differences with their intervals, each metric on a scale of its own"
    return (
        f"<h2>On the same {found.rows:,} test rows</h2>"
        + _table(["metric", first.label, second.label, "difference", "better"], rows, numbers=3)
        + _how(second)
        + spread_chart(title, spreads)
    )


def _own(dossier: Dossier) -> str:
    """A version's metrics with the intervals that its own test gives."""
    own = dossier.card.own if dossier.card else Measured(metrics={})
    rows = [
        [name, shown_with_interval(value, interval(own.replicates.get(name, ())))]
        for name, value in sorted({**dossier.metrics, **own.metrics}.items())
    ]
    return (
        f"<h2>Metrics of {escape(dossier.label)}</h2>"
        + _table(["metric", dossier.label], rows, numbers=1)
        + _how(dossier)
    )


def _how(dossier: Dossier) -> str:
    card = dossier.card
    if card is None:
        return ""
    unit = f"values of {card.unit}, each with all its rows," if card.unit else "rows"
    draws = max((len(found) for found in card.own.replicates.values()), default=0)
    return (
        f'<p class="quiet">In brackets: 95% intervals by the percentile bootstrap. {draws} times, '
        f"{escape(unit)} were drawn with replacement, the same for both versions; a difference is "
        "taken draw by draw, and is unclear where its interval holds 0.</p>"
    )


def _curves(first: Dossier | None, second: Dossier) -> str:
    """Of both on the same rows; else of the second alone."""
    lines = _lines(first, second)
    if not lines:
        return ""
    far = max(max(x, y) for _, curves, _ in lines for x, y in curves.calibration) or 1.0
    reach = next(end for end in _ENDS if far <= end)
    keys = "".join(
        f'<span class="key" style="background:{color}"></span>{escape(name)}'
        for name, _, color in lines
    )
    charts = (
        line_chart(
            Axes("ROC", "share of negatives found", "share of positives found"),
            [Line(name, curves.roc, color) for name, curves, color in lines],
            diagonal=True,
        ),
        line_chart(
            Axes("Precision over recall", "recall", "precision"),
            [Line(name, curves.precision_recall, color) for name, curves, color in lines],
        ),
        line_chart(
            Axes(
                "Calibration, by tenths of the rows",
                "mean score",
                "share of positives",
                reach,
                reach,
            ),
            [Line(name, curves.calibration, color, dots=True) for name, curves, color in lines],
            diagonal=True,
        ),
    )
    return f'<h2>Curves</h2><p>{keys}</p><div class="charts">{"".join(charts)}</div>'


def _lines(first: Dossier | None, second: Dossier) -> list[tuple[str, Curves, str]]:
    found = first and on_same_rows((first.number, first.card), (second.number, second.card))
    if first and found and found[0].curves and found[1].curves:
        named = [(first.label, found[0].curves), (second.label, found[1].curves)]
        return [(*pair, color) for pair, color in zip(named, COLORS, strict=True)]
    curves = second.card.own.curves if second.card else None
    return [(second.label, curves, COLORS[1])] if curves else []


def _comparison(found: Comparison) -> Iterable[str]:
    labels = [f"version {found.first}", f"version {found.second}" if found.second else "this one"]
    if found.cost:
        rows = [[p.metric, _number(p.first), _number(p.second)] for p in found.cost]
        yield "<h2>Size and latency</h2>" + _table(["", *labels], rows, numbers=2)
        yield '<p class="quiet">One row at a time on one thread, where the model was exported.</p>'
    inputs = [[pair.name, pair.first, pair.second] for pair in found.inputs]
    yield "<h2>Changed inputs</h2>" + (_table(["input", *labels], inputs) or "<p>None.</p>")
    if found.drifts:
        yield _drifts(found, labels)
    changed = [[pair.name, pair.first, pair.second] for pair in found.changed]
    yield "<h2>Where they come from</h2>" + _table(["", *labels], changed)
    rows = [[p.metric, _number(p.first), _number(p.second)] for p in found.metrics]
    yield "<h2>As registered</h2>" + _table(["metric", *labels], rows, numbers=2)
    yield '<p class="quiet">Each version on the test rows of its own run.</p>'


def _drifts(found: Comparison, labels: Sequence[str]) -> str:
    rows = [
        [
            drift.name,
            f"{drift.distance:.3f}",
            *(_number(mean) for mean in drift.mean),
            *(f"{share:.1%}" for share in drift.missing),
        ]
        for drift in found.drifts[:_DRIFTS]
    ]
    columns = ["input", "distance", *(f"mean, {label}" for label in labels)]
    columns += [f"missing, {label}" for label in labels]
    return (
        "<h2>Training data</h2>"
        + _table(columns, rows, numbers=5)
        + '<p class="quiet">The farthest first. The distance is Kolmogorov and Smirnov\'s, by nine '
        "quantiles: 0 is the same distribution, 1 another one altogether. 'score' is the model's "
        "own output on its test rows. Rows and values: mlops datasets diff.</p>"
    )


def _missing(reasons: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f"<h2>Not compared</h2><ul>{listed}</ul>" if reasons else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> str:
    """numbers: how many columns after the first hold numbers."""
    if not rows:
        return ""
    heads = "".join(_cell("th", n, text, numbers) for n, text in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(_cell('td', n, text, numbers) for n, text in enumerate(row))}</tr>"
        for row in rows
    )
    return f"<table><tr>{heads}</tr>{body}</table>"


def _cell(tag: str, place: int, text: str, numbers: int) -> str:
    kind = ' class="n"' if 1 <= place <= numbers else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"
