"""A client for callers of the proxy: scores and features, with deadlines and safe retries.

It imports httpx and the standard library, and nothing of the platform:
`pip install 'feast-mlops[client]'`.
"""

from serving.client.answers import ErrorDetail, Feature, FeatureTable, Prediction, Predictions
from serving.client.calling import AsyncProxyClient, ProxyClient
from serving.client.errors import (
    FeaturesMissing,
    InvalidRequest,
    NotAllowed,
    NotFound,
    ProxyError,
    RateLimited,
    ServerFailed,
    TimedOut,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "AsyncProxyClient",
    "ErrorDetail",
    "Feature",
    "FeatureTable",
    "FeaturesMissing",
    "InvalidRequest",
    "NotAllowed",
    "NotFound",
    "Prediction",
    "Predictions",
    "ProxyClient",
    "ProxyError",
    "RateLimited",
    "ServerFailed",
    "TimedOut",
    "Unauthenticated",
    "Unavailable",
]
