"""Where MiniStack differs from AWS in what we lean on; each patch has a contract test."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

from infra.local import cloudformation_patches, object_ranges

_log = logging.getLogger("infra.local.events")


def install(start_state_machine: Callable[[str, str], None]) -> None:
    """Put every patch in; once, before the first request.

    start_state_machine: starts the state machine of an ARN with a JSON input.
    """
    from ministack.core import lambda_runtime
    from ministack.services import eventbridge, lambda_svc, s3, scheduler, sts

    cloudformation_patches.install()
    object_ranges.install()
    # Every version's body would stay in memory, though each is on disk as well.
    s3._version_entry_from_record = _without_body(s3._version_entry_from_record)
    # Lambdas would act as the account; they get a session of their execution role.
    lambda_runtime.execution_credentials = _execution_credentials
    # A function that cannot be imported, times out or exits would leave no word in its log.
    lambda_svc._execute_function_warm = _logging_failures(lambda_svc._execute_function_warm)
    # Its own interpreter would run them; state machines live in moto.
    eventbridge._dispatch_to_stepfunctions = _in_background(start_state_machine)
    # It tries once; AWS invokes asynchronously, with two retries and the function's DLQ.
    eventbridge._dispatch_to_lambda = _dispatch_to_lambda
    # They look every ten seconds; a schedule that a person waits for is to be on time.
    eventbridge._SCHEDULER_TICK_INTERVAL = scheduler._SCHEDULE_TICK_INTERVAL = 1
    # A schedule that fired once, or was looked at, would never come by a moment that it is given.
    scheduler._update_schedule = _arming(scheduler._update_schedule)
    # It lets anyone be a role that does not exist.
    sts._assumed_role_arn = _requiring_role(sts._assumed_role_arn)
    # Sessions would end with the process; running jobs and services hold their credentials.
    sts.get_state = _sessions
    sts.load_persisted_state = _restore_sessions


def _execution_credentials(config: Mapping[str, Any]) -> dict[str, str]:
    """Keys of a session of the function's role, the same for every worker of the function."""
    from ministack.services import sts

    _, _, _, _, account, path = config["Role"].split(":", 5)
    role, name = path.rpartition("/")[2], config["FunctionName"]
    arn = f"arn:aws:sts::{account}:assumed-role/{role}/{name}"
    secret = hashlib.sha256(arn.encode()).hexdigest().upper()
    key = f"ASIA{secret[:16]}"
    session = {"Arn": arn, "UserId": f"{role}:{name}"}
    sts.register_session(key, session | {"SecretAccessKey": secret, "SessionToken": secret})
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": secret,
    }


def _logging_failures(execute: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def executed(function: Any, event: Any, request_id: str) -> dict[str, Any]:
        result = execute(function, event, request_id)
        body = result.get("body")
        if result.get("error") and not result.get("log") and isinstance(body, dict):
            result["log"] = f"[ERROR] {body.get('errorType')}: {body.get('errorMessage')}"
        return result

    return executed


def _without_body(entry_of: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def entry(record: Mapping[str, Any], version: str, _body: bytes | None) -> dict[str, Any]:
        return entry_of(record, version, None)

    return entry


def _dispatch_to_lambda(arn: str, payload: str) -> None:
    from ministack.services import lambda_svc

    function, config, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        _log.warning("A rule's target, function %s, does not exist", name)
        return
    record = lambda_svc._execution_record_for_config(function, config)
    lambda_svc.invoke_async_with_retry(record, json.loads(payload))


def _arming(update: Callable[..., Any]) -> Callable[..., Any]:
    from ministack.services import scheduler

    def updated(name: str, body: Mapping[str, Any]) -> Any:
        answer = update(name, body)
        if str(body.get("ScheduleExpression", "")).startswith("at("):
            place = f"{body.get('GroupName', 'default')}/{name}"
            for key in [key for key in scheduler._schedule_last_fired if key[-1] == place]:
                del scheduler._schedule_last_fired[key]
        return answer

    return updated


def _requiring_role(assumed_role_arn: Callable[..., Any]) -> Callable[..., Any]:
    from ministack.services import iam

    def required(role_arn: str, session_name: str) -> Any:
        arn, error = assumed_role_arn(role_arn, session_name)
        if error is None and role_arn.rpartition("/")[2] not in iam._roles:
            text = f"User is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            return None, iam._error(403, "AccessDenied", text, ns="sts")
        return arn, error

    return required


def _sessions() -> dict[str, Any]:
    from ministack.services import sts

    return {"sessions": dict(sts._sessions)}


def _restore_sessions(data: Mapping[str, Any]) -> None:
    from ministack.services import sts

    sts._sessions.update(data.get("sessions", {}))


def _in_background(start: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """Rules are matched on the event loop, which no start may hold up."""

    def logged(arn: str, payload: str) -> None:
        try:
            start(arn, payload)
        except Exception:  # noqa: BLE001 - nobody waits for this thread
            _log.exception("A rule could not start %s", arn)

    return lambda arn, payload: Thread(target=logged, args=(arn, payload), daemon=True).start()
