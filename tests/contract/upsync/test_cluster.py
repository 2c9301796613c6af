"""Upsync, verify and backup on a Redis in cluster mode; one node asks for all that many do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from mlops.stores.redis.link import open_link
from mlops.stores.redis.target import RedisTarget
from pipelines.features.backup.keys import ProjectKeys
from tests.contract.upsync.test_sources import FIRST, add, damage, spends
from tests.feast_athena import SPEND_TYPES, Warehouse, spend_view
from tests.redis_processes import cluster
from tests.upsync_place import Place, at


def test_a_cluster_is_loaded_compared_healed_saved_and_restored(
    local_aws: Any, warehouse: Warehouse, tmp_path: Path
) -> None:
    warehouse.add("spend", FIRST, SPEND_TYPES)
    with cluster(tmp_path / "cluster", count=1) as [node]:
        target = RedisTarget("127.0.0.1", node.port, password=node.password, is_cluster=True)
        with closing(open_link(target)) as link:
            place = Place(local_aws, warehouse, link, spend_view(warehouse.source("spend")))
            assert place.upsync("2018-08-08").written == 2
            row = {"customer_id": "nobody", "amount": 1.0, "payments": 1}
            place.push("2018-08-08", row | {"event_time": at("2018-08-07")})
            damage(place, place.stored().keys.key({"customer_id": "c2"}))
            verdict = place.verify("2018-08-08", remove_extra=True)
            assert (verdict.different, verdict.extra, verdict.removed) == (1, 1, 1)
            assert place.upsync("2018-08-08", full=True).written == 1
            add(place, spends(("c3", "2018-08-08", "2018-08-08", 5.0)))
            assert place.upsync("2018-08-08T01:00:00").written == 1
            assert place.verify("2018-08-08T01:00:00").faults == 0
            keys = ProjectKeys(link, place.project)
            saved = list(keys.take())
            assert keys.remove() == 6, "c1 to c3, who has none any more, the schema and the mark"
            assert place.verify("2018-08-08T01:00:00").missing == 3
            assert sum(keys.put(batch) for batch in saved) == 6
            assert place.verify("2018-08-08T01:00:00").faults == 0
            again = place.upsync("2018-08-08T02:00:00")
            assert again.reason == "since the last run, by created time"
