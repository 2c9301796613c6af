"""One payment of the raw table, and its score over HTTP: what a caller of the service does."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from infra.local.lifecycle import LocalAws
from mlops.errors import JobFailed, NotFound, Unavailable
from mlops.names import Role

_COLUMNS = "payment_id, customer_id, terminal_id, amount, event_time, is_fraud"
_ATTEMPTS = 100


@dataclass(frozen=True)
class Payment:
    """A payment as the table has it; the amount in the platform's currency, the time UTC."""

    payment_id: str
    customer_id: str
    terminal_id: str
    amount: float
    event_time: str
    is_fraud: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def instance(self) -> dict[str, Any]:
        """What a service knows when the payment comes in: not whether it is fraud."""
        known = ("customer_id", "terminal_id", "amount", "event_time")
        return {name: getattr(self, name) for name in known}


def choose_payment(local: LocalAws, day: date) -> Payment:
    """The largest fraud of the day by amount, else its largest payment.

    Raises NotFound for a day without payments, JobFailed with Athena's reason.
    """
    sql = (
        f"SELECT {_COLUMNS} FROM payments WHERE day = '{day}' "  # noqa: S608 - our own literals
        "ORDER BY is_fraud DESC, amount DESC, payment_id LIMIT 1"
    )
    rows = _query(local, sql)
    if not rows:
        raise NotFound(f"There are no payments on {day}.")
    payment, customer, terminal, amount, moment, fraud = rows[0]
    when = datetime.fromisoformat(moment).isoformat() + "Z"
    return Payment(payment, customer, terminal, float(amount), when, is_fraud=fraud == "true")


def _query(local: LocalAws, sql: str) -> list[list[str]]:
    athena = local.client("athena", Role.DATA_SCIENTIST)
    query = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": local.names.database},
        WorkGroup=local.names.workgroup,
    )["QueryExecutionId"]
    for _ in range(_ATTEMPTS):
        status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        if status["State"] in {"FAILED", "CANCELLED"}:
            raise JobFailed(f"Athena: {status.get('StateChangeReason')}")
        if status["State"] == "SUCCEEDED":
            answer = athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
            return [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in answer[1:]]
        time.sleep(0.1)
    raise Unavailable(f"Athena did not answer within {_ATTEMPTS / 10:.0f} s: {sql}")


def score_payment(
    url: str, key: str, model: str, payment: Payment, *, version: int, seconds: float = 30
) -> dict[str, Any]:
    """Ask the proxy for the payment's score by that version, once the version is live.

    Raises Unavailable when it is not live in time, JobFailed with the proxy's own error.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = _post(f"{url}/v1/models/{model}:predict?explain=features", key, payment)
        if answer.get("version") == version and "predictions" in answer:
            return answer
        if time.monotonic() > deadline:
            raise Unavailable(f"Version {version} of '{model}' is not live at {url}: {answer}")
        time.sleep(0.2)


def _post(url: str, key: str, payment: Payment) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - an address of this machine
        url,
        data=json.dumps({"instances": [payment.instance]}).encode(),
        headers={"Content-Type": "application/json", "X-Api-Key": key},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as exc:
        body = exc.read().decode()
        if exc.code in {404, 503}:  # not live yet: the caller asks again
            return {"status": exc.code, "body": body}
        raise JobFailed(f"The proxy answered {exc.code}: {body}") from exc
    return answer
