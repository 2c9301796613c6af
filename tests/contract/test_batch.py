"""AWS Batch of the local AWS: queues, definitions, arrays, retries, dependencies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from botocore.exceptions import ClientError

from infra.local.batch.service import Batch
from infra.local.service import Caller
from infra.local.settings import ACCOUNT, REGION
from tests.local_aws import eventually, make_bucket, unique

if TYPE_CHECKING:
    from infra.local.lifecycle import LocalAws
    from tests.conftest import Clients

ENDED = {"SUCCEEDED", "FAILED"}
FARGATE = {"type": "FARGATE", "maxvCpus": 4, "subnets": ["s-1"], "securityGroupIds": ["g-1"]}
CALLER = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root")


class Site:
    """A queue, a role, and jobs that run a line of Python."""

    def __init__(self, aws: Clients) -> None:
        self.aws = aws
        self.batch = aws("batch")
        self.environment = unique("place")
        self.queue = unique("queue")
        self.role = make_task_role(aws)
        self.batch.create_compute_environment(
            computeEnvironmentName=self.environment, type="MANAGED", computeResources=FARGATE
        )
        self.batch.create_job_queue(
            jobQueueName=self.queue, priority=1, computeEnvironmentOrder=ordered(self.environment)
        )

    def define(self, code: str, **properties: Any) -> str:
        """A definition's name."""
        name = unique("definition")
        self.batch.register_job_definition(**definition(name, code, self.role, **properties))
        return name

    def submit(self, code: str, **request: Any) -> str:
        """A job's id."""
        asked = {"jobDefinition": self.define(code), "jobName": unique("job"), **request}
        return str(self.batch.submit_job(jobQueue=self.queue, **asked)["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        (found,) = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        return dict(found)

    def ended(self, job_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.job(job_id)
            return found if found["status"] in ENDED else None

        return eventually(look, what=f"the end of {job_id}", seconds=60)

    def children(self, job_id: str, size: int) -> list[dict[str, Any]]:
        ids = [f"{job_id}:{index}" for index in range(size)]
        return list(self.batch.describe_jobs(jobs=ids)["jobs"])

    def log(self, job: dict[str, Any], group: str = "/aws/batch/job") -> list[str]:
        stream = job["container"]["logStreamName"]
        answer = self.aws("logs").get_log_events(logGroupName=group, logStreamName=stream)
        return [event["message"] for event in answer["events"]]


def ordered(*environments: str) -> list[dict[str, Any]]:
    return [{"order": n, "computeEnvironment": name} for n, name in enumerate(environments)]


def definition(name: str, code: str, role: str, **properties: Any) -> dict[str, Any]:
    sizes = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
    container = {
        "image": "image",
        "command": ["python3", "-c", code],
        "jobRoleArn": role,
        "executionRoleArn": role,
        "resourceRequirements": sizes,
        **properties.pop("containerProperties", {}),
    }
    return {
        "jobDefinitionName": name,
        "type": "container",
        "platformCapabilities": ["FARGATE"],
        "containerProperties": container,
        **properties,
    }


def make_task_role(aws: Clients) -> str:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["ecs-tasks.amazonaws.com"]},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    made = aws("iam").create_role(
        RoleName=unique("task"), AssumeRolePolicyDocument=json.dumps(trust)
    )
    return str(made["Role"]["Arn"])


def refusal(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**request)
    assert refused.value.response["Error"]["Code"] == "ClientException"
    return str(refused.value.response["Error"]["Message"])


@pytest.fixture(scope="module")
def site(aws: Clients) -> Site:
    return Site(aws)


def test_a_job_runs_its_command_as_its_role_and_logs_it(site: Site) -> None:
    code = (
        "import boto3, os; print(boto3.client('sts').get_caller_identity()['Arn'])\n"
        "print(os.environ['AWS_BATCH_JOB_ID'], os.environ['AWS_BATCH_JOB_ATTEMPT'])\n"
        "print('AWS_BATCH_JOB_ARRAY_INDEX' in os.environ, os.listdir('.'))"
    )
    job = site.ended(site.submit(code))
    assert (job["status"], job["container"]["exitCode"]) == ("SUCCEEDED", 0)
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]
    who, ids, others = site.log(job)
    assert who.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{site.role.rpartition('/')[2]}/")
    assert ids == f"{job['jobId']} 1"
    assert others == "False []"


def test_a_job_sees_what_its_submission_says(site: Site) -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ['A'], os.environ['B'])"
    name = site.define(
        code,
        parameters={"view": "one"},
        containerProperties={
            "command": ["python3", "-c", code, "Ref::view"],
            "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        },
    )
    job = site.submit(
        "",
        jobDefinition=name,
        parameters={"view": "two"},
        containerOverrides={"environment": [{"name": "B", "value": "3"}]},
    )
    assert site.log(site.ended(job)) == ["['two'] 1 3"]


def test_an_array_runs_a_child_per_index(site: Site, aws: Clients) -> None:
    bucket = make_bucket(aws)
    code = (
        "import boto3, os; index = os.environ['AWS_BATCH_JOB_ARRAY_INDEX']\n"
        f"boto3.client('s3').put_object(Bucket='{bucket}', Key=index, Body=b'')\n"
        "assert os.environ['AWS_BATCH_JOB_ARRAY_SIZE'] == '3'"
    )
    job_id = site.submit(code, arrayProperties={"size": 3})
    job = site.ended(job_id)
    assert job["status"] == "SUCCEEDED"
    assert job["arrayProperties"]["size"] == 3
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    assert [c["arrayProperties"]["index"] for c in site.children(job_id, 3)] == [0, 1, 2]
    keys = {entry["Key"] for entry in aws("s3").list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {"0", "1", "2"}


def test_one_failed_child_fails_its_array(site: Site) -> None:
    code = "import os, sys; sys.exit(int(os.environ['AWS_BATCH_JOB_ARRAY_INDEX']))"
    job = site.ended(job_id := site.submit(code, arrayProperties={"size": 2}))
    assert (job["status"], job["statusReason"]) == ("FAILED", "Array Child Job failed")
    statuses = [child["status"] for child in site.children(job_id, 2)]
    assert statuses == ["SUCCEEDED", "FAILED"]


def test_a_failed_attempt_is_tried_again_and_counted(site: Site) -> None:
    code = "import os, sys; sys.exit(0 if os.environ['AWS_BATCH_JOB_ATTEMPT'] == '2' else 3)"
    job = site.ended(site.submit(code, retryStrategy={"attempts": 3}))
    assert job["status"] == "SUCCEEDED"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [3, 0]
    first, second = (attempt["container"]["logStreamName"] for attempt in job["attempts"])
    assert first != second


def test_an_exit_code_can_end_the_tries(site: Site) -> None:
    rules = [{"onExitCode": "5", "action": "EXIT"}, {"onReason": "*", "action": "RETRY"}]
    strategy = {"attempts": 5, "evaluateOnExit": rules}
    job = site.ended(site.submit("raise SystemExit(5)", retryStrategy=strategy))
    assert (job["status"], len(job["attempts"])) == ("FAILED", 1)


def test_a_killed_child_is_tried_again(site: Site) -> None:
    code = (
        "import os, signal\n"
        "if os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1': os.kill(os.getpid(), signal.SIGKILL)"
    )
    job_id = site.submit(code, arrayProperties={"size": 2}, retryStrategy={"attempts": 2})
    assert site.ended(job_id)["status"] == "SUCCEEDED"
    for child in site.children(job_id, 2):
        assert [a["container"]["exitCode"] for a in child["attempts"]] == [137, 0]


def test_a_job_waits_for_those_it_depends_on(site: Site, aws: Clients) -> None:
    bucket = make_bucket(aws)
    mark = f"import boto3, time; s3 = boto3.client('s3'); b = '{bucket}'\n"
    first = site.submit(mark + "time.sleep(1); s3.put_object(Bucket=b, Key='a', Body=b'')")
    second = site.submit(mark + "s3.head_object(Bucket=b, Key='a')", dependsOn=[{"jobId": first}])
    assert site.job(second)["status"] == "PENDING"
    assert site.ended(second)["status"] == "SUCCEEDED"


def test_a_job_fails_with_the_one_it_depends_on(site: Site) -> None:
    first = site.submit("raise SystemExit(1)")
    second = site.submit("print('never')", dependsOn=[{"jobId": first}])
    third = site.submit("print('never')", dependsOn=[{"jobId": second}])
    job = site.ended(third)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Dependent Job failed")
    assert job["attempts"] == []


def test_children_can_run_in_sequence_and_side_by_side(site: Site, aws: Clients) -> None:
    bucket = make_bucket(aws)
    code = (
        f"import boto3, os; s3, b = boto3.client('s3'), '{bucket}'\n"
        "index = int(os.environ['AWS_BATCH_JOB_ARRAY_INDEX'])\n"
        "if index: s3.head_object(Bucket=b, Key=str(index - 1))\n"
        "s3.put_object(Bucket=b, Key=str(index), Body=b'')"
    )
    ordered_array = site.submit(
        code, arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}]
    )
    beside = site.submit(
        f"import boto3, os; boto3.client('s3').head_object(Bucket='{bucket}',"
        " Key=os.environ['AWS_BATCH_JOB_ARRAY_INDEX'])",
        arrayProperties={"size": 3},
        dependsOn=[{"jobId": ordered_array, "type": "N_TO_N"}],
    )
    assert site.ended(beside)["status"] == "SUCCEEDED"


