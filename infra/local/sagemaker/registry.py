"""The model registry: package groups and their versions, kept on disk.

moto's registry forgets metadata on approval, numbers versions by counting, knows no deletion and
no caller, and keeps nothing; so the whole of it is here.
"""

from __future__ import annotations

import copy
import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from infra.local.jobs.shelf import Shelf
from infra.local.sagemaker.kinds import Operations
from infra.local.sagemaker.listing import page, select
from infra.local.service import AwsError, Caller

Document = dict[str, Any]

STATE_CHANGE = "SageMaker Model Package State Change"
_SET = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
    "SourceUri",
)
_SUMMARY = (
    "ModelApprovalStatus",
    "ModelLifeCycle",
    "ModelPackageArn",
    "ModelPackageDescription",
    "ModelPackageGroupName",
    "ModelPackageName",
    "ModelPackageRegistrationType",
    "ModelPackageStatus",
    "ModelPackageVersion",
    "CreationTime",
)
_GROUP_SUMMARY = (
    "ModelPackageGroupName",
    "ModelPackageGroupArn",
    "ModelPackageGroupDescription",
    "CreationTime",
    "ModelPackageGroupStatus",
)


class EventSink(Protocol):
    """Puts an event of AWS's own on the default bus."""

    def __call__(
        self, source: str, detail_type: str, detail: Document, *, resources: Sequence[str]
    ) -> None: ...


