"""Approval rules from git: read for an environment, put in force, and said in an order."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import InputError, Refused
from mlops.objects import MemoryDocuments
from mlops.registry.policy import Applied, Rules, load_rules, read_rules, rules_key, save_rules
from tests.approvals import APPROVER, NAMES, NOW, SUBMITTER

TEXT = """
approvals = 1
[at_least]
auc_roc = 0.8
[environments.prod]
approvals = 2
"""


def test_an_environment_says_what_is_different_in_it() -> None:
    assert read_rules(TEXT, env="dev", where="here").approvals == 1
    prod = read_rules(TEXT, env="prod", where="here")
    assert (prod.approvals, prod.at_least) == (2, {"auc_roc": 0.8})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("approvals = 0", "approvals: Input should be greater than or equal to 1"),
        ("reviewers = 2", "reviewers: Extra inputs are not permitted"),
        ("approvers = []", "approvers: "),
        ("ticket = '['", "ticket is no regular expression"),
        ("[not_worse]\ntest_rows = 1", "nobody knows whether more or less test_rows is better"),
        ("[environments.prod]\napprovals = 9", "approvals: "),
        ("environments = 3", "here: "),
        ("approvals 2", "here is no TOML"),
        ("[at_least]\nauc_roc = nan", "at_least.auc_roc: "),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_every_environment(text: str, told: str) -> None:
    with pytest.raises(InputError, match="here") as refusal:
        read_rules(text, env="dev", where="here")
    assert told in str(refusal.value)


def test_the_platforms_own_rules_let_the_approver_role_decide() -> None:
    assert Rules().admits(APPROVER, NAMES)
    assert not Rules().admits(SUBMITTER, NAMES)
    assert not Rules().admits(APPROVER.replace(NAMES.account, "111122223333"), NAMES)


def test_rules_are_in_force_once_they_were_applied() -> None:
    documents = MemoryDocuments()
    assert load_rules(documents, "fraud") == Applied(model="fraud")
    applied = Applied(model="fraud", rules=Rules(approvals=2), applied_at=NOW, applied_by=APPROVER)
    save_rules(documents, applied)
    assert load_rules(documents, "fraud") == applied


def test_rules_that_cannot_be_read_hold_up_everything() -> None:
    documents = MemoryDocuments({rules_key("fraud"): b'{"model": "fraud", "rules": {"x": 1}}'})
    with pytest.raises(Refused, match="mlops models rules fraud --apply"):
        load_rules(documents, "fraud")


@pytest.mark.parametrize("path", sorted(Path("pipelines").glob("*/approval.toml")), ids=str)
@pytest.mark.parametrize("env", ["local", "dev", "stage", "prod"])
def test_every_models_rules_can_be_read(path: Path, env: str) -> None:
    assert read_rules(path.read_text(), env=env, where=str(path)).approvals >= 1
