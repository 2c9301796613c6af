"""SageMaker's hosting contract: what `/invocations` takes and gives.

JSON: {"instances": [[…], {"amount": 1.5, …}]} → {"predictions": [{"score": …}]}.
CSV: one row of numbers per line, in the manifest's order, an empty cell for NaN → a score per line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from mlops.manifest import Manifest
from serving.errors import InvalidRequest
from serving.inference.model import FloatMatrix
from serving.inference.protocol import parse_json, to_matrix

JSON, CSV = "application/json", "text/csv"


def parse_invocation(body: bytes, content_type: str, manifest: Manifest) -> FloatMatrix:
    """float32 [n, width]. Raises InvalidRequest naming the part that is wrong."""
    kind = content_type.partition(";")[0].strip().lower() or JSON
    if kind == JSON:
        rows = _json_rows(body, manifest)
    elif kind == CSV:
        rows = _csv_rows(body)
    else:
        raise InvalidRequest(f"Content-Type '{kind}' is not read: send {JSON} or {CSV}.")
    if not rows:
        raise InvalidRequest("There are no instances.", field="instances")
    return to_matrix(rows, len(rows), len(manifest.inputs), field="instances")


def _json_rows(body: bytes, manifest: Manifest) -> list[Any]:
    request = parse_json(body)
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list):
        raise InvalidRequest(
            'The body must be {"instances": [[…], …]}: a list of rows, or of objects by column.',
            field="instances",
        )
    return [
        _by_column(instance, manifest, index) if isinstance(instance, dict) else instance
        for index, instance in enumerate(instances)
    ]


def _by_column(instance: dict[str, Any], manifest: Manifest, index: int) -> list[Any]:
    names = manifest.input_names
    wrong = sorted(set(instance) ^ set(names))
    if wrong:
        raise InvalidRequest(
            f"'instances[{index}]' must have exactly the columns {', '.join(names)}; "
            f"it differs in {', '.join(wrong)}.",
            field=f"instances[{index}].{wrong[0]}",
        )
    return [instance[name] for name in names]


def _csv_rows(body: bytes) -> list[list[float | None]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode()), strict=True))
        return [[float(cell) if cell.strip() else None for cell in line] for line in lines if line]
    except (ValueError, csv.Error) as exc:
        raise InvalidRequest(f"The body is no CSV of numbers: {exc}.", field="body") from exc


def write_scores(scores: Sequence[float], accept: str) -> tuple[bytes | dict[str, Any], str]:
    """The answer's body and media type: CSV where it is asked for, else JSON."""
    if CSV in accept:
        return "".join(f"{score!r}\n" for score in scores).encode(), CSV
    return {"predictions": [{"score": score} for score in scores]}, JSON
