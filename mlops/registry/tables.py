"""Versions, comparisons and decisions as the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mlops.errors import InputError
from mlops.names import Names
from mlops.registry.applying import RulesChange
from mlops.registry.approval import Effect, Outcome
from mlops.registry.comparison import (
    Comparison,
    LineagePair,
    MetricPair,
    shown_with_interval,
)
from mlops.registry.history import History
from mlops.registry.policy import Applied, Rules
from mlops.registry.principal import parse_principal
from mlops.registry.record import Check, Entry
from mlops.registry.versions import ModelVersion

Rows = tuple[list[str], list[list[str]]]
"""Column names and rows."""

_SHOWN = 3
_DRIFTS = 8
_KNOWN = ("auc_roc", "average_precision", "card_precision_100")


def versions(found: Sequence[ModelVersion], serves: Callable[[ModelVersion], str]) -> Rows:
    """One row per version, with the metrics that say most."""
    metrics = _leading_metrics(found)
    columns = ["model", "version", "status", "serves", "created", *metrics]
    rows = [
        [
            version.model,
            str(version.version),
            version.status.value,
            serves(version),
            f"{version.created:%Y-%m-%d %H:%M}",
            *(_number(version.metrics.get(name)) for name in metrics),
            person(version.submitted_by),
        ]
        for version in found
    ]
    return [*columns, "submitted by"], rows


def version(found: ModelVersion, serves: str) -> Rows:
    """One row per fact."""
    facts = {
        "status": found.status.value,
        "note": found.note,
        "serves": serves or "nothing",
        "created": f"{found.created:%Y-%m-%d %H:%M:%S %Z}",
        "submitted by": found.submitted_by,
        "trained by": found.trained_by,
        "files": found.model_prefix,
        "manifest sha256": found.manifest_sha256,
        "package": found.package_arn,
        **dict(sorted(found.lineage.items())),
        **{name: _number(value) for name, value in sorted(found.metrics.items())},
    }
    return ["what", "value"], [[name, value] for name, value in facts.items()]


def comparison(found: Comparison) -> Iterator[tuple[str, Rows]]:
    """Titles and tables, as far as there is anything to show; what decides comes first."""
    both = f"{found.model}: {found.first} and {found.second}"
    if found.same_rows:
        yield f"{both}, on the same {found.rows:,} test rows, with 95% intervals", same_rows(found)
    yield f"{both}, each on its own run's test rows", metrics(found)
    if found.cost:
        yield "Size, and latency of one row", pairs(found.cost, found)
    if found.inputs:
        yield "Changed inputs", changes(found.inputs, found)
    if found.drifts:
        yield "Training data, the farthest apart", drifts(found)
    if found.changed:
        yield "Changed between them", changes(found.changed, found)


def same_rows(found: Comparison) -> Rows:
    """One row per metric; the better version is named where its lead is no chance."""
    better = {"first": str(found.first), "second": str(found.second)}
    rows = [
        [
            pair.metric,
            shown_with_interval(pair.first, pair.first_interval),
            shown_with_interval(pair.second, pair.second_interval),
            shown_with_interval(pair.difference, pair.difference_interval, sign="+"),
            better.get(pair.better or "", pair.better or ""),
        ]
        for pair in found.same_rows
    ]
    return _beside(found, "metric", "change", "better"), rows


def drifts(found: Comparison) -> Rows:
    """One row per input of both, the farthest apart first."""
    rows = [
        [
            drift.name,
            f"{drift.distance:.3f}",
            *(_number(mean) for mean in drift.mean),
            " → ".join(f"{share:.1%}" for share in drift.missing),
        ]
        for drift in found.drifts[:_DRIFTS]
    ]
    labels = [f"mean, version {number}" for number in (found.first, found.second)]
    return ["input", "KS distance", *labels, "missing"], rows


def metrics(found: Comparison) -> Rows:
    """One row per metric, with the better version's number."""
    return pairs(found.metrics, found)


def pairs(shown: Iterable[MetricPair], found: Comparison) -> Rows:
    better = {"first": str(found.first), "second": str(found.second), "equal": "equal"}
    rows = [
        [
            pair.metric,
            _number(pair.first),
            _number(pair.second),
            "" if pair.difference is None else f"{pair.difference:+.6g}",
            better.get(pair.better or "", ""),
        ]
        for pair in shown
    ]
    return _beside(found, "metric", "change", "better"), rows


def changes(changed: Iterable[LineagePair], found: Comparison) -> Rows:
    return _beside(found, "what"), [[pair.name, pair.first, pair.second] for pair in changed]


