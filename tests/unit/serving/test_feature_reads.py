"""Ids in, features out: each row answered for itself, without a model."""

from __future__ import annotations

import asyncio
import base64
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import Unavailable
from mlops.plan import PlannedField, PlannedView, plan_key, save_plan
from mlops.stores.online import FeatureStatus, PlainRows, ViewRead, ViewTable, to_datetime
from serving.proxy.entity_columns import EntityRows, EntitySchema
from serving.proxy.feature_answers import Shown, write_answer
from serving.proxy.feature_services import choose_features
from serving.proxy.plain_answers import PlainAnswers
from tests.serving_examples import NOW
from tests.serving_processes import Services

URL = "/v1/features/payments_v1:read"


async def read(
    services: Services, customers: Any, terminals: Any, query: str = ""
) -> httpx.Response:
    entities = {"customer_id": customers, "terminal_id": terminals}
    return await services.proxy.post(URL + query, json={"entities": entities})


async def test_values_come_with_statuses_and_event_times(services: Services) -> None:
    answer = await read(services, ["c1", "nobody"], ["t1", "t1"])
    assert answer.status_code == 200
    body = answer.json()
    assert body["feature_service"] == "payments_v1"
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["features"] == {
        "spend:payments": {"values": [4, None], "statuses": ["PRESENT", "NOT_FOUND"]},
        "spend:mean_amount": {"values": [10.0, None], "statuses": ["PRESENT", "NOT_FOUND"]},
        "spend:unused": {"values": [1.0, None], "statuses": ["PRESENT", "NOT_FOUND"]},
        "risk:risk": {"values": [0.1, 0.1], "statuses": ["PRESENT", "PRESENT"]},
    }
    at = "2018-08-08T00:00:00Z"
    assert body["event_times"] == {"spend": [at, None], "risk": [at, at]}


async def test_statuses_and_event_times_can_be_left_out(services: Services) -> None:
    answer = await read(services, ["c1"], ["t1"], "?statuses=false&event_times=false")
    assert answer.json()["features"]["risk:risk"] == {"values": [0.1]}
    assert "event_times" not in answer.json()


@pytest.mark.parametrize("query", ["?statuses=no", "?explain=features"])
async def test_a_parameter_that_is_not_known_is_a_422(services: Services, query: str) -> None:
    answer = await read(services, ["c1"], ["t1"], query)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"].startswith("query.")


async def test_a_row_that_is_too_old_says_so_and_keeps_its_time(services: Services) -> None:
    old = NOW - timedelta(days=4)
    services.store.put("risk", ("t1",), old, {"risk": 0.1})
    body = (await read(services, ["c1"], ["t1"])).json()
    assert body["features"]["risk:risk"] == {"values": [None], "statuses": ["OUTSIDE_MAX_AGE"]}
    assert body["event_times"]["risk"] == ["2018-08-04T00:00:00Z"]


async def test_a_feature_without_a_value_is_null_beside_those_that_have_one(
    services: Services,
) -> None:
    services.store.put("spend", ("c1",), NOW, {"payments": None, "mean_amount": 1.5, "unused": 2.0})
    features = (await read(services, ["c1"], ["t1"])).json()["features"]
    assert features["spend:payments"] == {"values": [None], "statuses": ["NULL"]}
    assert features["spend:mean_amount"] == {"values": [1.5], "statuses": ["PRESENT"]}


async def test_a_row_that_is_wrong_has_an_error_and_leaves_the_others_read(
    services: Services,
) -> None:
    answer = await read(services, ["c1", 7, "c1"], ["t1", "t1", ""])
    body = answer.json()
    assert answer.status_code == 200
    assert body["features"]["risk:risk"] == {
        "values": [0.1, None, None],
        "statuses": ["PRESENT", "INVALID", "INVALID"],
    }
    assert body["event_times"]["risk"] == ["2018-08-08T00:00:00Z", None, None]
    assert [(e["row"], e["field"], e["code"]) for e in body["errors"]] == [
        (1, "entities.customer_id[1]", "invalid_input"),
        (2, "entities.terminal_id[2]", "invalid_input"),
    ]


async def test_where_every_row_is_wrong_each_has_its_error(services: Services) -> None:
    body = (await read(services, [1, 2], ["t1", "t1"])).json()
    assert [error["row"] for error in body["errors"]] == [0, 1]
    assert body["features"]["risk:risk"]["values"] == [None, None]


