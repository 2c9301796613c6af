"""Who an ARN stands for, and whether two of them are the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlops.errors import InputError

MLFLOW = "mlflow"
"""The partition of users whom an MLflow server knows: arn:mlflow:iam::<host>:user/<name>."""


class Kind(StrEnum):
    ROLE = "role"
    USER = "user"
    ROOT = "root"
    FEDERATED = "federated-user"


@dataclass(frozen=True)
class Principal:
    """An AWS identity; a role carries the session that acts in it, where one is known."""

    kind: Kind
    account: str
    name: str
    session: str = ""

    @property
    def label(self) -> str:
        """As people read it: 'role/session', or the user's name."""
        return "/".join(filter(None, (self.name, self.session)))

    def shares_role(self, other: Principal) -> bool:
        """Whether both act in one role, or are one user; sessions do not count."""
        return (self.kind, self.account, self.name) == (other.kind, other.account, other.name)

    def is_same_person(self, other: Principal) -> bool:
        """Whether both are one person, as far as AWS can say.

        A session name is who acts in a role (IAM Identity Center puts the user there), so one
        session name in two roles is one person; a role without a session is everyone in it.
        """
        if self.session and other.session:
            return self.session == other.session
        return self.shares_role(other)


def parse_principal(arn: str) -> Principal:
    """Read the ARN of a user, role, assumed role, federated user or root.

    Raises InputError when it is none of these.
    """
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[2] not in {"iam", "sts"}:
        raise InputError(f"'{arn}' is not the ARN of an AWS identity (IAM or STS).")
    account, resource = parts[4], parts[5]
    if parts[1] == MLFLOW:
        # As a session: a user of MLflow and a person of the same name on AWS count as one.
        return Principal(Kind.USER, account, MLFLOW, resource.removeprefix("user/"))
    if resource == "root":
        return Principal(Kind.ROOT, account, "root")
    kind, _, name = resource.partition("/")
    if kind == "assumed-role":
        role, _, session = name.rpartition("/")
        return Principal(Kind.ROLE, account, role, session)
    if kind not in {Kind.ROLE, Kind.USER, Kind.FEDERATED}:
        raise InputError(f"'{arn}' names a {kind}, which is not an AWS identity that can act.")
    return Principal(Kind(kind), account, name.rpartition("/")[2])
