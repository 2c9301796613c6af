"""The settings of a process: read from the environment once, by its composition root."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlops.clock import Clock, parse_clock
from mlops.errors import InputError, SettingsError
from mlops.names import Names

PREFIX = "MLOPS_"
_REMEDY = 'For the local AWS, run: eval "$(mlops local env)".'


def _checked_clock(text: str) -> str:
    try:
        parse_clock(text)
    except InputError as exc:
        raise ValueError(str(exc)) from exc
    return text


class Settings(BaseModel):
    """One environment of the platform.

    Every field is read from ``MLOPS_<FIELD>``; the region also from ``AWS_REGION`` or
    ``AWS_DEFAULT_REGION``. Credentials and ``AWS_ENDPOINT_URL`` are boto3's own and not kept here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: Literal["local", "dev", "stage", "prod"]
    account: Annotated[str, Field(pattern=r"^\d{12}$")]
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    redis_url: Annotated[str, Field(pattern=r"^rediss?://")] | None = None
    """Host, port and user; the password comes from the secret, never from here on AWS.

    None where a process needs no online store, as the Lambdas do: see `require_redis_url`.
    """
    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,20}$")] = "mlops"
    clock: Annotated[str, AfterValidator(_checked_clock)] = "system"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    mlflow_tracking_uri: str = "sqlite:///.mlops/mlflow.db"
    registry: Literal["sagemaker", "mlflow"] = "sagemaker"
    """What holds the model versions; MLflow's is that of the tracking server."""
    mlflow_secret: str | None = None
    """Secrets Manager name of the tracking server's user and password, as JSON; what stands in
    MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_TOKEN comes before it."""
    records: Annotated[str, Field(pattern=r"^(dynamodb$|file:///.+)")] = "dynamodb"
    """What holds the approval record: the environment's DynamoDB table, or a folder."""
    job_subnets: Annotated[str, Field(pattern=r"^subnet-\w+(,subnet-\w+)*$")] | None = None
    """Where training jobs run, for what lies in the private network; None is outside of it."""
    job_security_group: Annotated[str, Field(pattern=r"^sg-\w+$")] | None = None
    target: Literal["service", "sagemaker"] = "service"
    """What serves endpoints: our own services, or SageMaker's endpoints."""
    sagemaker_instance: Annotated[str, Field(pattern=r"^ml\.")] = "ml.c6i.large"
    sagemaker_instances: Annotated[int, Field(ge=1, le=100)] = 2
    """On what a SageMaker endpoint runs, and how many of them."""
    feature_repo: Path = Path("feature_repo")
    cache_dir: Path = Path("~/.cache/feast-mlops")
    """Where this machine keeps files of datasets; below XDG_CACHE_HOME where that is set."""
    cache_bytes: Annotated[int, Field(ge=0)] = 10 * 2**30
    """How large that may grow."""
    redis_password: str | None = Field(default=None, repr=False)
    """Overrides the secret where there is no Secrets Manager."""

    @model_validator(mode="after")
    def _real_time_in_prod(self) -> Self:
        if self.env == "prod" and self.clock != "system":
            raise ValueError(
                f"MLOPS_CLOCK is '{self.clock}', but prod runs on the system clock only"
            )
        return self

    @model_validator(mode="after")
    def _packages_for_endpoints(self) -> Self:
        if self.target == "sagemaker" and self.registry != "sagemaker":
            raise ValueError(
                "MLOPS_TARGET is 'sagemaker', whose endpoints serve packages of SageMaker's own "
                "registry only: set MLOPS_REGISTRY=sagemaker"
            )
        return self

    @property
    def dataset_cache(self) -> Path:
        return self.cache_dir.expanduser() / "datasets"

    @property
    def names(self) -> Names:
        return Names(project=self.project, env=self.env, account=self.account, region=self.region)

    def require_redis_url(self) -> str:
        """The online store's URL. Raises SettingsError where none is set."""
        if self.redis_url is None:
            raise SettingsError(f"Settings missing: MLOPS_REDIS_URL. {_REMEDY}")
        return self.redis_url

    def build_clock(self) -> Clock:
        return parse_clock(self.clock)

    def environment(self) -> dict[str, str]:
        """These settings as the environment of another process; without what is this machine's."""
        own = {"redis_password", "cache_dir", "cache_bytes", "job_subnets", "job_security_group"}
        # What earlier releases took for granted.
        taken = {"registry": "sagemaker", "records": "dynamodb", "target": "service"}
        own |= {name for name, usual in taken.items() if getattr(self, name) == usual}
        if self.target == "service":
            own |= {"sagemaker_instance", "sagemaker_instances"}
        values = self.model_dump(mode="json", exclude_none=True, exclude=own)
        return {PREFIX + name.upper(): str(value) for name, value in values.items()} | {
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises SettingsError once, listing every setting that is missing or wrong.
    """
    environ = os.environ if environ is None else environ
    values = {
        name: environ[PREFIX + name.upper()]
        for name in Settings.model_fields
        if environ.get(PREFIX + name.upper())
    }
    if environ.get("XDG_CACHE_HOME"):
        values.setdefault("cache_dir", f"{environ['XDG_CACHE_HOME']}/feast-mlops")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if region:
        values.setdefault("region", region)
    try:
        return Settings.model_validate(values)
    except ValidationError as exc:
        raise SettingsError(_complaint(exc)) from exc


def _complaint(error: ValidationError) -> str:
    missing = [_variable(e["loc"]) for e in error.errors() if e["type"] == "missing"]
    wrong = [f"{_variable(e['loc'])}: {e['msg']}" for e in error.errors() if e["type"] != "missing"]
    parts = []
    if missing:
        parts.append(f"Settings missing: {', '.join(missing)}.")
    if wrong:
        parts.append(f"Settings wrong: {'; '.join(wrong)}.")
    parts.append(_REMEDY)
    return " ".join(parts)


def _variable(loc: tuple[int | str, ...]) -> str:
    return PREFIX + str(loc[0]).upper() if loc else "settings"
