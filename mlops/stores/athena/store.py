"""The Feast offline store: `type: mlops.stores.athena.AthenaOfflineStore` in feature_store.yaml."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import OnDemandFeatureView
from feast.infra.offline_stores.contrib.athena_offline_store.athena import (
    AthenaOfflineStoreConfig as FeastConfig,
)
from feast.infra.offline_stores.contrib.athena_offline_store.athena_source import AthenaSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalMetadata
from feast.monitoring.monitoring_utils import normalize_monitoring_row
from feast.utils import compute_non_entity_date_range, make_tzaware

from mlops.errors import InputError
from mlops.stores.athena import metric_tables
from mlops.stores.athena.entities import EntityRows
from mlops.stores.athena.historical import Asked, HistoricalJob, Range, read_entities
from mlops.stores.athena.metrics import Rows, compute, last_time
from mlops.stores.athena.pulled import Columns, PullJob
from mlops.stores.athena.relations import Relation
from mlops.stores.athena.results import Way
from mlops.stores.athena.session import open_session
from mlops.stores.athena.sql import Window, to_instant, to_microseconds
from mlops.stores.athena.views import join_key_columns, requested_features
from mlops.stores.athena.writing import write_batch, write_log


class AthenaOfflineStoreConfig(FeastConfig):  # type: ignore[misc]  # feast is untyped here
    """Feast's own settings for Athena, and what its store does not have."""

    type: Literal["mlops.stores.athena.AthenaOfflineStore"] = (
        "mlops.stores.athena.AthenaOfflineStore"
    )
    timeout_seconds: float | None = None
    """Stops a query that runs longer."""
    max_scan_bytes: int | None = None
    """Stops a query that scans more."""
    price_per_terabyte: float = 5.0
    """US dollars; Athena's price differs by region."""
    as_of: str | None = None
    """ISO 8601: see only rows that were created by then."""
    results: Way = "auto"
    """How results are written: 'unload', 'ctas', or what the workgroup allows."""
    clock: str = "system"
    """The platform's clock, which written rows are held against: 'system' or an instant."""
    future_tolerance_seconds: float | None = 300.0
    """How far in the future a written row's times may lie; null allows any."""


