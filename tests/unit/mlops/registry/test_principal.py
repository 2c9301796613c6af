"""An ARN tells who acts, as far as AWS knows."""

from __future__ import annotations

import pytest

from mlops.errors import InputError
from mlops.registry.principal import Kind, Principal, parse_principal

STS, IAM = "arn:aws:sts::123456789012", "arn:aws:iam::123456789012"


@pytest.mark.parametrize(
    ("arn", "kind", "name", "session"),
    [
        (f"{STS}:assumed-role/approver/ann", Kind.ROLE, "approver", "ann"),
        (f"{IAM}:role/approver", Kind.ROLE, "approver", ""),
        (f"{IAM}:role/service-role/trainer", Kind.ROLE, "trainer", ""),
        (f"{IAM}:user/people/ann", Kind.USER, "ann", ""),
        (f"{STS}:federated-user/ann", Kind.FEDERATED, "ann", ""),
        (f"{IAM}:root", Kind.ROOT, "root", ""),
        ("arn:mlflow:iam::123456789012:user/ann", Kind.USER, "mlflow", "ann"),
    ],
)
def test_every_kind_of_identity_is_read(arn: str, kind: Kind, name: str, session: str) -> None:
    assert parse_principal(arn) == Principal(kind, "123456789012", name, session)


@pytest.mark.parametrize(
    "arn", ["", "ann", "arn:aws:s3:::bucket", f"{IAM}:group/approvers", f"{IAM}:policy/x"]
)
def test_what_is_no_identity_is_refused_by_name(arn: str) -> None:
    with pytest.raises(InputError, match="not"):
        parse_principal(arn)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"{STS}:assumed-role/approver/ann", f"{STS}:assumed-role/approver/ann", True),
        (f"{STS}:assumed-role/approver/ann", f"{STS}:assumed-role/approver/ben", False),
        (f"{STS}:assumed-role/approver/ann", f"{STS}:assumed-role/scientist/ann", True),
        (f"{STS}:assumed-role/approver/ann", f"{IAM}:role/approver", True),
        (f"{STS}:assumed-role/approver/ann", f"{IAM}:role/trainer", False),
        (f"{IAM}:user/ann", f"{IAM}:user/ann", True),
        (f"{IAM}:user/ann", f"{IAM}:user/ben", False),
        (f"{IAM}:user/ann", "arn:aws:iam::999999999999:user/ann", False),
        (f"{IAM}:user/ann", f"{STS}:assumed-role/scientist/ann", False),
        ("arn:mlflow:iam::ml.internal:user/ann", f"{STS}:assumed-role/scientist/ann", True),
        ("arn:mlflow:iam::ml.internal:user/ann", "arn:mlflow:iam::ml.internal:user/ben", False),
    ],
)
def test_one_person_is_known_by_session_else_by_role_or_user(
    one: str, other: str, same: bool
) -> None:
    assert parse_principal(one).is_same_person(parse_principal(other)) is same
    assert parse_principal(other).is_same_person(parse_principal(one)) is same


def test_sessions_do_not_count_where_only_the_role_matters() -> None:
    ann, ben = (parse_principal(f"{STS}:assumed-role/trainer/{name}") for name in ("ann", "ben"))
    assert ann.shares_role(ben)
