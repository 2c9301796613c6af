"""Opening the Feast repo of an environment, without running code from its registry.

The registry keeps on-demand functions as pickled bytes. They are dropped before Feast sees them:
what runs is the function of this image's own feature repo, checked by its hash (`mlops.plan`).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import redis.exceptions
import yaml
from feast import FeatureStore, RepoConfig
from feast.infra.utils.aws_utils import AthenaError, AthenaQueryError
from feast.protos.feast.core.Registry_pb2 import Registry
from pydantic import ValidationError

from mlops.aws import Aws, translated
from mlops.errors import InputError, JobFailed, MlopsError, NotFound, SettingsError, Unavailable
from mlops.objects import Document, Documents, S3Documents
from mlops.plan import FeaturePlan, Transformation
from mlops.secrets import redis_target
from mlops.settings import Settings
from mlops.training_rows import NUMBERS, ROW, add_on_demand, entity_keys

REGISTRY_KEY = "feast/registry.db"
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


def feast_environment(settings: Settings, aws: Aws, *, online: bool = True) -> dict[str, str]:
    """The values of the feature repo's ${VARIABLES}; without Redis where `online` is false."""
    names = settings.names
    values = {
        "FEAST_REGISTRY": f"s3://{names.artifact_bucket}/{REGISTRY_KEY}",
        "FEAST_REGION": settings.region,
        "FEAST_DATABASE": names.database,
        "FEAST_WORKGROUP": names.workgroup,
        "FEAST_STAGING": f"s3://{names.staging_bucket}",
        "FEAST_CLOCK": settings.clock,
    }
    if online:
        values["FEAST_REDIS"] = redis_target(settings, aws).url
    return values


def read_config(
    repo: Path, environment: Mapping[str, str], *, online: bool = True
) -> dict[str, Any]:
    """feature_store.yaml with its variables filled in; without its online store if so asked.

    Raises SettingsError with the names of all variables that have no value, and when the registry
    is no object in S3.
    """
    path = repo / "feature_store.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise NotFound(
            f"There is no {path}. Set MLOPS_FEATURE_REPO to the feature repo's folder."
        ) from exc
    if not online:
        # None, not absent: without the key Feast would make a SQLite file.
        config["online_store"] = None
    missing: list[str] = []
    filled: dict[str, Any] = _filled(config, environment, missing)
    if missing:
        raise SettingsError(
            f"{path} needs {', '.join(dict.fromkeys(missing))}, which the environment does not "
            "set. 'mlops features env' prints what the settings give."
        )
    registry = filled.get("registry")
    where = registry.get("path", "") if isinstance(registry, dict) else str(registry)
    if not where.startswith("s3://"):
        raise SettingsError(f"{path} puts the registry at '{where}'; it must be in S3 (s3://...).")
    return filled


def _filled(value: Any, environment: Mapping[str, str], missing: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, environment, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environment, missing) for item in value]
    if not isinstance(value, str):
        return value
    names = [a or b for a, b in _VARIABLE.findall(value)]
    missing += [name for name in names if not environment.get(name)]
    return _VARIABLE.sub(lambda m: environment.get(m[1] or m[2], ""), value)


def local_store(config: Mapping[str, Any], registry: Path) -> FeatureStore:
    """Feast with this configuration, on a registry file of our own."""
    own = {"registry_type": "file", "path": str(registry), "cache_ttl_seconds": 0}
    try:
        return FeatureStore(config=RepoConfig(**{**config, "registry": own}))
    except ValidationError as exc:
        raise SettingsError(f"feature_store.yaml is wrong: {exc}") from exc


def load_registry(documents: Documents) -> tuple[Registry, Document | None]:
    """The applied registry, and the document that a conditional write replaces; empty at first."""
    registry = Registry()
    try:
        document = documents.get(REGISTRY_KEY)
    except NotFound:
        return registry, None
    registry.ParseFromString(document.body)
    return registry, document


