"""Batch jobs as tasks of a state machine, and as resources of a stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.test_batch import FARGATE, Site, definition, ordered
from tests.local_aws import eventually, make_role, make_state_machine, run_state_machine, unique

if TYPE_CHECKING:
    from tests.conftest import Clients

SYNC = "arn:aws:states:::batch:submitJob.sync"


@pytest.fixture(scope="module")
def site(aws: Clients) -> Site:
    return Site(aws)


def task(site: Site, code: str, **others: Any) -> dict[str, Any]:
    parameters = {
        "JobName": unique("job"),
        "JobQueue": site.queue,
        "JobDefinition": site.define(code),
        **others.pop("Parameters", {}),
    }
    end = {} if "Next" in others else {"End": True}
    return {"Type": "Task", "Resource": SYNC, "Parameters": parameters, **end, **others}


def run(aws: Clients, states: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return run_state_machine(aws, make_state_machine(aws, states), **settings)


def test_a_task_waits_for_its_job_and_answers_it(site: Site, aws: Clients) -> None:
    code = "import os; print(os.environ['RUN'], os.environ['MANAGED_BY_AWS'])"
    pair = {"Name": "RUN", "Value.$": "$.run"}
    work = task(site, code, Parameters={"ContainerOverrides": {"Environment": [pair]}})
    done = run(aws, {"Work": work}, input=json.dumps({"run": "r7"}))
    assert done["status"] == "SUCCEEDED", done
    job = json.loads(done["output"])
    assert (job["Status"], job["Container"]["ExitCode"]) == ("SUCCEEDED", 0)
    assert site.log(site.job(job["JobId"])) == ["r7 STARTED_BY_STEP_FUNCTIONS"]


def test_a_task_submits_an_array_of_a_size_from_the_state(site: Site, aws: Clients) -> None:
    array = {"ArrayProperties": {"Size.$": "$.shards"}, "Parameters": {"view": "one"}}
    done = run(aws, {"Work": task(site, "pass", Parameters=array)}, input='{"shards": 3}')
    job = json.loads(done["output"])
    assert job["ArrayProperties"]["Size"] == 3
    assert job["Parameters"] == {"view": "one"}


def test_a_failed_array_is_a_failed_task_with_the_job_as_its_cause(
    site: Site, aws: Clients
) -> None:
    work = task(
        site,
        "raise SystemExit(3)",
        Parameters={"ArrayProperties": {"Size": 2}},
        Catch=[{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Caught"}],
    )
    done = run(aws, {"Work": work, "Caught": {"Type": "Succeed"}})
    assert done["status"] == "SUCCEEDED", done
    cause = json.loads(json.loads(done["output"])["error"]["Cause"])
    assert (cause["Status"], cause["ArrayProperties"]["StatusSummary"]["FAILED"]) == ("FAILED", 2)


def test_a_refused_submission_is_tried_again_and_then_told(site: Site, aws: Clients) -> None:
    retry = {"ErrorEquals": ["Batch.ClientException"], "IntervalSeconds": 1, "MaxAttempts": 1}
    work = task(site, "pass", Parameters={"JobQueue": "nowhere"}, Retry=[retry])
    done = run(aws, {"Work": work})
    assert (done["status"], done["error"]) == ("FAILED", "Batch.ClientException")
    assert "JobQueue nowhere not found. (Service: AWSBatch;" in done["cause"]
    history = aws("stepfunctions").get_execution_history(executionArn=done["executionArn"])
    assert sum(event["type"] == "TaskFailed" for event in history["events"]) == 2


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"ArrayProperties": {"Size": "3"}}, "'Size' must be an INTEGER"),
        ({"jobName": "camel"}, "'jobName' is not supported by Step Functions"),
    ],
)
def test_a_wrong_parameter_fails_the_execution_by_name(
    site: Site, aws: Clients, parameters: dict[str, Any], said: str
) -> None:
    done = run(aws, {"Work": task(site, "pass", Parameters=parameters)})
    assert (done["status"], done["error"]) == ("FAILED", "States.Runtime")
    assert said in done["cause"]


def test_stopping_the_execution_terminates_its_job(site: Site, aws: Clients) -> None:
    work = task(site, "import time; time.sleep(300)")
    machine = make_state_machine(aws, {"Work": work})
    client = aws("stepfunctions")
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]
    name = [{"name": "JOB_NAME", "values": [work["Parameters"]["JobName"]]}]

    def started() -> dict[str, Any] | None:
        found = site.batch.list_jobs(jobQueue=site.queue, filters=name)["jobSummaryList"]
        return found[0] if found and found[0]["status"] == "RUNNING" else None

    job_id = eventually(started, what="the job's start")["jobId"]
    client.stop_execution(executionArn=execution)
    assert site.ended(job_id)["statusReason"] == "Stopped by Step Functions"


def test_a_task_that_times_out_terminates_its_job(site: Site, aws: Clients) -> None:
    work = task(site, "import time; time.sleep(300)", TimeoutSeconds=2)
    done = run(aws, {"Work": work})
    assert done["error"] == "States.Timeout"
    name = [{"name": "JOB_NAME", "values": [work["Parameters"]["JobName"]]}]
    (job,) = site.batch.list_jobs(jobQueue=site.queue, filters=name)["jobSummaryList"]
    assert site.ended(job["jobId"])["statusReason"] == "Stopped by Step Functions"


def test_another_operation_is_no_task(aws: Clients) -> None:
    state = {"Type": "Task", "Resource": "arn:aws:states:::batch:cancelJob", "End": True}
    with pytest.raises(ClientError, match="not recognized"):
        aws("stepfunctions").create_state_machine(
            name=unique("machine"),
            definition=json.dumps({"StartAt": "Work", "States": {"Work": state}}),
            roleArn=make_role(aws),
        )


# CloudFormation


def stack_of(queue: str, role: str, code: str, **queue_properties: Any) -> str:
    container = definition("", code, role)["containerProperties"]
    resources = {
        "Place": {
            "Type": "AWS::Batch::ComputeEnvironment",
            "Properties": {"Type": "MANAGED", "ComputeResources": pascal(FARGATE)},
        },
        "Queue": {
            "Type": "AWS::Batch::JobQueue",
            "Properties": {
                "JobQueueName": queue,
                "Priority": 1,
                "ComputeEnvironmentOrder": pascal(ordered({"Ref": "Place"})),  # type: ignore[arg-type]  # a reference
                **queue_properties,
            },
        },
        "Definition": {
            "Type": "AWS::Batch::JobDefinition",
            "Properties": {
                "JobDefinitionName": queue,
                "Type": "container",
                "PlatformCapabilities": ["FARGATE"],
                "ContainerProperties": pascal(container),
            },
        },
    }
    return json.dumps({"Resources": resources})


def pascal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal(member) for key, member in value.items()}
    return [pascal(member) for member in value] if isinstance(value, list) else value


def test_a_stack_makes_changes_and_removes_what_batch_runs_on(site: Site, aws: Clients) -> None:
    cloudformation, stack, queue = aws("cloudformation"), unique("batch"), unique("stacked")
    role = site.role
    cloudformation.create_stack(StackName=stack, TemplateBody=stack_of(queue, role, "print(1)"))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1}
    )
    request = {"jobName": "x", "jobQueue": queue, "jobDefinition": queue}
    assert site.log(site.ended(site.batch.submit_job(**request)["jobId"])) == ["1"]

    changed = stack_of(queue, role, "print(2)", State="DISABLED")
    cloudformation.update_stack(StackName=stack, TemplateBody=changed)
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1}
    )
    (found,) = site.batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    assert found["state"] == "DISABLED"
    shown = site.batch.describe_job_definitions(jobDefinitionName=queue)["jobDefinitions"]
    assert [(d["revision"], d["status"]) for d in shown] == [(2, "ACTIVE"), (1, "INACTIVE")]

    cloudformation.delete_stack(StackName=stack)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1}
    )
    assert site.batch.describe_job_queues(jobQueues=[queue])["jobQueues"] == []
