"""The settings of the inference endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from serving.settings import TlsSection, TracedSection

PREFIX = "MLOPS_INFERENCE_"

Seconds = Annotated[float, Field(gt=0, le=3600)]


class InferenceSettings(TracedSection, TlsSection):
    """Read from `MLOPS_INFERENCE_<FIELD>`; each has a default."""

    model_dir: Path | None = None
    """Serve the one version that lies here, as SageMaker unpacks it, and follow no documents."""
    model_version: Annotated[int, Field(ge=1)] = 1
    """The number of that version."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8081
    poll_seconds: Seconds = 0.5
    """How often the deployment documents are looked at."""
    retire_seconds: Seconds = 10.0
    """How long a version that no document names is kept after its last request."""
    retry_seconds: Seconds = 10.0
    """How long after a failed load the same version is tried again."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """ONNX Runtime's threads within one run; small models are slower with more."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads for runs that are too long for the event loop."""
    batch_seconds: Seconds = 0.005
    """How long a run of joined requests may be expected to take."""
    max_waiting: Annotated[int, Field(ge=1)] = 1_000
    """Requests that wait for a model; one more is answered with 503 at once."""
    memory_mb: Annotated[int, Field(ge=0)] = 0
    """What all loaded models together may hold, roughly; 0 is no limit."""
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The protocol over gRPC, too; 0 is without."""
    max_connections: Annotated[int, Field(ge=1)] = 4096
    request_seconds: Seconds = 10.0
    """From a request's first byte to its last."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    drain_seconds: Seconds = 15.0
    """How long requests under way may take after SIGTERM."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
