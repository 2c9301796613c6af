"""The settings of the proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from serving.settings import TracedSection

PREFIX = "MLOPS_PROXY_"

Seconds = Annotated[float, Field(gt=0, le=3600)]


class ProxySettings(TracedSection):
    """Read from `MLOPS_PROXY_<FIELD>`; each has a default."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    inference_url: Annotated[str, Field(pattern=r"^https?://[^/]+$")] = "http://127.0.0.1:8081"
    """Where the inference endpoint is; without a path."""
    api_keys_file: Path | None = None
    """A JSON file of hashed keys, in place of the secret."""
    poll_seconds: Seconds = 0.5
    """How often deployments and feature plans are looked at."""
    keys_poll_seconds: Seconds = 30.0
    """How often the API keys are read again: how long a revoked key still works."""
    retry_seconds: Seconds = 10.0
    """How long after a refusal the same version is tried again."""
    redis_timeout_seconds: Seconds = 0.5
    inference_timeout_seconds: Seconds = 2.0
    inference_connections: Annotated[int, Field(ge=1, le=1000)] = 64
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    max_instances: Annotated[int, Field(ge=1, le=10_000)] = 500
    max_depth: Annotated[int, Field(ge=3, le=100)] = 8
    """How deep the JSON of a body may nest."""
    downsync_buffer_bytes: Annotated[int, Field(ge=0)] = 32 * 1024 * 1024
    """What may wait for the stream; more is dropped, and counted."""
    downsync_flush_seconds: Seconds = 0.5
    downsync_drain_seconds: Seconds = 5.0
    """How long what waits may be sent after the last request."""
    drain_seconds: Seconds = 15.0
    """How long requests under way may take after SIGTERM."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
