"""The SageMaker Model Registry: one model package group per model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops.aws import Aws, translated
from mlops.errors import NotFound
from mlops.names import Names
from mlops.registry.metadata import read_metadata
from mlops.registry.versions import ModelVersion, Status, unknown_version


class SageMakerRegistry:
    """Versions of one environment's models in SageMaker."""

    def __init__(self, aws: Aws, names: Names) -> None:
        self._sagemaker = aws.client("sagemaker")
        self._names = names

    def models(self) -> list[str]:
        start = self._names.model_group("")
        with translated("Listing the models"):
            pages = self._sagemaker.get_paginator("list_model_package_groups").paginate(
                NameContains=start
            )
            groups = [g["ModelPackageGroupName"] for p in pages for g in _summaries(p, "Group")]
        return sorted(name.removeprefix(start) for name in groups if name.startswith(start))

    def versions(self, model: str, *, limit: int | None = None) -> list[ModelVersion]:
        try:
            with translated(f"Listing the versions of model '{model}'"):
                arns = dict(self._arns(model))
        except NotFound:
            return []
        newest = sorted(arns, reverse=True)[:limit]
        return [self._describe(model, number, arns[number]) for number in newest]

    def get(self, model: str, version: int) -> ModelVersion:
        names = self._names
        group = names.model_group(model).lower()
        arn = f"arn:aws:sagemaker:{names.region}:{names.account}:model-package/{group}/{version}"
        return self._describe(model, version, arn)

    def pointer(self, model: str) -> None:
        """It has no name for an approved version."""

    def set_status(self, version: ModelVersion, status: Status, *, note: str) -> None:
        with translated(f"Setting version {version.version} of '{version.model}' to {status}"):
            self._sagemaker.update_model_package(
                ModelPackageArn=version.package_arn,
                ModelApprovalStatus=status.value,
                ApprovalDescription=note,
            )

    def _arns(self, model: str) -> Iterator[tuple[int, str]]:
        pages = self._sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self._names.model_group(model)
        )
        for page in pages:
            for package in _summaries(page, ""):
                yield package["ModelPackageVersion"], package["ModelPackageArn"]

    def _describe(self, model: str, version: int, arn: str) -> ModelVersion:
        try:
            with translated(f"Reading version {version} of model '{model}'"):
                answer = self._sagemaker.describe_model_package(ModelPackageName=arn)
        except NotFound as exc:
            raise unknown_version(model, version) from exc
        return to_version(model, answer)


def to_version(model: str, package: Mapping[str, Any]) -> ModelVersion:
    """Read a DescribeModelPackage answer."""
    return ModelVersion(
        model=model,
        version=package["ModelPackageVersion"],
        package_arn=package["ModelPackageArn"],
        status=Status(package.get("ModelApprovalStatus") or Status.PENDING),
        created=package["CreationTime"],
        complete=package.get("ModelPackageStatus") == "Completed",
        note=package.get("ApprovalDescription") or "",
        **read_metadata(package.get("CustomerMetadataProperties") or {}),
    )


def _summaries(page: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return list(page[f"ModelPackage{kind}SummaryList"])
