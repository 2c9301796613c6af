"""What running processes did between two looks: per version, per model, per process. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.live.looks import Look, Part
from serving.live.samples import Samples, since, together

_MOST_FEATURES = 3
_PRESENT = "PRESENT"


@dataclass(frozen=True)
class VersionRow:
    """A model's version, over all processes. Rates are per second, times in milliseconds."""

    model: str
    version: int
    use: str
    """'stable', 'canary' and so on; '' where it is only loaded."""
    requests: float
    instances: float
    p50_ms: float | None
    p99_ms: float | None
    errors: float
    """Instances that got no score."""
    fallbacks: float
    inference_p99_ms: float | None
    """From tensors to outputs, in the inference endpoint."""
    batch: float | None
    """Requests per run, on average."""
    replicas: int
    """Inference processes that have it loaded."""
    failed: int
    """Those that could not load it."""


@dataclass(frozen=True)
class ModelRow:
    """What was not a plain score, of all versions."""

    model: str
    errors: Mapping[str, float]
    """Per second, by code."""
    features: Mapping[str, float]
    """Parts of all features read, by status."""
    wanting: Mapping[str, float]
    """The features that were most often not present, with that part."""


@dataclass(frozen=True)
class ReplicaRow:
    """A process."""

    part: Part
    url: str
    state: str
    """'ready', 'not ready', 'down'."""
    problems: tuple[str, ...]
    requests: float
    p99_ms: float | None
    under_way: int
    waiting: int | None
    """Of inference: requests that wait for a run, or run."""
    cpu: float
    """Cores that it used."""
    memory_mb: float


@dataclass(frozen=True)
class Board:
    """All of it, over so many seconds."""

    seconds: float
    replicas: list[ReplicaRow]
    versions: list[VersionRow]
    models: list[ModelRow]


@dataclass(frozen=True)
class _Side:
    """All processes of one of the services."""

    counted: Samples
    """In between."""
    now: Samples
    seconds: float

    def rate(self, name: str, **labels: str) -> float:
        return self.counted.total(name, **labels) / self.seconds

    def quantile_ms(self, name: str, part: float, **labels: str) -> float | None:
        found = self.counted.quantile(name, part, **labels)
        return None if found is None else found * 1000


def build_board(before: Sequence[Look], after: Sequence[Look]) -> Board:
    """Of two looks at the same replicas, in the same order."""
    pairs = list(zip(before, after, strict=True))
    seconds = max((b.at - a.at for a, b in pairs), default=0.0) or 1.0
    proxy, inference = (_side(pairs, part, seconds) for part in (Part.PROXY, Part.INFERENCE))
    versions = [_version(proxy, inference, *found) for found in _versions(proxy, inference)]
    return Board(
        seconds=seconds,
        replicas=[_replica(*pair, seconds) for pair in pairs],
        versions=versions,
        models=[_model(proxy, model) for model in sorted({row.model for row in versions})],
    )


def _side(pairs: Sequence[tuple[Look, Look]], part: Part, seconds: float) -> _Side:
    ours = [pair for pair in pairs if pair[0].replica.part == part]
    counted = together(_counted(*pair) for pair in ours)
    return _Side(counted, together(after.samples for _, after in ours), seconds)


def _counted(before: Look, after: Look) -> Samples:
    """Nothing of a process that said nothing before: its counts are not of this interval."""
    return since(before.samples, after.samples) if before.answers else Samples({})


def _versions(proxy: _Side, inference: _Side) -> list[tuple[str, int]]:
    """Those that are loaded or active, and those that answered in between."""
    names = (
        (proxy.now, "mlops_proxy_version_active"),
        (inference.now, "mlops_inference_version_loaded"),
        (proxy.counted, "mlops_proxy_model_seconds_count"),
    )
    found = {
        (labels["model"], int(labels["version"]))
        for samples, name in names
        for labels, value in samples.series(name)
        if value > 0 or name.endswith("_loaded")
    }
    return sorted(found)


