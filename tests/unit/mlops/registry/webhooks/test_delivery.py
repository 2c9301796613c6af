"""What is not signed by the shared key, as it stands and just now, is not taken."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InputError
from mlops.registry.webhooks.delivery import (
    FRESH,
    ID,
    SENT,
    SIGNATURE,
    Delivery,
    NotAuthentic,
    read_delivery,
    require_fresh,
    require_signed,
    sign,
)
from tests.approvals import NOW
from tests.mlflow_webhooks import KEY, headers_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def _delivery(body: bytes = b"{}") -> Delivery:
    return read_delivery(headers_of(body), body)


def test_a_signature_is_mlflow_s_own() -> None:
    """What MLflow 3.17's `_generate_hmac_signature` makes of these."""
    made = sign("clé", str(UUID(int=1)), "1534325400", '{"data": "é"}'.encode())
    assert made == "v1,09o3PzyVjnE3Q+alx8Ch8bKXcM2jmBVjv3THX8wuoMM="


@given(TEXTS)
def test_what_mlflow_signs_is_taken_whatever_it_says(payload: str) -> None:
    require_signed(_delivery(payload.encode()), KEY)


@given(st.binary(), st.binary())
def test_another_body_is_refused(body: bytes, other: bytes) -> None:
    delivery = read_delivery(headers_of(body), other)
    if body == other:
        require_signed(delivery, KEY)
    else:
        with pytest.raises(NotAuthentic, match=r"not signed.*mlops models webhook"):
            require_signed(delivery, KEY)


@pytest.mark.parametrize("header", [ID, SENT])
def test_an_id_or_time_that_was_not_signed_is_refused(header: str) -> None:
    other = headers_of(b"{}", number=2, at=NOW + timedelta(seconds=1))
    delivery = read_delivery(headers_of(b"{}") | {header: other[header]}, b"{}")
    with pytest.raises(NotAuthentic):
        require_signed(delivery, KEY)


@given(TEXTS)
def test_another_key_is_refused(key: str) -> None:
    with pytest.raises(NotAuthentic):
        require_signed(_delivery(), KEY + key + "x")


@given(st.integers(-(10**6), 10**6))
def test_only_what_was_sent_within_five_minutes_is_fresh(seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    if abs(seconds) <= FRESH.total_seconds():
        require_fresh(_delivery(), now)
    else:
        with pytest.raises(NotAuthentic, match="Are the clocks right"):
            require_fresh(_delivery(), now)


@pytest.mark.parametrize("header", [ID, SENT, SIGNATURE])
@pytest.mark.parametrize("value", ["", " ", "../../deployments/fraud.json", "v1,", "9" * 40, "é"])
def test_a_header_that_is_not_of_mlflow_s_form_is_named(header: str, value: str) -> None:
    with pytest.raises(InputError, match=header):
        read_delivery(headers_of(b"{}") | {header: value}, b"{}")


def test_headers_count_without_their_case_and_none_may_be_missing() -> None:
    titled = {name.title(): value for name, value in headers_of(b"{}").items()}
    assert read_delivery(titled, b"{}") == _delivery()
    with pytest.raises(InputError, match=f"{ID}, {SENT}, {SIGNATURE}"):
        read_delivery({}, b"{}")


def test_the_last_second_that_fits_into_a_header_is_a_time() -> None:
    assert Delivery("", "99999999999", "", b"").sent_at.year == 5138
