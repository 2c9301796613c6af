"""The lock on applying definitions, over conditional writes to S3 as the local AWS has them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mlops.aws import Aws
from mlops.errors import Conflict
from mlops.objects import S3Documents
from pipelines.features.lease import Lease, apply_leases

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws


@pytest.fixture
def documents(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> S3Documents:
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    where = {"LocationConstraint": local_aws.names.region}
    bucket = "apply-lock"
    local_aws.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    opened = S3Documents(Aws(), bucket)
    opened.etags("")  # the client, before threads share it
    return opened


def test_of_many_who_apply_at_once_one_does_and_the_others_hear_of_it(
    documents: S3Documents,
) -> None:
    """Also where the lock was held before, and is replaced and not made."""

    def take(who: str) -> Lease | str:
        try:
            return apply_leases(documents).take("mlops-dev", who)
        except Conflict as exc:
            return str(exc)

    with ThreadPoolExecutor(8) as pool:
        for turn in range(3):
            found = list(pool.map(take, [f"{turn}-{n}" for n in range(8)]))
            (held,) = [one for one in found if isinstance(one, Lease)]
            told = [one for one in found if isinstance(one, str)]
            assert all("Project 'mlops-dev' is being applied to by" in one for one in told)
            held.release()
