"""The dashboard asks for what the processes really tell, and for all that matters of it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops.downsync.flow import flow_body, flow_key
from tests.serving_examples import INSTANCE
from tests.serving_processes import Services
from tests.unit.serving.test_served_log import SPEND

DASHBOARD = Path(__file__).parents[3] / "infra/dashboards/serving.json"
_METRIC = re.compile(r"\b(?:mlops|process)_[a-z_]+")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_SELECTED = re.compile(r"([a-z_]+)(?:=~|!=|=)\"")
_FROM_PROMETHEUS = {"instance", "job"}
_OF_NOTE = {
    *(f"mlops_proxy_{name}" for name in ("requests", "model_seconds", "stage_seconds", "score")),
    *(f"mlops_proxy_{name}" for name in ("errors", "features", "instances", "version_behind")),
    *(f"mlops_proxy_{name}" for name in ("redis_seconds", "redis_failures", "pushed_rows")),
    *(f"mlops_proxy_{name}" for name in ("answers", "fallbacks", "replica_requests")),
    *(f"mlops_proxy_{name}" for name in ("shadow_requests", "shadow_difference", "read_rows")),
    *(f"mlops_inference_{name}" for name in ("requests", "model_seconds", "queue_seconds")),
    *(f"mlops_inference_{name}" for name in ("onnx_seconds", "batch_requests", "batch_rows")),
    *(f"mlops_inference_{name}" for name in ("waiting_requests", "errors", "load_failures")),
    *(f"mlops_inference_{name}" for name in ("version_failed", "model_bytes", "budget_bytes")),
    *(f"mlops_downsync_{name}" for name in ("rows", "dropped", "buffered_events")),
    *("process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"),
}
"""What operators must not have to look for elsewhere."""


def queries() -> list[tuple[str, str]]:
    """Each panel's title with each of its expressions, the template's and annotations' too."""
    board = json.loads(DASHBOARD.read_text())
    found = [
        (panel["title"], target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]
    found += [(one["name"], one["definition"]) for one in board["templating"]["list"][1:]]
    return found + [(one["name"], one["expr"]) for one in board["annotations"]["list"]]


async def told(services: Services) -> dict[str, set[str]]:
    """The labels of each name in /metrics, after some of everything happened."""
    services.documents.put(flow_key("spend"), flow_body(SPEND))
    broken = services.publish(2).model_copy(update={"manifest_sha256": "0" * 64})
    services.deploy(broken)
    await services.follow()
    await services.predict(INSTANCE, INSTANCE | {"customer_id": "nobody"})
    await services.inference.post("/v2/models/fraud/infer", content=b"{")
    labels: dict[str, set[str]] = defaultdict(set)
    for client in (services.proxy, services.inference):
        for family in text_string_to_metric_families((await client.get("/metrics")).text):
            names = [family.name, f"{family.name}_total"] if family.type == "counter" else []
            for name in (*names, *(f"{family.name}_{part}" for part in ("bucket", "sum", "count"))):
                labels[name] |= set()
            labels[family.name] |= set()
            for sample in family.samples:
                labels[sample.name] |= set(sample.labels)
    return labels


async def test_every_metric_and_label_that_is_asked_for_is_told(services: Services) -> None:
    labels = await told(services)
    for title, query in queries():
        names = _METRIC.findall(query)
        assert names, f"{title} asks for nothing"
        assert not [name for name in names if name not in labels], title
        wanted = {
            label.strip()
            for found in [*_GROUPED.findall(query), *_SELECTED.findall(query)]
            for label in found.split(",")
        }
        known = set().union(*(labels[name] for name in names)) | _FROM_PROMETHEUS
        if known != _FROM_PROMETHEUS:
            assert wanted <= known, f"{title}: {wanted - known}"


def test_every_metric_of_note_has_a_panel() -> None:
    shown = {name for _, query in queries() for name in _METRIC.findall(query)}
    missing = {
        name
        for name in _OF_NOTE
        if not any(found == name or found.startswith(f"{name}_") for found in shown)
    }
    assert not missing


def test_queries_are_balanced_and_panels_do_not_overlap() -> None:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    for title, query in queries():
        for opening, closing in ("()", "{}", "[]"):
            assert query.count(opening) == query.count(closing), title
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.parametrize("part", ["stage", "version", "status", "code"])
def test_what_operators_ask_first_is_a_dimension(part: str) -> None:
    assert any(part in grouped for _, query in queries() for grouped in _GROUPED.findall(query))
