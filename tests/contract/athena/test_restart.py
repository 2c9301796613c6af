"""What of the local Athena survives a restart."""

from __future__ import annotations

import time
from pathlib import Path

from infra.local import lifecycle
from tests.contract.athena.conftest import Shop
from tests.contract.athena.test_api import SLOW


def _shop(running: lifecycle.LocalAws) -> Shop:
    return Shop(running.environment(), "restart-data", "restarted")


def test_finished_queries_and_their_results_survive_and_running_ones_are_cancelled(
    tmp_path: Path,
) -> None:
    with lifecycle.start(tmp_path) as running:
        shop = _shop(running)
        shop.client("s3").create_bucket(
            Bucket=shop.bucket,
            CreateBucketConfiguration={"LocationConstraint": shop.environment["AWS_REGION"]},
        )
        shop.made(f"CREATE DATABASE {shop.database}")
        done = shop.run("SELECT 7 AS seven")["QueryExecutionId"]
        slow = shop.start(SLOW)
        time.sleep(0.3)
    with lifecycle.start(tmp_path) as running:
        shop = _shop(running)
        athena = shop.client("athena")
        rows = athena.get_query_results(QueryExecutionId=done)["ResultSet"]["Rows"]
        assert [row["Data"][0]["VarCharValue"] for row in rows] == ["seven", "7"]
        assert shop.finished(slow)["Status"]["State"] == "CANCELLED"