def _beside(found: Comparison, first: str, *last: str) -> list[str]:
    return [first, f"version {found.first}", f"version {found.second}", *last]


def entries(found: Iterable[Entry]) -> Rows:
    """One row per decision."""
    rows = [
        [
            str(entry.sequence),
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            person(entry.who),
            _deed(entry),
            f"{entry.before} → {entry.after}",
            entry.ticket,
            entry.reason,
            entry.hash[:12],
        ]
        for entry in found
    ]
    return ["no", "at (UTC)", "who", "decision", "from → to", "ticket", "reason", "hash"], rows


def audit(found: Iterable[History]) -> Rows:
    """One row per model."""
    rows = [
        [
            history.model,
            str(len(history.entries)),
            "holds" if history.holds else "DOES NOT HOLD",
            "\n".join([*history.problems, *(f"unfinished: {u}" for u in history.unfinished)]),
        ]
        for history in found
    ]
    return ["model", "entries", "verdict", "found"], rows


def verdict(found: History) -> dict[str, object]:
    """A model's audit as JSON values, without the entries."""
    values = found.model_dump(mode="json", include={"model", "problems", "unfinished"})
    return {**values, "entries": len(found.entries), "verified": found.holds}


def checks(found: Iterable[Check]) -> Rows:
    """One row per rule."""
    rows = [[check.rule, "kept" if check.passed else "NOT KEPT", check.found] for check in found]
    return ["rule", "outcome", "found"], rows


def rules(found: Rules, names: Names) -> Rows:
    """One row per rule that asks for something."""
    asked = {
        "approvers": "\n".join(found.approvers_in(names)),
        "approvals": f"{found.approvals}, each of another person",
        "ticket": found.ticket or "",
        **{f"at_least.{name}": f"{value:g}" for name, value in found.at_least.items()},
        **{f"at_most.{name}": f"{value:g}" for name, value in found.at_most.items()},
        **{f"not_worse.{name}": f"by more than {v:g}" for name, v in found.not_worse.items()},
        "onnx_parity": _number(found.onnx_parity),
        "dataset": "on record" if found.dataset else "",
        "latency_ms": _number(found.latency_ms),
    }
    return ["rule", "asks for"], [[rule, text] for rule, text in asked.items() if text]


def applied(found: Applied) -> str:
    """Whose rules they are, in one sentence."""
    if found.applied_at is None:
        return "None were applied; these are the platform's own."
    at = f"{found.applied_at:%Y-%m-%d %H:%M} UTC"
    return f"Applied by {person(found.applied_by)}, {at}; sha256 {found.rules.sha256[:12]}."


def applying(change: RulesChange, *, dry_run: bool) -> str:
    """What applying a file's rules did, or would do, in one sentence."""
    if not change.changes:
        return "The same rules are in force already."
    return f"The rules {'would be' if dry_run else 'are'} applied."


def outcome(found: Outcome) -> str:
    """What a decision did, in one sentence."""
    entry = found.entry
    label = f"Version {entry.version} of '{entry.model}'"
    told = f"entry {entry.sequence}, {person(entry.who)}, {entry.at:%Y-%m-%d %H:%M} UTC"
    if not entry.decides:
        return _waits(
            found, f"approval {entry.approval} of {entry.approvals_needed} of {label}", told
        )
    if found.effect is Effect.UNCHANGED:
        return f"{label} is {entry.after} already: {entry.reason} ({told}). Nothing changed."
    if found.effect is Effect.COMPLETED:
        return f"{label} was on record as {entry.after} ({told}); the registry now says so too."
    return f"{label} is {entry.after} ({told})."


def _waits(found: Outcome, what: str, told: str) -> str:
    already = " already" if found.effect is Effect.UNCHANGED else ""
    return (
        f"The {what} is on record{already} ({told}). The registry changes with the last of them, "
        f"by another person: mlops models approve {found.entry.model} {found.entry.version}"
    )


def _deed(entry: Entry) -> str:
    several = (
        f" ({entry.approval} of {entry.approvals_needed})" if entry.approvals_needed > 1 else ""
    )
    return f"{entry.action} {entry.version}{several if entry.action == 'approve' else ''}"


def person(arn: str) -> str:
    """An ARN as people read it: 'role/session' or the user's name."""
    try:
        return parse_principal(arn).label
    except InputError:
        return arn


def _leading_metrics(found: Iterable[ModelVersion]) -> list[str]:
    names = {name for version in found for name in version.metrics}
    return [name for name in _KNOWN if name in names] or sorted(names)[:_SHOWN]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