async def test_a_single_row_that_is_wrong_is_a_422(services: Services) -> None:
    answer = await read(services, [True], ["t1"])
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "entities.customer_id[0]"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"rows": []}', "rows"),
        (b"{}", "entities"),
        (b'{"entities": []}', "entities"),
        (b'{"entities": {"customer_id": "c1"}}', "entities"),
        (b'{"entities": {"customer_id": ["c1"], "terminal_id": []}}', "entities"),
        (b'{"entities": {"customer_id": [], "terminal_id": []}}', "entities"),
        (b'{"entities": {"customer_id": ["c1"]}}', "entities.terminal_id"),
        (b'{"entities": {}}', "entities.customer_id"),
        (
            b'{"entities": {"customer_id": ["c"], "terminal_id": ["t"], "x": [1]}}',
            "entities.x",
        ),
        (b'{"entities": {"customer_id": [[]], "terminal_id": ["t"]}}', "entities.customer_id[0]"),
        (b'{"entities": ' + b"[" * 5000 + b"]" * 5000 + b"}", "body"),
    ],
)
async def test_a_body_that_is_wrong_is_a_422_naming_the_field(
    services: Services, body: bytes, field: str
) -> None:
    answer = await services.proxy.post(URL, content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


async def test_more_rows_than_are_allowed_are_refused(services: Services) -> None:
    answer = await read(services, ["c1"] * 1001, ["t1"] * 1001)
    assert answer.status_code == 422
    assert "1001 rows, 1000 are allowed" in answer.json()["error"]["message"]


async def test_a_service_that_is_not_applied_is_a_404_that_lists_those_that_are(
    services: Services,
) -> None:
    answer = await services.proxy.post("/v1/features/other:read", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_feature_service"
    assert "payments_v1" in answer.json()["error"]["remedy"]


async def test_without_a_key_nothing_is_read(services: Services) -> None:
    del services.proxy.headers["X-Api-Key"]
    assert (await services.proxy.post(URL, content=b"{")).status_code == 401


async def test_a_key_that_may_not_read_the_service_is_refused(services: Services) -> None:
    services.keys.stored, key = services.keys.stored.add(
        "other", now=NOW, permissions=["predict", "read:another"]
    )
    answer = await services.proxy.post(URL, json={}, headers={"X-Api-Key": key})
    assert answer.status_code == 403
    assert "read:payments_v1" in answer.json()["error"]["message"]


async def test_personal_features_are_for_who_may_see_them_and_can_be_left_out(
    services: Services,
) -> None:
    spend, risk = services.plan.views
    first, *others = spend.features
    views = (
        spend.model_copy(update={"features": (first.model_copy(update={"pii": True}), *others)}),
        risk,
    )
    save_plan(services.documents, services.plan.model_copy(update={"views": views}))
    await services.follow()
    answer = await read(services, ["c1"], ["t1"])
    assert answer.status_code == 403
    assert "payments" in answer.json()["error"]["message"]
    body = {"entities": {"terminal_id": ["t1"]}, "features": ["risk:risk"]}
    assert (await services.proxy.post(URL, json=body)).status_code == 200
    services.keys.stored, key = services.keys.stored.add(
        "inside", now=NOW, permissions=["read:*", "pii"]
    )
    services.proxy.headers["X-Api-Key"] = key
    assert (await read(services, ["c1"], ["t1"])).status_code == 200


async def test_of_a_service_only_what_is_named_is_read(services: Services) -> None:
    body = {"entities": {"customer_id": ["c1"]}, "features": ["spend:unused"]}
    features = (await services.proxy.post(URL, json=body)).json()["features"]
    assert features == {"spend:unused": {"values": [1.0], "statuses": ["PRESENT"]}}


@pytest.mark.parametrize(
    ("features", "status"),
    [(["spend:nothing"], 404), (["spend"], 404), ([], 422), ("spend:unused", 422), ([1], 422)],
)
async def test_features_that_are_not_there_are_refused_by_name(
    services: Services, features: Any, status: int
) -> None:
    body = {"entities": {"customer_id": ["c1"]}, "features": features}
    answer = await services.proxy.post(URL, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["field"] == "features"


async def test_a_redis_that_is_down_is_a_503_that_can_be_tried_again(services: Services) -> None:
    services.store.down = Unavailable("Redis at secret-host:6379 does not answer")
    answer = await read(services, ["c1"], ["t1"])
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "features_unavailable"
    assert answer.headers["Retry-After"] == "1"
    assert "secret-host" not in answer.text


class Hanging:
    """A way to features on which nothing comes."""

    async def read_columns(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()


async def test_what_is_not_read_in_the_time_that_the_caller_has_is_a_504(
    services: Services,
) -> None:
    known = services.feature_services.current
    reader: Any = Hanging()
    known["payments_v1"] = replace(known["payments_v1"], reader=reader)
    body = {"entities": {"customer_id": ["c1"], "terminal_id": ["t1"]}}
    answer = await services.proxy.post(URL, json=body, headers={"X-Request-Timeout-Ms": "20"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


async def test_feasts_clients_have_their_time_kept_too(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.store, "ping", asyncio.Event().wait)
    body = {"entities": {"customer_id": ["c1"]}, "features": ["spend:payments"]}
    limit = {"X-Request-Timeout-Ms": "20"}
    answer = await services.proxy.post("/get-online-features", json=body, headers=limit)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


async def test_what_feasts_remote_store_would_write_is_refused_with_the_way_to_do_it(
    services: Services,
) -> None:
    body = {"feature_view_name": "spend", "df": {}, "allow_registry_cache": False}
    answer = await services.proxy.post("/write-to-online-store", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "not_offered")
    assert "/v1/push/" in error["remedy"]


async def test_a_service_is_read_as_soon_as_its_plan_is_followed(services: Services) -> None:
    plan = services.plan.model_copy(
        update={"service": "risk_v2", "views": services.plan.views[1:], "transformations": ()}
    )
    save_plan(services.documents, plan)
    await services.follow()
    url = "/v1/features/risk_v2:read"
    answer = await services.proxy.post(url, json={"entities": {"terminal_id": ["t1"]}})
    assert answer.json()["features"]["risk:risk"]["values"] == [0.1]
    services.documents.delete(plan_key("risk_v2"))
    await services.follow()
    assert (await services.proxy.post(url, json={})).status_code == 404


async def test_a_plan_that_did_not_change_is_not_compiled_again(services: Services) -> None:
    before = services.feature_services.get("payments_v1")
    await services.follow()
    assert services.feature_services.get("payments_v1") is before


async def test_the_route_is_described_as_it_answers(services: Services) -> None:
    document = (await services.proxy.get("/openapi.json")).json()
    described = document["paths"]["/v1/features/{service}:read"]["post"]
    assert {"200", "401", "404", "413", "422", "503"} <= set(described["responses"])
    schemes = {name for way in described["security"] for name in way}
    assert schemes == set(document["components"]["securitySchemes"])
    assert "post" in document["paths"]["/get-online-features"]


def test_outputs_that_services_select_differently_are_chosen_from_all_of_them(
    services: Services,
) -> None:
    whole = services.plan
    (context,) = whole.transformations
    narrow = [context.model_copy(update={"outputs": (field,)}) for field in context.outputs]
    plans = [whole.model_copy(update={"transformations": (one,)}) for one in narrow]
    asked = ["context:over_mean", "context:is_night"]
    chosen = choose_features(plans, asked, computed=True)
    assert [f"context:{name}" for name in chosen.computed] == asked
    (one,) = choose_features(plans, asked[:1], computed=True).transformations
    assert [field.name for field in one.outputs] == ["over_mean"]


def test_join_keys_of_every_type_are_checked_by_their_type() -> None:
    types = {"n": "Int32", "big": "Int64", "at": "UnixTimestamp", "raw": "Bytes", "name": "String"}
    view = PlannedView(name="v", join_keys=tuple(types), features=(), ttl_seconds=0)
    schema = EntitySchema(_plan(types, view))
    good = {"n": 1, "big": 2**62, "at": 1533690123, "raw": base64.b64encode(b"x"), "name": "k"}
    wrong = {"n": 2**31, "big": 2**63, "at": 1.5, "raw": "!", "name": "k" * 257}
    for name in types:
        columns = {n: [value, value] for n, value in (good | {"raw": "eA=="}).items()}
        columns[name][1] = wrong[name]
        rows = schema.check(columns)
        assert list(rows.errors) == [1]
        assert rows.errors[1].field == f"entities.{name}[1]"
    assert rows.columns["raw"] == [b"x"]


def _plan(types: dict[str, str], *views: PlannedView) -> Any:
    from mlops.plan import FeaturePlan

    return FeaturePlan(
        service="s",
        project="p",
        entities=tuple(PlannedField(name=n, dtype=d) for n, d in types.items()),
        request=(),
        views=views,
        transformations=(),
    )


def _answer(dtype: str, values: Any, *, is_plain: bool = False) -> Any:
    view = PlannedView(
        name="v", join_keys=("k",), features=(PlannedField(name="f", dtype=dtype),), ttl_seconds=0
    )
    table = ViewTable(
        ViewRead(view, ("f",)),
        [FeatureStatus.PRESENT] * len(values),
        [0] * len(values),
        [values],
        {},
        is_plain,
    )
    rows = EntityRows({}, len(values), {})
    body = write_answer("s", [table], rows, Shown(), identity="")
    return orjson.loads(body)["features"]["v:f"]["values"]


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("Float64", math.nan, "NaN"),
        ("Float32", -math.inf, "-Infinity"),
        ("Array(Float64)", [1.5, math.inf], [1.5, "Infinity"]),
        ("Bytes", b"\xff", "/w=="),
        ("UnixTimestamp", NOW, "2018-08-08T00:00:00Z"),
        ("Map", {"a": {"b": b"x"}}, {"a": {"b": "eA=="}}),
        ("ScalarMap", {1: 2.5}, {"1": 2.5}),
        ("Json", '{"a": 1}', '{"a": 1}'),
        ("Bool", True, True),
    ],
)
def test_values_of_every_kind_are_written_as_json(dtype: str, value: Any, expected: Any) -> None:
    assert _answer(dtype, [value, None]) == [expected, None]


NUMBERS = {
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float64": st.floats(allow_nan=False, allow_infinity=False),
    "Bool": st.booleans(),
}


@st.composite
def plain_rows(draw: st.DrawFn) -> PlainRows:
    """What reads find where all is there: in tuples, or in arrays."""
    count, in_arrays = draw(st.integers(1, 20)), draw(st.booleans())
    reads, moments_of_views, columns = list[ViewRead](), list[Any](), list[Any]()
    for place in range(draw(st.integers(1, 3))):
        dtypes = draw(st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=3))
        fields = [PlannedField(name=f'f%"{n}', dtype=dtype) for n, dtype in enumerate(dtypes)]
        view = PlannedView(
            name=f"v{place}", join_keys=("k",), features=tuple(fields), ttl_seconds=0
        )
        values: list[Any] = [
            draw(st.lists(NUMBERS[dtype], min_size=count, max_size=count)) for dtype in dtypes
        ]
        moments = st.sampled_from([0, 1_533_686_400_000_000, 1_533_686_400_000_001])
        events: Any = draw(st.lists(moments, min_size=count, max_size=count))
        kind = np.array if in_arrays else tuple
        reads.append(ViewRead(view, tuple(field.name for field in fields)))
        moments_of_views.append(kind(events))
        columns += map(kind, values)
    return PlainRows(reads, count, moments_of_views, columns)


@given(plain_rows(), st.booleans(), st.booleans())
def test_what_is_written_from_a_form_is_what_is_written_anew(
    found: PlainRows, statuses: bool, event_times: bool
) -> None:
    rows, shown = EntityRows({}, found.count, {}), Shown(statuses, event_times)
    lists = PlainRows(
        found.reads,
        found.count,
        [np.asarray(events).tolist() for events in found.events],
        [np.asarray(column).tolist() for column in found.values],
    )
    answers = PlainAnswers()
    for identity in ("a", "b.c:d"):
        written = answers.write("s", found, shown, identity=identity)
        assert written == write_answer("s", lists.tables(), rows, shown, identity=identity)


@given(plain_rows())
def test_what_is_written_from_a_form_says_what_was_found(found: PlainRows) -> None:
    said = orjson.loads(PlainAnswers().write("s", found, Shown(), identity="a"))
    columns = [np.asarray(column).tolist() for column in found.values]
    names = [name for read in found.reads for name in read.references()]
    assert {name: one["values"] for name, one in said["features"].items()} == dict(
        zip(names, columns, strict=True)
    )
    assert all(one["statuses"] == ["PRESENT"] * found.count for one in said["features"].values())
    assert said["event_times"] == {
        read.view.name: [to_datetime(int(e)).isoformat().replace("+00:00", "Z") for e in events]
        for read, events in zip(found.reads, found.events, strict=True)
    }


def test_arrays_are_written_as_the_numbers_in_them() -> None:
    values = np.array([0.1, 1e300, -0.0])
    assert _answer("Float64", values, is_plain=True) == values.tolist()