class Registry:
    """Model package groups and model packages of one account and region."""

    def __init__(self, folder: Path, arn: str, emit: EventSink) -> None:
        self._arn = arn
        self._emit = emit
        self._lock = threading.RLock()
        self._group_shelf = Shelf(folder / "groups")
        self._package_shelf = Shelf(folder / "packages")
        self._groups: dict[str, Document] = self._group_shelf.load()
        self._packages: dict[str, Document] = {
            package["document"]["ModelPackageArn"]: package
            for package in self._package_shelf.load().values()
        }

    def operations(self) -> Operations:
        return {
            "CreateModelPackage": self.create_package,
            "CreateModelPackageGroup": self.create_group,
            "DeleteModelPackage": self.delete_package,
            "DeleteModelPackageGroup": self.delete_group,
            "DescribeModelPackage": self.describe_package,
            "DescribeModelPackageGroup": self.describe_group,
            "ListModelPackageGroups": self.list_groups,
            "ListModelPackages": self.list_packages,
            "UpdateModelPackage": self.update_package,
        }

    def create_group(self, request: Document, caller: Caller) -> Document:
        name = request["ModelPackageGroupName"]
        arn = f"{self._arn}:model-package-group/{name}"
        with self._lock:
            if name in self._groups:
                raise _invalid(f"Model Package Group already exists: {arn}")
            document = {
                "ModelPackageGroupName": name,
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupDescription": request.get("ModelPackageGroupDescription", ""),
                "CreationTime": time.time(),
                "CreatedBy": _user(caller),
                "ModelPackageGroupStatus": "Completed",
            }
            group = {"document": document, "tags": request.get("Tags", []), "last_version": 0}
            self._keep_group(group)
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, request: Document, caller: Caller) -> Document:
        return copy.deepcopy(self._group(request["ModelPackageGroupName"])["document"])

    def list_groups(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            documents = [group["document"] for group in self._groups.values()]
        found = select(documents, request, name="ModelPackageGroupName", equals={})
        shown, rest = page(found, request)
        return {"ModelPackageGroupSummaryList": [_pick(d, _GROUP_SUMMARY) for d in shown], **rest}

    def delete_group(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            document = self._group(request["ModelPackageGroupName"])["document"]
            name = document["ModelPackageGroupName"]
            if any(self._versions(name)):
                raise AwsError(
                    "ConflictException",
                    f"Model Package Group {document['ModelPackageGroupArn']} cannot be deleted "
                    "because it still contains Model Packages.",
                )
            del self._groups[name]
            self._group_shelf.delete(name)
        return {}

    def create_package(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            known = self._by_token(request.get("ClientToken"))
            if known:
                return {"ModelPackageArn": known}
            identity = self._new_identity(request)
            document = _package_document(request, identity, caller)
            package = {
                "document": document,
                "tags": request.get("Tags", []),
                "token": request.get("ClientToken"),
            }
            self._keep_package(package)
        self._announce(document, None)
        return {"ModelPackageArn": document["ModelPackageArn"]}

    def describe_package(self, request: Document, caller: Caller) -> Document:
        return self.package(request["ModelPackageName"])

    def package(self, arn: str) -> Document:
        """Raises AwsError."""
        with self._lock:
            return copy.deepcopy(self._package(arn)["document"])

    def list_packages(self, request: Document, caller: Caller) -> Document:
        group = request.get("ModelPackageGroupName")
        wanted = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
        with self._lock:
            name = self._group(group)["document"]["ModelPackageGroupName"] if group else None
            documents = [
                package["document"]
                for package in self._packages.values()
                if _is_type(package["document"], wanted)
                and name in (None, package["document"].get("ModelPackageGroupName"))
            ]
        field = "ModelPackageName" if wanted == "Unversioned" else "ModelPackageGroupName"
        equals = {"ModelApprovalStatus": "ModelApprovalStatus"}
        shown, rest = page(select(documents, request, name=field, equals=equals), request)
        return {"ModelPackageSummaryList": [_pick(d, _SUMMARY) for d in shown], **rest}

    def update_package(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            package = self._package(request["ModelPackageArn"])
            document = package["document"]
            updated = _update(document, request)
            document["LastModifiedTime"] = time.time()
            document["LastModifiedBy"] = _user(caller)
            self._keep_package(package)
        self._announce(document, updated)
        return {"ModelPackageArn": document["ModelPackageArn"]}

    def delete_package(self, request: Document, caller: Caller) -> Document:
        with self._lock:
            arn = self._package(request["ModelPackageName"])["document"]["ModelPackageArn"]
            del self._packages[arn]
            self._package_shelf.delete(_file(arn))
        return {}

    def tags(self, arn: str) -> list[Any] | None:
        """The tags of a group or package; None when there is none such."""
        entry = self._entry(arn)
        return None if entry is None else _tags(entry)

    def retag(self, arn: str, tags: list[Any]) -> None:
        with self._lock:
            entry = self._entry(arn)
            if entry is None:
                return
            entry["tags"] = tags
            keep = self._keep_package if "token" in entry else self._keep_group
            keep(entry)

    def _entry(self, arn: str) -> Document | None:
        groups = (g for g in self._groups.values() if g["document"]["ModelPackageGroupArn"] == arn)
        return self._packages.get(arn) or next(groups, None)

    def _new_identity(self, request: Document) -> Document:
        """Name, or group and number, and ARN of a package that is to be made."""
        name, group = request.get("ModelPackageName"), request.get("ModelPackageGroupName")
        if bool(name) == bool(group):
            raise _invalid("Give either a ModelPackageName or a ModelPackageGroupName.")
        if not group:
            arn = f"{self._arn}:model-package/{str(name).lower()}"
            if arn in self._packages:
                raise _invalid(f"ModelPackage already exists: {arn}")
            return {"ModelPackageName": name, "ModelPackageArn": arn}
        entry = self._group(group)
        entry["last_version"] += 1
        self._keep_group(entry)
        name, version = entry["document"]["ModelPackageGroupName"], entry["last_version"]
        return {
            "ModelPackageGroupName": name,
            "ModelPackageVersion": version,
            "ModelPackageArn": f"{self._arn}:model-package/{name}/{version}",
        }

    def _group(self, name: str) -> Document:
        group = self._groups.get(name.rpartition("/")[2])
        if group is None:
            arn = f"{self._arn}:model-package-group/{name.rpartition('/')[2]}"
            raise _invalid(f"ModelPackageGroup {arn} does not exist.")
        return group

    def _package(self, name: str) -> Document:
        arn = name if name.startswith("arn:") else f"{self._arn}:model-package/{name.lower()}"
        if arn not in self._packages:
            raise _invalid(f"ModelPackage {arn} does not exist.")
        return self._packages[arn]

    def _versions(self, group: str) -> list[Document]:
        documents = (package["document"] for package in self._packages.values())
        return [d for d in documents if d.get("ModelPackageGroupName") == group]

    def _by_token(self, token: str | None) -> str | None:
        if token is None:
            return None
        found = (arn for arn, package in self._packages.items() if package["token"] == token)
        return next(found, None)

    def _keep_group(self, group: Document) -> None:
        name = group["document"]["ModelPackageGroupName"]
        self._groups[name] = group
        self._group_shelf.save(name, group)

    def _keep_package(self, package: Document) -> None:
        arn = package["document"]["ModelPackageArn"]
        self._packages[arn] = package
        self._package_shelf.save(_file(arn), package)

    def _announce(self, document: Document, updated: list[str] | None) -> None:
        detail = _event_detail(document)
        if updated is not None:
            detail["UpdatedModelPackageFields"] = updated
        arn = document["ModelPackageArn"]
        self._emit("aws.sagemaker", STATE_CHANGE, detail, resources=(arn,))


def _package_document(request: Document, identity: Document, caller: Caller) -> Document:
    kept = {k: v for k, v in request.items() if k not in {"Tags", "ClientToken"}}
    versioned = "ModelPackageVersion" in identity
    return {
        "CertifyForMarketplace": False,
        **({"ModelApprovalStatus": "PendingManualApproval"} if versioned else {}),
        **kept,
        **identity,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CreationTime": time.time(),
        "CreatedBy": _user(caller),
    }


def _update(document: Document, request: Document) -> list[str]:
    """Change the document as asked; the names of the fields that were."""
    updated = [field for field in _SET if field in request]
    document.update({field: request[field] for field in updated})
    added = request.get("CustomerMetadataProperties", {})
    removed = request.get("CustomerMetadataPropertiesToRemove", [])
    if added or removed:
        merged = {**document.get("CustomerMetadataProperties", {}), **added}
        document["CustomerMetadataProperties"] = {
            key: value for key, value in merged.items() if key not in removed
        }
        updated.append("CustomerMetadataProperties")
    more = request.get("AdditionalInferenceSpecificationsToAdd", [])
    if more:
        document.setdefault("AdditionalInferenceSpecifications", []).extend(more)
        updated.append("AdditionalInferenceSpecifications")
    return updated


def _event_detail(document: Document) -> Document:
    detail = copy.deepcopy(document)
    for field in ("CreationTime", "LastModifiedTime"):
        if field in detail:
            moment = datetime.fromtimestamp(detail[field], UTC)
            detail[field] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return detail


def _tags(entry: Document) -> list[Any]:
    tags: list[Any] = entry["tags"]
    return tags


def _is_type(document: Document, wanted: str) -> bool:
    return wanted == "Both" or ("ModelPackageVersion" in document) == (wanted == "Versioned")


def _pick(document: Mapping[str, Any], fields: tuple[str, ...]) -> Document:
    return {field: document[field] for field in fields if field in document}


def _user(caller: Caller) -> Document:
    session = caller.arn.rpartition("/")[2]
    return {"IamIdentity": {"Arn": caller.arn, "PrincipalId": session}}


def _file(arn: str) -> str:
    """A file name for an ARN: readable, and never the same for two."""
    tail = arn.rpartition("model-package/")[2]
    return f"{tail.replace('/', '_')}-{hashlib.sha256(arn.encode()).hexdigest()[:8]}"


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