def test_a_running_job_is_terminated_for_a_reason(site: Site) -> None:
    job_id = site.submit("import time; time.sleep(300)", retryStrategy={"attempts": 3})
    eventually(lambda: site.job(job_id)["status"] == "RUNNING", what="running")
    site.batch.cancel_job(jobId=job_id, reason="too late to cancel")
    site.batch.terminate_job(jobId=job_id, reason="enough")
    job = site.ended(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "enough")
    assert (job["isTerminated"], len(job["attempts"])) == (True, 1)


def test_terminating_an_array_ends_every_child(site: Site) -> None:
    job_id = site.submit("import time; time.sleep(300)", arrayProperties={"size": 6})
    eventually(
        lambda: site.job(job_id)["arrayProperties"]["statusSummary"]["RUNNING"], what="running"
    )
    site.batch.terminate_job(jobId=job_id, reason="enough")
    assert site.ended(job_id)["arrayProperties"]["statusSummary"]["FAILED"] == 6


def test_a_waiting_job_is_cancelled(site: Site) -> None:
    first = site.submit("import time; time.sleep(300)")
    second = site.submit("print('never')", dependsOn=[{"jobId": first}])
    site.batch.cancel_job(jobId=second, reason="not needed")
    job = site.ended(second)
    assert (job["status"], job["statusReason"], job["isCancelled"]) == (
        "FAILED",
        "not needed",
        True,
    )
    site.batch.terminate_job(jobId=first, reason="done")


