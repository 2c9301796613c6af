"""What the commands of one run share, made when it is first needed."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import cached_property
from typing import Any

from mlops.athena import Athena
from mlops.aws import Aws
from mlops.bus import EventBus, tell_arrivals
from mlops.objects import S3Documents
from mlops.settings import Settings
from pipelines.data.payments import PaymentsTable
from pipelines.data.store import Store
from pipelines.data.units import ImportOptions
from pipelines.data.validation import Rules


class Session:
    """One environment, one identity, one moment."""

    def __init__(self, settings: Settings, aws: Aws | None = None) -> None:
        self.settings = settings
        self.aws = aws or Aws(region=settings.region)
        self.now: datetime = settings.build_clock().now()

    @cached_property
    def documents(self) -> S3Documents:
        return S3Documents(self.aws, self.settings.names.data_bucket)

    @cached_property
    def store(self) -> Store:
        names = self.settings.names
        return Store(
            table=PaymentsTable(names, self.aws, Athena(self.settings, self.aws)),
            documents=self.documents,
            data_url=f"s3://{names.data_bucket}",
            new_id=lambda: uuid.uuid4().hex[:12],
        )

    def tell_arrival(self, table: str, **facts: Any) -> None:
        """Let workflows start that wait for rows of a table."""
        tell_arrivals(EventBus(self.aws), [{"table": table, "at": self.now, **facts}])

    def new_run(self) -> str:
        """A name by which runs are in the order of their starts."""
        return f"{self.now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"

    def options(
        self,
        *,
        timezone: str | None = None,
        currency: str | None = None,
        max_bad_share: float = 0.05,
        dry_run: bool = False,
        run: str | None = None,
    ) -> ImportOptions:
        rules = Rules(
            now=self.now,
            currency=self.settings.currency,
            file_currency=currency,
            timezone=timezone,
        )
        return ImportOptions(
            rules, self.aws.identity, max_bad_share=max_bad_share, dry_run=dry_run, run=run
        )
