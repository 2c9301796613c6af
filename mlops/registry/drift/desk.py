"""Where drift is looked for: one environment, as one identity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from mlops.athena import Athena
from mlops.aws import Aws, translated
from mlops.bus import DRIFTED, MODELS, Bus
from mlops.deployment import load_deployment
from mlops.errors import NotFound
from mlops.names import Names
from mlops.objects import Documents, S3Documents
from mlops.registry.dossier import read_dossier
from mlops.registry.drift.measure import Check, Moved, check_drift, watched_columns
from mlops.registry.drift.seen import KEY, Seen
from mlops.registry.opening import open_registry
from mlops.settings import Settings


class NothingToWatch(NotFound):
    """Nothing of the model is served, or nothing of what it reads is logged."""


def look_for_drift(settings: Settings, aws: Aws, model: str, *, days: int) -> Check:
    """Hold what the stable version was served in the last days against its manifest.

    Raises NothingToWatch, and NotFound where the version's manifest is missing.
    """
    names, now = settings.names, settings.build_clock().now()
    documents = S3Documents(aws, names.artifact_bucket)
    stable = load_deployment(documents, model)[0].stable
    if stable is None:
        raise NothingToWatch(
            f"No version of '{model}' is served, so nothing of it can have drifted."
        )
    version = open_registry(settings, aws).get(model, stable.version)
    dossier = read_dossier(documents, names.artifact_bucket, version)
    if dossier.manifest is None:
        raise NotFound(f"Version {stable.version} of '{model}': {'; '.join(dossier.missing)}")
    views = watched_columns(dossier.manifest)
    logged = _logged(aws, names, views)
    if not logged:
        raise NothingToWatch(
            f"Nothing of what '{model}' reads is logged ({', '.join(sorted(views)) or 'no view'}). "
            "Tag its views 'downsync: served', apply them, and run 'mlops features downsync'."
        )
    return check_drift(
        Athena(settings, aws),
        dossier.manifest,
        {view: views[view] for view in logged},
        version=stable.version,
        since=now - timedelta(days=days),
        not_logged=[view for view in views if view not in logged],
    )


def _logged(aws: Aws, names: Names, views: Iterable[str]) -> list[str]:
    """The views of which there is a table of what was served."""
    found = []
    for view in views:
        try:
            with translated(f"Looking for what was served of '{view}'"):
                aws.client("glue").get_table(DatabaseName=names.database, Name=f"{view}_served")
        except NotFound:
            continue
        found.append(view)
    return found


def read_seen(documents: Documents) -> Seen:
    """What was told before; nothing where nothing was."""
    try:
        return Seen.model_validate_json(documents.get(KEY).body)
    except NotFound:
        return Seen()


def drift_event(check: Check, drifted: Sequence[Moved], *, again: bool) -> dict[str, Any]:
    """What the bus is told. again: whether the same drift was told before."""
    farthest = {moved.name: moved.distance for moved in drifted}
    facts = {"model": check.model, "version": check.version, "since": check.since}
    return facts | {"drifted": farthest, "again": again}


def tell_drift(
    bus: Bus, documents: Documents, check: Check, drifted: Sequence[Moved], *, now: datetime
) -> bool:
    """Whether the same drift was told before.

    It is noted after it was told, so that a drift whose event was lost is new to the next check.
    Raises Unavailable.
    """
    seen, columns = read_seen(documents), [moved.name for moved in drifted]
    drift = (check.model, check.version, columns)
    again = seen.knows(*drift, since=check.since)
    bus.put(MODELS, DRIFTED, [drift_event(check, drifted, again=again)])
    after = seen.adding(*drift, since=check.since, now=now)
    documents.put(KEY, after.model_dump_json(indent=1).encode())
    return again
