"""CloudFormation through change sets: see first, then do, and say what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.changes import Change, changes_of_new, changes_of_set
from infra.synth import Stack
from mlops.aws import Aws, translated
from mlops.errors import Conflict, JobFailed, MlopsError, NotFound
from mlops.names import Role

CAPABILITIES = ["CAPABILITY_NAMED_IAM"]
INLINE_LIMIT = 51_200
"""A template of more bytes must lie in S3."""
LONGEST_PAUSE = 5.0
"""Seconds."""
UNFINISHED = frozenset({"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"})
"""A stack in these states holds nothing and takes no update."""
_UNCHANGED = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Event:
    """Something that happened to a resource while a stack was deployed."""

    stack: str
    resource: str
    type: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        return self.status.endswith("_FAILED")

    @property
    def cancelled(self) -> bool:
        """Failed only because something else did."""
        return "cancelled" in self.reason.lower()


@dataclass(frozen=True)
class Plan:
    """What would change in a stack; `change_set` is None where there is nothing to execute."""

    stack: Stack
    changes: tuple[Change, ...]
    change_set: str | None = None


Watch = Callable[[Event], None]


class CloudFormation:
    """One account's stacks in one region."""

    def __init__(
        self, aws: Aws, *, role_arn: Callable[[Role], str], publish: Callable[[Stack], str]
    ) -> None:
        """role_arn: of what CloudFormation acts as, but for stacks that are administered.

        publish: puts a large template into S3 and says at which URL.
        """
        self._client = aws.client("cloudformation")
        self._role_arn = role_arn
        self._publish = publish

    def status(self, stack: str) -> str | None:
        """The stack's status; None where there is none."""
        described = self._describe(stack)
        return str(described["StackStatus"]) if described else None

    def outputs(self, stack: str) -> dict[str, str]:
        described = self._describe(stack) or {}
        return {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", ())}

    def preview(self, stack: Stack, parameters: Mapping[str, str]) -> Plan:
        """What a deployment would change, leaving nothing behind."""
        if self._is_new(stack.name):
            return Plan(stack, changes_of_new(stack))
        plan = self.plan(stack, parameters)
        self.discard(plan)
        return plan

    def plan(self, stack: Stack, parameters: Mapping[str, str]) -> Plan:
        """Make the change set. Raises Conflict when someone else is deploying the stack."""
        new = self._is_new(stack.name)
        if new:
            self._clear(stack.name)
        request = {
            "StackName": stack.name,
            "ChangeSetName": f"deploy-{time.time_ns()}",
            "ChangeSetType": "CREATE" if new else "UPDATE",
            "Capabilities": CAPABILITIES,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in sorted(parameters.items())
            ],
            **self._template(stack),
            **({} if stack.administered else {"RoleARN": self._role_arn(stack.role)}),
        }
        return self._read(stack, self._create(request))

    def _template(self, stack: Stack) -> dict[str, str]:
        if len(stack.body.encode()) <= INLINE_LIMIT:
            return {"TemplateBody": stack.body}
        return {"TemplateURL": self._publish(stack)}

    def _create(self, request: Mapping[str, Any]) -> str:
        """A role that was made a moment ago is not known everywhere yet: try for a while."""
        for pause in _pauses():
            try:
                with translated(f"Planning stack {request['StackName']}"):
                    return str(self._client.create_change_set(**request)["Id"])
            except MlopsError as exc:
                if "cannot be assumed" not in str(exc) or pause >= LONGEST_PAUSE:
                    raise
            time.sleep(pause)
        raise AssertionError("the pauses never end")

    def discard(self, plan: Plan) -> None:
        if plan.change_set:
            with translated(f"Discarding the change set of {plan.stack.name}"):
                self._client.delete_change_set(ChangeSetName=plan.change_set)

    def execute(self, plan: Plan, *, watch: Watch) -> None:
        """Do it and wait. Raises JobFailed with the resource and the reason that failed it."""
        name = plan.stack.name
        seen = {event["EventId"] for event in self._events(name)}
        with translated(f"Deploying stack {name}"):
            self._client.execute_change_set(ChangeSetName=plan.change_set)
        happened = list(self._follow(name, seen, watch))
        status = self.status(name)
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            cause = self._explain(_cause(name, happened), StackName=name)
            raise JobFailed(
                f"Stack {name} {_outcome(status)}. {cause}. "
                "Correct it and run 'mlops infra deploy' again."
            )

    def protect(self, stack: Stack) -> None:
        """Have the stack's deletion refused, or not, as its environment wants."""
        described = self._describe(stack.name) or {}
        if bool(described.get("EnableTerminationProtection")) == stack.protected:
            return
        with translated(f"Protecting stack {stack.name}"):
            self._client.update_termination_protection(
                StackName=stack.name, EnableTerminationProtection=stack.protected
            )

    def _is_new(self, stack: str) -> bool:
        status = self.status(stack)
        if status is None or status in UNFINISHED:
            return True
        if status.endswith("_IN_PROGRESS"):
            raise Conflict(f"Stack {stack} is being deployed ({status}). Wait until it is done.")
        if status.endswith("_FAILED"):
            raise Conflict(
                f"Stack {stack} is stuck in {status}. Repair it in CloudFormation first "
                "(continue the rollback, or delete the stack), then deploy again."
            )
        return False

    def _clear(self, stack: str) -> None:
        """Remove what a first deployment that failed has left; it holds no resources."""
        if self.status(stack) != "ROLLBACK_COMPLETE":
            return
        with translated(f"Removing the rolled back stack {stack}"):
            self._client.delete_stack(StackName=stack)
        self._wait(stack)

    def _describe(self, stack: str) -> dict[str, Any] | None:
        try:
            with translated(f"Describing stack {stack}"):
                answer = self._client.describe_stacks(StackName=stack)
        except NotFound:
            return None
        return dict(answer["Stacks"][0])

    def _read(self, stack: Stack, change_set: str) -> Plan:
        """The finished change set; one without changes is removed again."""
        pages = self._pages(stack.name, change_set)
        if pages[0]["Status"] == "FAILED":
            reason = pages[0].get("StatusReason", "")
            unchanged = any(text in reason for text in _UNCHANGED)
            told = "" if unchanged else self._explain(reason, ChangeSetName=change_set)
            self.discard(Plan(stack, (), change_set))
            if unchanged:
                return Plan(stack, ())
            raise JobFailed(f"CloudFormation refuses the change of stack {stack.name}: {told}")
        entries = [entry for page in pages for entry in page.get("Changes", ())]
        return Plan(stack, changes_of_set(stack.name, entries), change_set)

    def _pages(self, stack: str, change_set: str) -> list[dict[str, Any]]:
        """The change set's description, once CloudFormation has worked it out."""
        paginator = self._client.get_paginator("describe_change_set")
        for pause in _pauses():
            with translated(f"Reading the change set of {stack}"):
                pages = list(paginator.paginate(ChangeSetName=change_set))
            if not pages[0]["Status"].endswith(("_PENDING", "_IN_PROGRESS")):
                break
            time.sleep(pause)
        return pages

    def _follow(self, stack: str, seen: set[str], watch: Watch) -> Iterator[Event]:
        for pause in _pauses():
            busy = (self.status(stack) or "").endswith("_IN_PROGRESS")
            for entry in reversed(self._events(stack)):
                if entry["EventId"] not in seen:
                    seen.add(entry["EventId"])
                    event = _event(stack, entry)
                    watch(event)
                    yield event
            if not busy:
                return
            time.sleep(pause)

    def _events(self, stack: str) -> list[dict[str, Any]]:
        """Newest first."""
        with translated(f"Reading the events of stack {stack}"):
            pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack)
            return [event for page in pages for event in page["StackEvents"]]

    def _explain(self, reason: str, **of: str) -> str:
        """The reason, or what CloudFormation's checks before a deployment found, if it says so."""
        if "DescribeEvents" not in reason:
            return reason
        with translated("Reading what CloudFormation's checks found"):
            pages = self._client.get_paginator("describe_events").paginate(
                **of, Filters={"FailedEvents": True}
            )
            events = [event for page in pages for event in page["OperationEvents"]]
        found = [e for e in events if e.get("ValidationStatusReason")]
        told = [
            f"{e['LogicalResourceId']} ({e['ResourceType']}): {e['ValidationStatusReason']}"
            for e in found
        ]
        return "; ".join(dict.fromkeys(told)) or reason

    def _wait(self, stack: str) -> None:
        for pause in _pauses():
            if not (self.status(stack) or "").endswith("_IN_PROGRESS"):
                return
            time.sleep(pause)


def _pauses() -> Iterator[float]:
    """Seconds between questions: short ones first, and never more than five."""
    seconds = 0.05
    while True:
        yield seconds
        seconds = min(seconds * 1.5, LONGEST_PAUSE)


def _event(stack: str, entry: Mapping[str, Any]) -> Event:
    return Event(
        stack=stack,
        resource=entry["LogicalResourceId"],
        type=entry["ResourceType"],
        status=entry["ResourceStatus"],
        reason=entry.get("ResourceStatusReason", ""),
    )


def _cause(stack: str, events: list[Event]) -> str:
    """Why it failed, without what only fell with it."""
    causes = [e for e in events if e.failed and not e.cancelled and e.resource != stack]
    reasons = "; ".join(f"{e.resource} ({e.type}): {e.reason}" for e in causes)
    return reasons or next((e.reason for e in events if e.failed and e.reason), "No reason given")


def _outcome(status: str | None) -> str:
    return "was rolled back" if "ROLLBACK_COMPLETE" in (status or "") else f"is now {status}"
