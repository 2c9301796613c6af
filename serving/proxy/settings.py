"""The settings of the proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from serving.settings import TlsSection, TracedSection

PREFIX = "MLOPS_PROXY_"

_JWKS_URL = r"^$|^https://.+|^http://(127\.0\.0\.1|localhost)[:/].+"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by a private key. A shared secret (HS…) would let the proxy make tokens itself."""
_ALGORITHM = "|".join(ALGORITHMS)
_ALGORITHMS = rf"^({_ALGORITHM})(,({_ALGORITHM}))*$"

Seconds = Annotated[float, Field(gt=0, le=3600)]


class ProxySettings(TracedSection, TlsSection):
    """Read from `MLOPS_PROXY_<FIELD>`; each has a default."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Feature reads over gRPC, too; 0 is without."""
    inference_url: Annotated[str, Field(pattern=r"^https?://[^/,]+(,https?://[^/,]+)*$")] = (
        "http://127.0.0.1:8081"
    )
    """Where the inference endpoint is, without a path; with commas between, where its replicas
    are."""
    inference_ca_file: Path | None = None
    """Whose certificate an https endpoint must have, in place of the system's authorities."""
    api_keys_file: Path | None = None
    """A JSON file of hashed keys, in place of the secret."""
    poll_seconds: Seconds = 0.5
    """How often deployments and feature plans are looked at."""
    observe_seconds: Seconds = 10.0
    """How often figures of versions on trial are written down."""
    keys_poll_seconds: Seconds = 30.0
    """How often the API keys are read again: how long a revoked key still works."""
    rate_per_second: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """How often a caller without a rate of its own may ask this process; 0 is as it likes."""
    rate_burst: Annotated[int, Field(ge=0, le=10**6)] = 0
    """How many requests it may send at once after a pause; 0 is those of a second."""
    oidc_issuer: str = ""
    """Whose tokens are accepted: the 'iss' that they must have. Empty accepts none."""
    oidc_audience: str = ""
    """Whom they must be for."""
    oidc_jwks_url: Annotated[str, Field(pattern=_JWKS_URL)] = ""
    """Where the provider publishes its keys."""
    oidc_algorithms: Annotated[str, Field(pattern=_ALGORITHMS)] = "RS256,ES256"
    oidc_leeway_seconds: Annotated[int, Field(ge=0, le=300)] = 30
    """By how much the provider's clock may differ."""
    oidc_subject_claim: str = "sub"
    oidc_audience_claim: str = "aud"
    """Cognito's access tokens name the client in 'client_id' and have no 'aud'."""
    oidc_poll_seconds: Seconds = 300.0
    """How often the provider's keys are read again: how long a withdrawn one still works."""
    retry_seconds: Seconds = 10.0
    """How long after a refusal the same version is tried again."""
    redis_timeout_seconds: Seconds = 0.5
    inference_timeout_seconds: Seconds = 2.0
    timeout_ms: Annotated[float, Field(gt=0, le=60_000)] = 2_000.0
    """By when a prediction is answered where neither the caller nor the model says."""
    max_under_way: Annotated[int, Field(ge=1)] = 256
    """Predictions under way; one more is answered with 503 at once."""
    max_shadows: Annotated[int, Field(ge=0)] = 8
    """Requests that a shadow scores at a time; what comes meanwhile it does not see."""
    max_connections: Annotated[int, Field(ge=1)] = 4096
    request_seconds: Seconds = 10.0
    """From a request's first byte to its last."""
    inference_connections: Annotated[int, Field(ge=1, le=1000)] = 64
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    max_instances: Annotated[int, Field(ge=1, le=10_000)] = 500
    max_rows: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """How many entity rows one feature read may have."""
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

    @model_validator(mode="after")
    def _whole_provider(self) -> Self:
        given = (self.oidc_issuer, self.oidc_audience, self.oidc_jwks_url)
        if any(given) and not all(given):
            raise ValueError(
                "OIDC_ISSUER, OIDC_AUDIENCE and OIDC_JWKS_URL belong together; set all or none"
            )
        return self