def test_jobs_are_listed_by_status_by_filter_and_by_array(site: Site) -> None:
    name = unique("listed")
    array = site.submit("pass", arrayProperties={"size": 2}, jobName=name)
    site.ended(array)
    listed = site.batch.list_jobs(jobQueue=site.queue, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert array in {job["jobId"] for job in listed}
    named = [{"name": "JOB_NAME", "values": [f"{name[:-3]}*"]}]
    found = site.batch.list_jobs(jobQueue=site.queue, filters=named)["jobSummaryList"]
    assert [job["jobId"] for job in found] == [array]
    children = site.batch.list_jobs(arrayJobId=array, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert sorted(child["jobId"] for child in children) == [f"{array}:0", f"{array}:1"]


def test_a_role_that_ecs_may_not_assume_fails_the_job(site: Site) -> None:
    name = site.define("pass", containerProperties={"jobRoleArn": f"{site.role}-nobody"})
    job = site.ended(site.submit("", jobDefinition=name))
    assert job["status"] == "FAILED"
    assert job["statusReason"].startswith("ECS was unable to assume the role")


def test_a_log_group_of_ones_own_is_used(site: Site, aws: Clients) -> None:
    group = unique("/aws/batch/own")
    aws("logs").create_log_group(logGroupName=group)
    options = {"awslogs-group": group, "awslogs-stream-prefix": "features"}
    logs = {"logConfiguration": {"logDriver": "awslogs", "options": options}}
    job = site.ended(
        site.submit("", jobDefinition=site.define("print(7)", containerProperties=logs))
    )
    assert job["container"]["logStreamName"].startswith("features/default/")
    assert site.log(job, group) == ["7"]


def test_definitions_have_revisions(site: Site) -> None:
    name = site.define("print(1)")
    second = site.batch.register_job_definition(**definition(name, "print(2)", site.role))
    assert second["revision"] == 2
    assert site.log(site.ended(site.submit("", jobDefinition=name))) == ["2"]
    assert site.log(site.ended(site.submit("", jobDefinition=f"{name}:1"))) == ["1"]
    site.batch.deregister_job_definition(jobDefinition=second["jobDefinitionArn"])
    shown = site.batch.describe_job_definitions(jobDefinitionName=name)["jobDefinitions"]
    assert [(d["revision"], d["status"]) for d in shown] == [(2, "INACTIVE"), (1, "ACTIVE")]
    assert site.log(site.ended(site.submit("", jobDefinition=name))) == ["1"]


def test_a_disabled_queue_takes_no_jobs_and_can_be_deleted(site: Site) -> None:
    queue, batch = unique("closing"), site.batch
    batch.create_job_queue(
        jobQueueName=queue, priority=1, computeEnvironmentOrder=ordered(site.environment)
    )
    assert "not disabled" in refusal(batch.delete_job_queue, jobQueue=queue)
    batch.update_job_queue(jobQueue=queue, state="DISABLED")
    request = {"jobName": "x", "jobQueue": queue, "jobDefinition": site.define("pass")}
    assert "is disabled" in refusal(batch.submit_job, **request)
    batch.delete_job_queue(jobQueue=queue)
    assert batch.describe_job_queues(jobQueues=[queue])["jobQueues"] == []


def test_a_disabled_compute_environment_lets_jobs_wait(site: Site) -> None:
    place, queue = unique("place"), unique("queue")
    site.batch.create_compute_environment(
        computeEnvironmentName=place, type="MANAGED", state="DISABLED", computeResources=FARGATE
    )
    site.batch.create_job_queue(
        jobQueueName=queue, priority=1, computeEnvironmentOrder=ordered(place)
    )
    request = {"jobName": "x", "jobQueue": queue, "jobDefinition": site.define("pass")}
    job_id = site.batch.submit_job(**request)["jobId"]
    assert site.job(job_id)["status"] == "RUNNABLE"
    site.batch.update_compute_environment(computeEnvironment=place, state="ENABLED")
    assert site.ended(job_id)["status"] == "SUCCEEDED"
    assert "JobQueue relationship" in refusal(
        _disabled_delete, batch=site.batch, computeEnvironment=place
    )


def _disabled_delete(batch: Any, computeEnvironment: str) -> None:  # noqa: N803 - as boto3 has it
    batch.update_compute_environment(computeEnvironment=computeEnvironment, state="DISABLED")
    batch.delete_compute_environment(computeEnvironment=computeEnvironment)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "multinode", "containerProperties": None}, "type 'container'"),
        ({"timeout": {"attemptDurationSeconds": 5}}, "60 or more"),
        ({"containerProperties": {"executionRoleArn": ""}}, "executionRoleArn"),
        ({"containerProperties": {"resourceRequirements": []}}, "Fargate needs MEMORY and VCPU"),
        ({"containerProperties": {"privileged": True}}, "privileged: the local AWS"),
        (
            {"containerProperties": {"logConfiguration": {"logDriver": "splunk"}}},
            "the driver 'awslogs' only",
        ),
    ],
)
def test_what_a_definition_asks_for_in_vain_is_named(
    site: Site, changes: dict[str, Any], said: str
) -> None:
    request = (
        definition(unique("refused"), "pass", site.role, **changes)
        if (changes.get("containerProperties", {}) is not None)
        else {"jobDefinitionName": unique("refused"), "type": "multinode"}
    )
    assert said in refusal(site.batch.register_job_definition, **request)