class AthenaOfflineStore(OfflineStore):  # type: ignore[misc]  # feast is untyped here
    """Exact point-in-time joins on Athena, in one pass; the rule is in `join`."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> HistoricalJob:
        """A job for the entity rows with their features, one row each, in the caller's order.

        Options: start_date and end_date where there are no entity rows, and
        filter_by_created_timestamp. Raises InputError when the rows lack a time or a join key.
        """
        views = requested_features(feature_refs, feature_views, project=project, registry=registry)
        _check_sources(view.batch_source for view, _ in views.values())
        session = open_session(config)
        given = read_entities(entity_df, views, _window(feature_views, entity_df, options))
        asked = Asked(
            views=views,
            entities=given,
            full_feature_names=full_feature_names,
            by_created=bool(options.get("filter_by_created_timestamp")),
            as_of=session.as_of,
        )
        return HistoricalJob(
            session,
            asked,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(
                feature_refs, project, registry
            ),
            metadata=_metadata(feature_refs, asked, given),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> PullJob:
        """A job for the latest row of each key between two times, both included."""
        _check_sources([data_source])
        columns = Columns(
            tuple(join_key_columns),
            tuple(feature_name_columns),
            timestamp_field,
            created_timestamp_column or None,
            dummy_entity=not join_key_columns,
        )
        window = _between(start_date, end_date)
        return PullJob(open_session(config), data_source, columns, window=window, latest=True)

    @staticmethod
    def pull_all_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> PullJob:
        """A job for all rows between two times, both included; None is open."""
        _check_sources([data_source])
        columns = Columns(
            tuple(join_key_columns),
            tuple(feature_name_columns),
            timestamp_field,
            created_timestamp_column or None,
        )
        window = _between(start_date, end_date)
        return PullJob(open_session(config), data_source, columns, window=window)

    @staticmethod
    def offline_write_batch(
        config: Any,
        feature_view: Any,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to the table under a view.

        Raises InputError when they do not fit it; then none is written.
        """
        _check_sources([feature_view.batch_source])
        write_batch(open_session(config), feature_view, table, progress)

    @staticmethod
    def write_logged_features(
        config: Any, data: pa.Table | Path, source: Any, logging_config: Any, registry: Any
    ) -> None:
        """Append logged features to the destination's table, which is made at first."""
        write_log(open_session(config), logging_config.destination.table_name, data)

    def validate_data_source(self, config: Any, data_source: Any) -> None:
        """Raises NotFound when the table, or a column that the source names, is not there."""
        relation = self._relation(config, data_source)
        times = (data_source.timestamp_field, data_source.created_timestamp_column)
        relation.require(column for column in times if column)
        relation.day(data_source.date_partition_column or None)

    def get_table_column_names_and_types_from_data_source(
        self, config: Any, data_source: Any
    ) -> list[tuple[str, str]]:
        """Columns with Athena's types, of the database that the source names."""
        columns = self._relation(config, data_source).columns
        return [(column, kind.upper()) for column, kind in columns.items()]

    # What Feast's monitoring asks for

    @staticmethod
    def compute_monitoring_metrics(
        config: Any,
        data_source: Any,
        feature_columns: list[tuple[str, str]],
        timestamp_field: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        histogram_bins: int = 20,
        top_n: int = 10,
    ) -> list[dict[str, Any]]:
        """Statistics and a histogram of each column, numeric or categorical; percentiles are
        Athena's approximate ones.
        """
        _check_sources([data_source])
        session = open_session(config)
        with session.run() as work:
            relation = session.relations.of(data_source, work.run)
            relation.require([timestamp_field, *(column for column, _ in feature_columns)])
            rows = Rows(
                relation.sql,
                relation.time(timestamp_field),
                relation.day(data_source.date_partition_column or None),
                _between(start_date, end_date),
            )
            return compute(work, rows, feature_columns, bins=histogram_bins, top=top_n)

    @staticmethod
    def get_monitoring_max_timestamp(
        config: Any, data_source: Any, timestamp_field: str
    ) -> datetime | None:
        """The last event time of a source; None where it has no rows."""
        _check_sources([data_source])
        session = open_session(config)
        with session.run() as work:
            relation = session.relations.of(data_source, work.run)
            return last_time(work, relation.sql, relation.time(timestamp_field))

    @staticmethod
    def ensure_monitoring_tables(config: Any) -> None:
        """Make the tables of metrics that are not there."""
        metric_tables.ensure(open_session(config))

    @staticmethod
    def save_monitoring_metrics(
        config: Any, metric_type: str, metrics: list[dict[str, Any]]
    ) -> None:
        """Keep metrics; of several with one key the last saved counts."""
        metric_tables.save(open_session(config), metric_type, metrics)

    @staticmethod
    def query_monitoring_metrics(
        config: Any,
        project: str,
        metric_type: str,
        filters: dict[str, Any] | None = None,
        start_date: date | None = None,
        end_date: date | None = None,
    ) -> list[dict[str, Any]]:
        """Metrics that were kept, by date; none where there are no tables yet."""
        wanted = {"project_id": project or None, **(filters or {})}
        found = metric_tables.query(
            open_session(config), metric_type, wanted, first=start_date, last=end_date
        )
        return [normalize_monitoring_row(row) for row in found]

    @staticmethod
    def clear_monitoring_baseline(
        config: Any,
        project: str,
        feature_view_name: str | None = None,
        feature_name: str | None = None,
        data_source_type: str | None = None,
    ) -> None:
        """No metric of these is a baseline any longer."""
        wanted = {
            "project_id": project,
            "feature_view_name": feature_view_name,
            "feature_name": feature_name,
            "data_source_type": data_source_type,
            "is_baseline": True,
        }
        session = open_session(config)
        rows = metric_tables.query(session, "feature", wanted)
        metric_tables.save(session, "feature", [row | {"is_baseline": False} for row in rows])

    def _relation(self, config: Any, data_source: Any) -> Relation:
        _check_sources([data_source])
        session = open_session(config)
        with session.run() as work:
            return session.relations.of(data_source, work.run)


def _check_sources(sources: Any) -> None:
    for source in sources:
        if not isinstance(source, AthenaSource):
            raise InputError(
                f"Source '{getattr(source, 'name', source)}' is a {type(source).__name__}; this "
                "store reads AthenaSource only. Change it in feature_repo/."
            )


def _between(start: datetime | None, end: datetime | None) -> Window:
    return Window(
        None if start is None else to_microseconds(make_tzaware(start)),
        None if end is None else to_microseconds(make_tzaware(end)),
    )


def _window(
    feature_views: list[Any], entity_df: Any, options: dict[str, Any]
) -> tuple[datetime, datetime] | None:
    if entity_df is not None:
        return None
    start, end = compute_non_entity_date_range(
        feature_views, start_date=options.get("start_date"), end_date=options.get("end_date")
    )
    return make_tzaware(start), make_tzaware(end)


def _metadata(
    references: list[str], asked: Asked, given: EntityRows | str | Range
) -> RetrievalMetadata:
    keys = [key for view, _ in asked.views.values() for key in join_key_columns(view)]
    if isinstance(given, EntityRows):
        keys = [column for column in given.table.column_names if column != given.time_column]
    window = Window() if isinstance(given, str) else given.window
    return RetrievalMetadata(
        features=references,
        keys=list(dict.fromkeys(keys)),
        min_event_timestamp=None if window.first is None else to_instant(window.first),
        max_event_timestamp=None if window.last is None else to_instant(window.last),
    )
