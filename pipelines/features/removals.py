"""Online rows of views that are applied no more: put down before the registry forgets the view.

What is put down is done after the registry is written, and again until it is done: whoever was
killed, or could not reach Redis, leaves it to the next `mlops features apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from feast.protos.feast.core.Registry_pb2 import Registry
from pydantic import BaseModel, ConfigDict

from mlops.errors import Unavailable
from mlops.objects import Documents
from mlops.stores.redis.keys import NO_ENTITY
from mlops.stores.redis.link import Link
from mlops.stores.redis.removal import remove_view
from pipelines.features.lease import Leases
from pipelines.features.upsync.redis_target import mark_key

_FOLDER = "feast/removals/"
_VIEWS = ("feature_views", "stream_feature_views", "on_demand_feature_views")
_WAIT = 70.0
"""Seconds to wait for a run that loads the view; it finds the view gone and ends."""


class Removal(BaseModel):
    """A view's rows that are to go from the online store."""

    model_config = ConfigDict(frozen=True)

    project: str
    view: str
    join_keys: tuple[str, ...]


Remover = Callable[[Removal], int]
"""Takes a view's rows out of the online store; how many there were."""


def deleted_views(current: Registry, desired: Registry) -> list[Removal]:
    """Views that could have rows online and are gone from the desired registry."""
    left = {removal.view for removal in _views(desired)}
    return [removal for removal in _views(current) if removal.view not in left]


def put_down(documents: Documents, removals: Iterable[Removal]) -> None:
    for removal in removals:
        documents.put(_key(removal.view), removal.model_dump_json().encode())


def undone(documents: Documents, applied: Registry) -> list[Removal]:
    """What was put down and is not done; a view that is applied again keeps its rows."""
    there = {(removal.view, removal.join_keys) for removal in _views(applied)}
    return [
        removal
        for removal in _put_down(documents)
        if (removal.view, removal.join_keys) not in there
    ]


def carry_out(documents: Documents, applied: Registry, remover: Remover) -> dict[str, int]:
    """Remove what is undone; rows by view.

    Raises what the remover raises; what is left then is done the next time.
    """
    removed = {}
    for removal in undone(documents, applied):
        removed[removal.view] = remover(removal)
        documents.delete(_key(removal.view))
    for removal in _put_down(documents):
        documents.delete(_key(removal.view))
    return removed


def _put_down(documents: Documents) -> list[Removal]:
    keys = sorted(documents.keys(_FOLDER))
    return [Removal.model_validate_json(documents.get(key).body) for key in keys]


@dataclass(frozen=True)
class OnlineRemover:
    """Removes a view's rows while nobody loads it.

    Its mark goes first: should the view come back, everything is loaded again.
    """

    link: Callable[[], Link]
    """Opened for the first removal: who deletes no view needs no way to Redis."""
    leases: Leases
    holder: str
    wait: float = _WAIT
    told: Callable[[str, int], object] = lambda *_: None
    """Told the view and how many keys were looked at."""

    def __call__(self, removal: Removal) -> int:
        """Raises Conflict while the view is being loaded, Unavailable with what is left to do."""
        lease = self.leases.take(removal.view, self.holder, wait=self.wait)
        with lease.kept():
            try:
                removed = self._remove(removal)
            except Unavailable as exc:
                lease.release(unfinished=True)
                raise Unavailable(
                    f"The definitions are applied, but the rows of '{removal.view}' are still "
                    f"online. {exc} Then run 'mlops features apply' again, which removes them."
                ) from exc
        lease.release()
        return removed

    def _remove(self, removal: Removal) -> int:
        link, looked = self.link(), 0

        def told(keys: int) -> None:
            nonlocal looked
            looked += keys
            self.told(removal.view, looked)

        link.command("UNLINK", mark_key(removal.project, removal.view))
        return remove_view(link, removal.project, removal.view, removal.join_keys, progress=told)


def _views(registry: Registry) -> Iterator[Removal]:
    for attribute in _VIEWS:
        entries: Iterable[Any] = getattr(registry, attribute)
        for entry in entries:
            if attribute == "on_demand_feature_views" and not entry.spec.write_to_online_store:
                continue
            keys = sorted(column.name for column in entry.spec.entity_columns)
            yield Removal(
                project=entry.spec.project,
                view=entry.spec.name,
                join_keys=tuple(keys) or (NO_ENTITY,),
            )


def _key(view: str) -> str:
    return f"{_FOLDER}{view}.json"
