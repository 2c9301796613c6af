"""What an execution of the workflow `drift` can be told."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DriftSettings(BaseModel):
    """The command's options, but for many models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = ()
    """None is every model with an endpoint."""
    days: Annotated[int, Field(ge=1, le=90)] = 7
    above: Annotated[float, Field(ge=0, le=1)] = 0.2


DEFAULTS = DriftSettings()
