"""How views' values travel, compiled from the feature repo: push sources, and what is logged.

A view is logged as its tags say:

    downsync            "served", "read", "pushed", or several with commas; without it nothing is
                        logged
    downsync_ratio      the random part that is kept, "1" to keep all (the default)
    downsync_by         "row" (the default): each row is drawn; "key": a key with all its rows
    downsync_seed       another seed draws other rows or keys; "0"
    downsync_interval   the least event time between two rows of a key, as "10m"; "0s"
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from feast import PushSource
from pydantic import ValidationError

from mlops.deletion import deleted_field
from mlops.downsync.events import FACTS
from mlops.downsync.flow import Flow, Kind, Thinning
from mlops.downsync.values import value_type
from mlops.errors import InputError
from mlops.plan import PlannedField
from mlops.stores.athena.views import duration_tag
from pipelines.features.definitions import Definitions, planned_field

TAG = "downsync"
_KEY_TYPES = ("String", "Int32", "Int64")
_OWN = ("event_time", "created", "event_us", "event_id", "schema_version", "day")
"""Columns that every logged table has."""


def compile_flows(definitions: Definitions) -> dict[str, Flow]:
    """The flow of each view that can be pushed to or is logged, by the view's name.

    Raises InputError listing every tag, type or name that is wrong.
    """
    flows: dict[str, Flow] = {}
    faults: list[str] = []
    for view in definitions.views:
        if TAG not in view.tags and not isinstance(view.stream_source, PushSource):
            continue
        try:
            flow = _flow(view, definitions.project)
        except (InputError, ValidationError) as exc:
            faults.append(_words(view, exc))
            continue
        faults += _faults(flow)
        flows[view.name] = flow
    if faults:
        raise InputError(f"{definitions.repo}: {'; '.join(faults)}.")
    return flows


def _flow(view: Any, project: str) -> Flow:
    source = view.stream_source
    return Flow(
        project=project,
        view=view.name,
        keys=tuple(planned_field(field) for field in view.entity_columns),
        features=tuple(planned_field(field) for field in view.features),
        ttl_seconds=int(view.ttl.total_seconds()) if view.ttl else 0,
        deleted=deleted_field(view),
        push_source=source.name if isinstance(source, PushSource) else None,
        logs=tuple(_kinds(view)),
        thinning=Thinning.model_validate(
            {
                "ratio": view.tags.get("downsync_ratio", "1"),
                "by": view.tags.get("downsync_by", "row"),
                "seed": view.tags.get("downsync_seed", "0"),
                "interval_us": duration_tag(view, "downsync_interval") // timedelta(microseconds=1),
            }
        ),
    )


def _kinds(view: Any) -> Iterator[Kind]:
    for word in filter(None, (w.strip() for w in view.tags.get(TAG, "").split(","))):
        if word not in list(Kind):
            raise InputError(f"View '{view.name}': {TAG} is '{word}'. Use {', '.join(Kind)}")
        yield Kind(word)


def _words(view: Any, error: InputError | ValidationError) -> str:
    if isinstance(error, InputError):
        return str(error).rstrip(".")
    wrong = ", ".join(f"{TAG}_{e['loc'][0]}: {e['msg']}" for e in error.errors())
    return f"view '{view.name}': {wrong}"


def _faults(flow: Flow) -> Iterator[str]:
    """What of a flow no event or no table could carry."""
    yield from (_untyped(flow, f) for f in flow.keys if f.dtype not in _KEY_TYPES)
    yield from (_untyped(flow, f) for f in flow.features if value_type(f.dtype) is None)
    names = [field.name.lower() for field in (*flow.keys, *flow.features)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        yield f"view '{flow.view}' has {', '.join(twice)} twice but for upper case"
    if flow.logs:
        taken = set(_OWN).union(*(FACTS[kind] for kind in flow.logs))
        clashing = sorted(taken.intersection(names))
        if clashing:
            yield f"view '{flow.view}' is logged, so {', '.join(clashing)} must be called otherwise"


def _untyped(flow: Flow, field: PlannedField) -> str:
    return f"view '{flow.view}' cannot be pushed or logged: {field.name} is of type {field.dtype}"