def test_an_environment_of_instances_is_refused(site: Site) -> None:
    resources = {"type": "EC2", "maxvCpus": 4, "subnets": ["s-1"], "instanceTypes": ["optimal"]}
    said = refusal(
        site.batch.create_compute_environment,
        computeEnvironmentName=unique("place"),
        type="MANAGED",
        computeResources=resources,
    )
    assert "The local AWS has no instances" in said


# A Batch of its own: how many run at once, and what a restart does.


class Own:
    """Batch in this process, on a folder of its own, with one slot."""

    def __init__(self, local_aws: LocalAws, folder: Path, role: str) -> None:
        slots = threading.BoundedSemaphore(1)
        self.batch = Batch(local_aws.endpoint, folder, ACCOUNT, REGION, slots=slots, grace=0.5)
        self.role = role

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        return self.batch.handle(operation, request, CALLER)

    def prepare(self) -> None:
        self.call(
            "CreateComputeEnvironment",
            computeEnvironmentName="place",
            type="MANAGED",
            computeResources=FARGATE,
        )
        self.call(
            "CreateJobQueue",
            jobQueueName="queue",
            priority=1,
            computeEnvironmentOrder=ordered("place"),
        )

    def submit(self, code: str, **request: Any) -> str:
        name = unique("definition")
        self.call("RegisterJobDefinition", **definition(name, code, self.role))
        answer = self.call(
            "SubmitJob", jobName="job", jobQueue="queue", jobDefinition=name, **request
        )
        return str(answer["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        (found,) = self.call("DescribeJobs", jobs=[job_id])["jobs"]
        return dict(found)

    def reaches(self, job_id: str, status: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.job(job_id)
            return found if found["status"] == status else None

        return eventually(look, what=f"{job_id} being {status}")


@pytest.fixture
def own(local_aws: LocalAws, site: Site, tmp_path: Path) -> Iterator[Own]:
    found = Own(local_aws, tmp_path, site.role)
    found.prepare()
    found.batch.start()
    yield found
    found.batch.close()


def test_no_more_run_than_there_are_slots(own: Own) -> None:
    job_id = own.submit("import time; time.sleep(0.3)", arrayProperties={"size": 4})
    most = 0
    while own.job(job_id)["status"] not in ENDED:
        counts = own.job(job_id)["arrayProperties"]["statusSummary"]
        most = max(most, counts["RUNNING"] + counts["STARTING"])
        time.sleep(0.05)
    assert most == 1


def test_a_restart_tries_again_what_ran_and_goes_on_with_what_waited(
    own: Own, local_aws: LocalAws, tmp_path: Path
) -> None:
    code = "import os, time; os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1' and time.sleep(300)"
    running = own.submit(code, retryStrategy={"attempts": 2})
    own.reaches(running, "RUNNING")
    waiting = own.submit("pass", dependsOn=[{"jobId": running}])
    own.batch.close()

    again = Own(local_aws, tmp_path, own.role)
    again.batch.start()
    job = again.reaches(running, "SUCCEEDED")
    assert [a["statusReason"] for a in job["attempts"]] == [
        "Host EC2 (the local AWS) terminated.",
        "Essential container in task exited",
    ]
    assert again.reaches(waiting, "SUCCEEDED")
    again.batch.close()


def test_a_job_that_may_not_be_tried_again_fails_with_the_local_aws(
    own: Own, local_aws: LocalAws, tmp_path: Path
) -> None:
    running = own.submit("import time; time.sleep(300)")
    own.reaches(running, "RUNNING")
    own.batch.close()
    again = Own(local_aws, tmp_path, own.role)
    assert again.job(running)["status"] == "FAILED"
    assert again.job(running)["statusReason"].startswith("Host EC2")


def test_a_process_that_outlived_the_local_aws_is_ended(
    own: Own, local_aws: LocalAws, tmp_path: Path
) -> None:
    running = own.submit("import time; time.sleep(300)")
    own.reaches(running, "RUNNING")
    record = json.loads((tmp_path / f"batch/jobs/{running}.json").read_text())
    pid = record["state"]["process"]["pid"]
    again = Own(local_aws, tmp_path, own.role)  # as after a kill: the first has said nothing
    eventually(lambda: not _lives(pid), what=f"the end of {pid}")
    assert again.job(running)["status"] == "FAILED"


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
