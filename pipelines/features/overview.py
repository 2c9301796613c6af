"""What is applied, how far it is built, and how far it is online."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pydantic import BaseModel

from mlops.errors import NotFound
from mlops.feast import load_registry
from mlops.stores.redis.keys import NO_ENTITY
from pipelines.features.buildlog import load_log
from pipelines.features.session import Session
from pipelines.features.upsync.state import Runs


class ViewOverview(BaseModel):
    """One applied feature view."""

    view: str
    join_keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta
    pii: bool
    owner: str
    services: tuple[str, ...]
    built_to: date | None
    online_to: datetime | None


def list_views(session: Session) -> list[ViewOverview]:
    """Every applied view, by name. Raises NotFound when nothing was applied yet."""
    registry, document = load_registry(session.artifacts)
    if document is None:
        raise NotFound("No feature is applied in this environment. Run 'mlops features apply'.")
    rows = []
    for entry in sorted(registry.feature_views, key=lambda v: str(v.spec.name)):
        spec = entry.spec
        log, _ = load_log(session.data, spec.batch_source.athena_options.table)
        position, _ = Runs(session.artifacts).position(spec.name)
        rows.append(
            ViewOverview(
                view=spec.name,
                join_keys=tuple(c.name for c in spec.entity_columns if c.name != NO_ENTITY),
                features=tuple(feature.name for feature in spec.features),
                ttl=spec.ttl.ToTimedelta(),
                pii=spec.tags.get("pii") == "true",
                owner=spec.owner,
                services=tuple(
                    service.spec.name
                    for service in registry.feature_services
                    if any(p.feature_view_name == spec.name for p in service.spec.features)
                ),
                built_to=log.last_day,
                online_to=position.through if position else None,
            )
        )
    return rows
