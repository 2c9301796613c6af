"""What an execution of the upsync workflow can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mlops.clock import parse_clock


def _checked(clock: str) -> str:
    parse_clock(clock)
    return clock


class UpsyncSettings(BaseModel):
    """Of the command's options, those that a workflow has; it writes nothing of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: tuple[str, ...] = ()
    """None is every view that is online."""
    full: bool = False
    shards: Annotated[int, Field(ge=1, le=100)] = 8
    """Per view; as many jobs load at once as the compute environment has room for."""
    clock: Annotated[str, AfterValidator(_checked)] = "system"
    """'system', or an instant to replay; refused in prod."""
    wait: Annotated[float, Field(ge=0)] = 120.0
    patience: Annotated[float, Field(ge=0)] = 600.0


DEFAULTS = UpsyncSettings()
