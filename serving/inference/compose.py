"""The inference process, put together from its settings."""

from __future__ import annotations

from mlops.aws import Aws
from mlops.objects import Documents, S3Documents
from mlops.settings import Settings
from serving.buckets import OpenBucket, open_s3_bucket
from serving.inference.app import InferenceDependencies
from serving.inference.hosted import hosted_documents
from serving.inference.metrics import InferenceMetrics
from serving.inference.repository import ModelRepository, bucket_loader
from serving.inference.settings import InferenceSettings
from serving.spans import open_tracing
from serving.watching import watch_deployments


def compose(settings: Settings, section: InferenceSettings) -> InferenceDependencies:
    """Connects to nothing yet: a store that is down shows in readiness, not at the start."""
    deployments, buckets = _sources(settings, section)
    metrics = InferenceMetrics()
    repository = ModelRepository(
        watch_deployments(deployments),
        bucket_loader(buckets, threads=section.threads),
        metrics=metrics,
        retire_seconds=section.retire_seconds,
        retry_seconds=section.retry_seconds,
        budget_bytes=section.memory_mb * 1_000_000 if section.memory_mb else None,
    )
    tracing = open_tracing(
        section.traces_endpoint,
        service="mlops-inference",
        environment=settings.env,
        ratio=section.traces_ratio,
    )
    return InferenceDependencies(repository, metrics, section, tracing)


def _sources(settings: Settings, section: InferenceSettings) -> tuple[Documents, OpenBucket]:
    """Where deployment documents are, and the files of models."""
    if section.model_dir is not None:
        hosted = hosted_documents(section.model_dir, section.model_version)
        return hosted, lambda _: hosted
    aws = Aws(region=settings.region)
    return S3Documents(aws, settings.names.artifact_bucket), open_s3_bucket(aws)