def open_store(settings: Settings, aws: Aws, *, online: bool = False) -> FeatureStore:
    """Feast on a copy of the applied registry, in which no code is left.

    What Feast writes to its registry goes to that copy, which goes with the store.
    Raises NotFound when nothing was applied yet.
    """
    registry, document = load_registry(S3Documents(aws, settings.names.artifact_bucket))
    if document is None:
        raise NotFound("No feature is applied in this environment. Run 'mlops features apply'.")
    del registry.on_demand_feature_views[:]
    registry.ClearField("feature_view_version_history")
    environment = feast_environment(settings, aws, online=online)
    config = read_config(settings.feature_repo, environment, online=online)
    folder = tempfile.mkdtemp(prefix="mlops-feast-")
    path = Path(folder) / "registry.db"
    path.write_bytes(registry.SerializeToString())
    store = local_store(config, path)
    weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
    return store


def historical_features(
    store: FeatureStore,
    plan: FeaturePlan,
    entity_df: pd.DataFrame,
    transformations: Mapping[str, Transformation],
    *,
    time_column: str = "event_time",
) -> pd.DataFrame:
    """The entity rows with the service's features as they were known at each row's time.

    entity_df: join keys, request values, an aware time (a naive one is taken as UTC), and whatever
    else the caller wants back; it is not modified.
    Returns its rows in its order and with its index, then the stored features (numbers as float64,
    NaN where there is none), then the on-demand ones.
    Raises InputError naming the columns that are missing.
    """
    _check_columns(plan, entity_df, time_column)
    times = pd.to_datetime(entity_df[time_column], utc=True)
    rows = entity_keys(plan, entity_df, times)
    joined = _joined(store, plan, rows)
    result = entity_df.copy()
    for view in plan.views:
        for feature in view.features:
            values = joined[feature.name]
            numeric = values.astype("float64") if feature.dtype in NUMBERS else values
            result[feature.name] = numeric.array
    add_on_demand(plan, result, transformations, {time_column: times})
    return result


def _check_columns(plan: FeaturePlan, entity_df: pd.DataFrame, time_column: str) -> None:
    wanted = [f.name for f in (*plan.entities, *plan.request)] + [time_column]
    missing = [name for name in dict.fromkeys(wanted) if name not in entity_df.columns]
    if missing:
        raise InputError(
            f"The entity rows lack {', '.join(missing)}, which feature service '{plan.service}' "
            f"needs; they have {', '.join(map(str, entity_df.columns))}."
        )


def _joined(store: FeatureStore, plan: FeaturePlan, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per entity row, in their order."""
    if rows.empty:
        features = [f.name for view in plan.views for f in view.features]
        return pd.DataFrame(columns=features, dtype="float64")
    with feast_errors("Joining features to entity rows"):
        job = store.get_historical_features(entity_df=rows, features=plan.references)
        found: pd.DataFrame = job.to_df()
    found = found.sort_values(ROW, ignore_index=True)
    if len(found) != len(rows) or not (found[ROW] == rows[ROW]).all():
        raise JobFailed(
            f"The offline store answered {len(found)} rows for {len(rows)} entity rows of "
            f"'{plan.service}'. Do not use them; see offline_store in feature_store.yaml."
        )
    return found


@contextlib.contextmanager
def feast_errors(doing: str) -> Iterator[None]:
    """Run Feast quietly, and turn what it raises into the platform's errors."""
    try:
        with translated(doing), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MlopsError:
        raise
    except (AthenaError, AthenaQueryError) as exc:
        with translated(doing):
            if exc.__cause__ is not None:
                raise exc.__cause__ from exc
        raise JobFailed(f"{doing}: {exc}") from exc
    except redis.exceptions.RedisError as exc:
        raise Unavailable(
            f"{doing}: Redis does not answer ({exc}). Start it ('mlops local up', or see the "
            "ElastiCache console) and run the command again; nothing was marked as done."
        ) from exc
