"""Where the raw payments are kept: the ledger and the files in S3, the table and the view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from mlops.errors import Conflict
from mlops.objects import Document, Documents
from pipelines.data.ledger import Ledger, load_ledger, save_ledger
from pipelines.data.payments import Partition, Visible

ATTEMPTS = 10


class RawTable(Protocol):
    """What importing asks of the payments table."""

    def create(self) -> None:
        """Make the table where it does not exist yet."""

    def register(self, partitions: Sequence[Partition]) -> None:
        """Tell the catalog of the partitions' files; doing it twice does nothing."""

    def unregister(self, partitions: Sequence[Partition]) -> None:
        """Have the catalog forget them; doing it twice does nothing."""

    def show(self, visible: Visible) -> None:
        """Have everybody see these imports, all of them from one moment on."""

    def repeated(self, ids: Path, visible: Visible, *, name: str) -> pa.Table:
        """Which ids are taken by a visible import or an earlier unit; see payments.REPEATED."""


@dataclass(frozen=True)
class Store:
    """The raw payments."""

    table: RawTable
    documents: Documents
    """The data bucket."""
    data_url: str
    """Its s3:// address."""
    new_id: Callable[[], str]
    """Makes characters that nobody else has."""


def open_ledger(store: Store, *, dry_run: bool) -> tuple[Ledger, Document | None]:
    """The ledger, after what an interrupted run left unfinished is finished."""
    ledger, document = load_ledger(store.documents)
    if dry_run:
        return ledger, document
    store.table.create()
    if ledger.published < ledger.commits:
        publish(store)
        return load_ledger(store.documents)
    return ledger, document


def publish(store: Store) -> None:
    """Show readers what the ledger says.

    When the ledger changed meanwhile, the view that was just written may be behind it: again.
    """
    for _ in range(ATTEMPTS):
        ledger, document = load_ledger(store.documents)
        store.table.register([p for one in ledger.unpublished for p in one.partitions])
        store.table.show(ledger.shown())
        try:
            save_ledger(store.documents, ledger.as_published(), replacing=document)
        except Conflict:
            continue
        return
    raise Conflict(
        "The payments keep changing. Wait for the other imports, then run it again: what was "
        "imported is noted, and is shown then."
    )
