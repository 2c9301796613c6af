"""Saving and restoring the online store and the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlops.errors import Conflict, Refused
from mlops.objects import MemoryDocuments, S3Documents
from pipelines.features.backup.archive import Archive
from pipelines.features.backup.keys import ProjectKeys
from pipelines.features.backup.restoring import Restorer
from tests.contract.upsync.test_sources import spends
from tests.feast_athena import SPEND_TYPES, Warehouse, spend_view
from tests.upsync_place import Place, at

NOW = "2018-08-08"
ROWS = 700


@pytest.fixture
def place(local_aws: Any, warehouse: Warehouse, link: Any) -> Iterator[Place]:
    many = [(f"c{n}", "2018-08-07", "2018-08-07", float(n)) for n in range(ROWS)]
    warehouse.add("spend", spends(*many), SPEND_TYPES)
    place = Place(local_aws, warehouse, link, spend_view(warehouse.source("spend")))
    place.upsync(NOW)
    yield place
    keys_of(place).remove()


def keys_of(place: Place) -> ProjectKeys:
    return ProjectKeys(place.link, place.project)


def archive_of(place: Place) -> Archive:
    documents = S3Documents(place.identity, place.warehouse.name)
    return Archive(place.identity, documents, place.warehouse.name)


def save(place: Place, id_: str = "b1") -> Any:
    archive = archive_of(place)
    return archive.save(keys_of(place), place.documents, id_=id_, now=at("2026-01-01"), by="me")


def restorer(place: Place, registry: Any) -> Restorer:
    return Restorer(archive_of(place), keys_of(place), registry)


def test_what_was_saved_is_there_again_when_both_are_gone(place: Place) -> None:
    manifest = save(place)
    assert manifest.keys == ROWS + 2, "the entities, the schemas, and the mark of the last run"
    before = {key: place.documents.get(key).body for key in place.documents.keys("feast/")}
    keys_of(place).remove()
    assert place.verify(NOW).missing == ROWS
    registry = MemoryDocuments()
    done = restorer(place, registry).restore(manifest)
    assert (done.keys, place.verify(NOW).same) == (ROWS + 2, ROWS)
    kept = {key for key in before if "/runs/" not in key and "lease" not in key}
    assert set(registry.stored) == kept
    assert all(registry.stored[key] == before[key] for key in kept)


def test_after_a_restore_the_next_upsync_goes_on_from_the_backup(place: Place) -> None:
    manifest = save(place)
    keys_of(place).remove()
    restorer(place, place.documents).restore(manifest)
    report = place.upsync("2018-08-08T01:00:00")
    assert report.reason == "since the last run, by created time"


def test_a_key_keeps_its_expiry(place: Place) -> None:
    client, stored = place.link.client, place.stored()
    key = stored.keys.key({"customer_id": "c7"})
    client.pexpire(key, 3_600_000)
    manifest = save(place)
    keys_of(place).remove()
    restorer(place, place.documents).restore(manifest)
    left: Any = client.pttl(key)
    assert 3_500_000 < left <= 3_600_000


def test_a_target_that_is_not_empty_is_refused_unless_it_is_meant(place: Place) -> None:
    manifest = save(place)
    place.push(NOW, {"customer_id": "new", "amount": 1.0, "payments": 1, "event_time": at(NOW)})
    with pytest.raises(Refused, match="holds keys of project"):
        restorer(place, place.documents).restore(manifest)
    restorer(place, place.documents).restore(manifest, force=True)
    assert not place.link.client.exists(place.stored().keys.key({"customer_id": "new"}))


def test_a_registry_that_differs_is_refused_and_the_store_can_come_alone(place: Place) -> None:
    manifest = save(place)
    keys_of(place).remove()
    registry = MemoryDocuments({"feast/registry.db": b"another"})
    with pytest.raises(Refused, match=r"other versions of feast/registry\.db"):
        restorer(place, registry).restore(manifest)
    restorer(place, registry).restore(manifest, part="online")
    assert registry.stored == {"feast/registry.db": b"another"}
    assert place.verify(NOW).faults == 0


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_backup_restores_nothing(place: Place, damage: str) -> None:
    manifest = save(place)
    keys_of(place).remove()
    data, key = archive_of(place).data, f"backups/online/b1/{manifest.files[0].name}"
    if damage == "remove":
        data.delete(key)
    else:
        body = bytearray(data.get(key).body)
        body[len(body) // 2] ^= 1
        data.put(key, bytes(body))
    with pytest.raises(Refused, match=r"damaged: keys-00000\.parquet"):
        restorer(place, place.documents).restore(manifest)
    assert keys_of(place).is_empty()


def test_an_interrupted_restore_is_gone_on_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = save(place)
    keys_of(place).remove()
    put, left = ProjectKeys.put, [1]

    def die(self: ProjectKeys, batch: Any) -> int:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return put(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.features.backup.archive._BATCH", 300)
        patch.setattr(ProjectKeys, "put", die)
        with pytest.raises(KeyboardInterrupt):
            restorer(place, place.documents).restore(manifest)
    done = restorer(place, place.documents).restore(manifest)
    assert done.continued
    assert place.verify(NOW).faults == 0


def test_a_dry_run_restores_nothing(place: Place) -> None:
    manifest = save(place)
    keys_of(place).remove()
    done = restorer(place, place.documents).restore(manifest, dry_run=True)
    assert (done.keys, done.dry_run) == (ROWS + 2, True)
    assert keys_of(place).is_empty()


def test_backups_are_listed_the_newest_is_the_latest_and_none_is_overwritten(place: Place) -> None:
    save(place, "b1")
    archive = archive_of(place)
    archive.save(keys_of(place), place.documents, id_="b2", now=at("2026-01-02"), by="me")
    assert [manifest.id for manifest in archive.manifests()] == ["b2", "b1"]
    assert archive.manifest("latest").id == "b2"
    with pytest.raises(Conflict, match="'b1' already"):
        save(place, "b1")
