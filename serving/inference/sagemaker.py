"""SageMaker's hosting contract: what `/invocations` takes and gives.

JSON: {"instances": [[…], {"amount": 1.5, …}]} → {"predictions": [{"score": …}]}.
JSON Lines: such a row on each line, or {"features": [[…]]} → {"score": …} on each line.
CSV: one row per line, in the manifest's order, an empty cell for NaN → a score per line.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from mlops.manifest import Manifest
from serving.errors import InvalidRequest
from serving.inference.model import LoadedModel
from serving.inference.protocol import InferRequest
from serving.inference.rest import parse_json
from serving.scores import describe_rows, is_single, read_scores
from serving.tensors import BY_MANIFEST, Tensor, from_values

JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
_KINDS = {JSON: JSON, JSON_LINES: JSON_LINES, "application/x-ndjson": JSON_LINES, CSV: CSV}
_FIELD = "instances"


def parse_invocation(body: bytes, content_type: str, model: LoadedModel) -> InferRequest:
    """The rows of a body. Raises InvalidRequest naming the part that is wrong."""
    manifest = model.manifest
    kind = _media_type(content_type) or JSON
    if kind not in _KINDS:
        raise InvalidRequest(
            f"Content-Type '{kind}' is not read: send {JSON}, {JSON_LINES} or {CSV}."
        )
    readers = {JSON: _json_rows, JSON_LINES: _json_lines, CSV: _csv_rows}
    rows = readers[_KINDS[kind]](body, manifest)
    if not rows:
        raise InvalidRequest("There are no instances.", field=_FIELD)
    return InferRequest(to_tensors(rows, manifest), (model.answer,))


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _json_rows(body: bytes, manifest: Manifest) -> list[Any]:
    request = parse_json(body)
    instances = request.get("instances") if isinstance(request, dict) else None
    if not isinstance(instances, list):
        raise InvalidRequest(
            'The body must be {"instances": [[…], …]}: a list of rows, or of objects by column.',
            field=_FIELD,
        )
    return [_row(instance, manifest, place) for place, instance in enumerate(instances)]


def _json_lines(body: bytes, manifest: Manifest) -> list[Any]:
    lines = [parse_json(line) for line in body.splitlines() if line.strip()]
    features = [
        line["features"] if isinstance(line, dict) and set(line) == {"features"} else line
        for line in lines
    ]
    return [_row(line, manifest, place) for place, line in enumerate(features)]


def _row(instance: Any, manifest: Manifest, place: int) -> list[Any]:
    names = manifest.input_names
    if isinstance(instance, dict):
        wrong = sorted(set(instance) ^ set(names))
        if wrong:
            raise InvalidRequest(
                f"'{_FIELD}[{place}]' must have exactly the columns {', '.join(names)}; "
                f"it differs in {', '.join(wrong)}.",
                field=f"{_FIELD}[{place}].{wrong[0]}",
            )
        return [instance[name] for name in names]
    if not isinstance(instance, list) or len(instance) != len(names):
        raise InvalidRequest(
            f"'{_FIELD}[{place}]' must hold {len(names)} values: {', '.join(names)}.",
            field=f"{_FIELD}[{place}]",
        )
    return instance


def _csv_rows(body: bytes, manifest: Manifest) -> list[Any]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode()), strict=True))
        rows = [_row(line, manifest, place) for place, line in enumerate(filter(None, lines))]
        return [
            [_cell(cell, column.dtype) for cell, column in zip(row, manifest.inputs, strict=True)]
            for row in rows
        ]
    except (ValueError, csv.Error) as exc:
        raise InvalidRequest(f"The body is no CSV of such values: {exc}.", field="body") from exc


def _cell(cell: str, dtype: str) -> Any:
    if dtype == "String":
        return cell
    if not cell.strip():
        return None
    return int(cell) if dtype.startswith("Int") else float(cell)


def to_tensors(rows: Sequence[Sequence[Any]], manifest: Manifest) -> dict[str, Tensor]:
    """What the graph takes, of rows of values in the manifest's order. Raises InvalidRequest."""
    if manifest.layout == "matrix":
        (name,) = manifest.tensors
        return {name: from_values(rows, BY_MANIFEST["Float32"], field=_FIELD)}
    return {
        column.name: from_values(
            [row[place] for row in rows], BY_MANIFEST[column.dtype], field=column.name
        ).reshape(len(rows), 1)
        for place, column in enumerate(manifest.inputs)
    }


def write_scores(
    manifest: Manifest, answer: Tensor, *, accept: str, content_type: str
) -> tuple[bytes, str]:
    """The answer's body and media type: what is accepted, else JSON Lines for such, else JSON.

    CSV has the score, or one column for each class.
    """
    given = _KINDS.get(_media_type(content_type))
    wanted = _KINDS.get(_media_type(accept), JSON_LINES if given == JSON_LINES else JSON)
    if wanted == CSV:
        lines = [",".join(map(repr, row)) for row in _columns(manifest, answer).tolist()]
        return "".join(f"{line}\n" for line in lines).encode(), CSV
    rows = describe_rows(manifest, answer)
    if wanted == JSON_LINES:
        return b"".join(orjson.dumps(row) + b"\n" for row in rows), JSON_LINES
    return orjson.dumps({"predictions": rows}), JSON


def _columns(manifest: Manifest, answer: Tensor) -> Tensor:
    shown = read_scores(manifest, answer) if is_single(manifest) else answer
    return shown.astype(np.float64).reshape(len(answer), -1)