def _version(proxy: _Side, inference: _Side, model: str, version: int) -> VersionRow:
    its = {"model": model, "version": str(version)}
    runs = inference.counted.total("mlops_inference_batch_requests_count", **its)
    joined = inference.counted.total("mlops_inference_batch_requests_sum", **its)
    outcomes = proxy.counted.by("mlops_proxy_answers_total", "outcome", **its)
    plain = outcomes.get("scored", 0.0) + outcomes.get("fallback", 0.0)
    return VersionRow(
        model=model,
        version=version,
        use=_use(proxy, its),
        requests=proxy.rate("mlops_proxy_model_seconds_count", **its),
        instances=proxy.rate("mlops_proxy_instances_sum", **its),
        p50_ms=proxy.quantile_ms("mlops_proxy_model_seconds", 0.5, **its),
        p99_ms=proxy.quantile_ms("mlops_proxy_model_seconds", 0.99, **its),
        errors=(sum(outcomes.values()) - plain) / proxy.seconds,
        fallbacks=outcomes.get("fallback", 0.0) / proxy.seconds,
        inference_p99_ms=inference.quantile_ms("mlops_inference_run_seconds", 0.99, **its),
        batch=joined / runs if runs else None,
        replicas=round(inference.now.total("mlops_inference_version_loaded", **its)),
        failed=round(inference.now.total("mlops_inference_version_failed", **its)),
    )


def _use(proxy: _Side, its: Mapping[str, str]) -> str:
    """What it answered as; where it answered nothing, whether it would."""
    uses = proxy.counted.by("mlops_proxy_answers_total", "use", **its)
    seen = sorted(use for use, count in uses.items() if count)
    if seen:
        return ", ".join(seen)
    return "active" if proxy.now.total("mlops_proxy_version_active", **its) else ""


def _model(proxy: _Side, model: str) -> ModelRow:
    errors = proxy.counted.by("mlops_proxy_errors_total", "code", model=model)
    statuses = proxy.counted.by("mlops_proxy_features_total", "status", model=model)
    wanting = {
        feature: _part_wanting(proxy, model, feature)
        for feature in proxy.counted.names_of("mlops_proxy_features_total", "feature", model=model)
    }
    worst = sorted(wanting.items(), key=lambda found: (-found[1], found[0]))[:_MOST_FEATURES]
    return ModelRow(
        model=model,
        errors={code: count / proxy.seconds for code, count in errors.items() if count},
        features=_parts(statuses),
        wanting={feature: part for feature, part in worst if part > 0},
    )


def _part_wanting(proxy: _Side, model: str, feature: str) -> float:
    by_status = proxy.counted.by(
        "mlops_proxy_features_total", "status", model=model, feature=feature
    )
    return 1 - _parts(by_status).get(_PRESENT, 0.0) if any(by_status.values()) else 0.0


def _parts(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in sorted(counts.items()) if count}


def _replica(before: Look, after: Look, seconds: float) -> ReplicaRow:
    part, counted, now = after.replica.part, _counted(before, after), after.samples
    prefix = f"mlops_{part}"
    answered = {
        labels["route"]: value
        for labels, value in counted.series(f"{prefix}_request_seconds_count")
        if labels["route"].startswith(("/v", "/invocations", "inference."))
    }
    p99 = counted.quantile(f"{prefix}_model_seconds", 0.99)
    return ReplicaRow(
        part=part,
        url=after.replica.url,
        state="ready" if after.ready else "not ready" if after.answers else "down",
        problems=after.problems,
        requests=sum(answered.values()) / seconds,
        p99_ms=None if p99 is None else p99 * 1000,
        under_way=max(0, round(now.total(f"{prefix}_requests_under_way")) - 1),
        waiting=round(now.total("mlops_inference_waiting_requests"))
        if part == Part.INFERENCE and after.answers
        else None,
        cpu=counted.total("process_cpu_seconds_total") / seconds,
        memory_mb=now.total("process_resident_memory_bytes") / 1e6,
    )
