"""What the OpenAPI document says of feature reads."""

from __future__ import annotations

from typing import Any

from serving.deadline import TIMEOUT, TIMEOUT_SCHEMA
from serving.proxy.feast_route import FEAST, FEAST_WRITE
from serving.proxy.read_route import READ
from serving.schema import RETRY_AFTER

_STATUSES = ["PRESENT", "NULL", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"]
_TEXT = {"type": "string"}
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["entities"],
    "additionalProperties": False,
    "properties": {
        "entities": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {}},
            "description": "A list of ids for each entity of the feature service, all of one "
            "length: the first of each make the first row.",
        },
        "features": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "description": "'view:feature' of those that are wanted, and then only their "
            "entities; all without it.",
        },
    },
    "example": {"entities": {"customer_id": ["1042"], "terminal_id": ["7718"]}},
}
_FEATURE = {
    "type": "object",
    "required": ["values"],
    "properties": {
        "values": {"type": "array", "items": {}},
        "statuses": {"type": "array", "items": {"type": "string", "enum": _STATUSES}},
    },
}
_ROW_ERROR = {
    "type": "object",
    "required": ["row", "code", "message"],
    "properties": {
        "row": {"type": "integer"},
        **dict.fromkeys(("code", "message", "field", "remedy"), _TEXT),
    },
}
_ANSWER = {
    "type": "object",
    "required": ["request_id", "feature_service", "features"],
    "properties": {
        "request_id": _TEXT,
        "feature_service": _TEXT,
        "features": {
            "type": "object",
            "additionalProperties": _FEATURE,
            "description": "By 'view:feature', a value and a status for each row.",
        },
        "event_times": {
            "type": "object",
            "additionalProperties": {
                "type": "array",
                "items": {"type": ["string", "null"], "format": "date-time"},
            },
            "description": "By view, from when each row's features hold.",
        },
        "errors": {
            "type": "array",
            "items": _ROW_ERROR,
            "description": "The rows that were not read, and why; their features are INVALID.",
        },
    },
}
_FEAST_BODY = {
    "type": "object",
    "required": ["entities"],
    "properties": {
        "entities": _BODY["properties"]["entities"],
        "feature_service": {"type": ["string", "null"]},
        "features": {"type": "array", "items": _TEXT, "description": "'view:feature'."},
        "full_feature_names": {"type": "boolean", "default": False},
        "include_feature_view_version_metadata": {"type": "boolean", "default": False},
    },
    "example": {
        "features": ["customer_spend:customer_count_1d"],
        "entities": {"customer_id": ["1042"]},
    },
}
_FEAST_ANSWER = {
    "type": "object",
    "required": ["metadata", "results"],
    "properties": {
        "metadata": {
            "type": "object",
            "properties": {"feature_names": {"type": "array", "items": _TEXT}},
        },
        "results": {
            "type": "array",
            "description": "A column for each of `feature_names`.",
            "items": {
                "type": "object",
                "properties": {
                    "values": {"type": "array", "items": {}},
                    "statuses": {"type": "array", "items": _TEXT},
                    "event_timestamps": {"type": "array", "items": _TEXT},
                },
            },
        },
    },
}
_ERRORS = {
    "401": "No API key and no token, or an unknown one.",
    "403": "The caller may not read this feature service, or not see its personal features.",
    "404": "No such feature service is applied, or it has no such feature.",
    "413": "The body is too large.",
    "422": "The body, or its only row, is wrong; `field` names what.",
    "429": "The caller asks more often than it may.",
    "503": "The online store does not answer now.",
    "504": "The features were not there in the time that was allowed.",
}


def _error(status: str, text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorAnswer"}
    found: dict[str, Any] = {
        "description": text,
        "content": {"application/json": {"schema": schema}},
    }
    return found | ({"headers": RETRY_AFTER} if status in ("429", "503") else {})


_SECURITY: list[dict[str, list[str]]] = [{"APIKeyHeader": []}, {"HTTPBearer": []}]


def _operation(
    name: str,
    summary: str,
    body: dict[str, Any],
    answer: dict[str, Any],
    parameters: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "post": {
            "tags": ["features"],
            "summary": summary,
            "operationId": name,
            "security": _SECURITY,
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": body}},
            },
            "responses": {
                "200": {
                    "description": "Every row, in its order.",
                    "content": {"application/json": {"schema": answer}},
                },
                **{status: _error(status, text) for status, text in _ERRORS.items()},
            },
        }
    }


def _switch(name: str) -> dict[str, Any]:
    schema = {"type": "boolean", "default": True}
    return {"name": name, "in": "query", "schema": schema, "description": "False leaves them out."}


READ_PATHS = {
    READ: _operation(
        "read_features",
        "Read the stored features of a feature service by entity ids",
        _BODY,
        _ANSWER,
        [
            {"name": "service", "in": "path", "required": True, "schema": _TEXT},
            _switch("statuses"),
            _switch("event_times"),
            {"name": TIMEOUT, "in": "header", "schema": TIMEOUT_SCHEMA},
        ],
    ),
    FEAST: _operation(
        "get_online_features",
        "Feast's feature server, for its clients",
        _FEAST_BODY,
        _FEAST_ANSWER,
        [{"name": TIMEOUT, "in": "header", "schema": TIMEOUT_SCHEMA}],
    ),
    FEAST_WRITE: {
        "post": {
            "tags": ["features"],
            "summary": "Refused: what Feast's remote online store calls to write",
            "operationId": "write_to_online_store",
            "security": _SECURITY,
            "responses": {
                "401": _error("401", _ERRORS["401"]),
                "403": _error("403", "Always, to callers that are known; it names the way."),
                "413": _error("413", _ERRORS["413"]),
                "429": _error("429", _ERRORS["429"]),
            },
        }
    },
}
