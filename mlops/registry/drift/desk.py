"""Where drift is looked for: one environment, as one identity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from mlops.athena import Athena
from mlops.aws import Aws, translated
from mlops.bus import DRIFTED, MODELS, Bus
from mlops.deployment import load_deployment
from mlops.errors import NotFound
from mlops.names import Names
from mlops.objects import S3Documents
from mlops.registry.dossier import read_dossier
from mlops.registry.drift.measure import Check, Moved, check_drift, watched_columns
from mlops.registry.opening import open_registry
from mlops.settings import Settings


def look_for_drift(settings: Settings, aws: Aws, model: str, *, days: int) -> Check:
    """Hold what the stable version was served in the last days against its manifest.

    Raises NotFound where no version is served, or nothing of what it reads is logged.
    """
    names, now = settings.names, settings.build_clock().now()
    documents = S3Documents(aws, names.artifact_bucket)
    stable = load_deployment(documents, model)[0].stable
    if stable is None:
        raise NotFound(f"No version of '{model}' is served, so nothing of it can have drifted.")
    version = open_registry(settings, aws).get(model, stable.version)
    dossier = read_dossier(documents, names.artifact_bucket, version)
    if dossier.manifest is None:
        raise NotFound(f"Version {stable.version} of '{model}': {'; '.join(dossier.missing)}")
    views = watched_columns(dossier.manifest)
    logged = _logged(aws, names, views)
    if not logged:
        raise NotFound(
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


def tell_drift(bus: Bus, check: Check, drifted: Sequence[Moved]) -> None:
    """Raises Unavailable, so that a nightly job tells of an event that was lost."""
    farthest = {moved.name: moved.distance for moved in drifted}
    facts = {"model": check.model, "version": check.version, "since": check.since}
    bus.put(MODELS, DRIFTED, [facts | {"drifted": farthest}])
