"""A stream, buckets and a database of a project of its own, and consumers as processes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.local.lifecycle import LocalAws
from infra.local.settings import REGION
from mlops.athena import Athena
from mlops.aws import Aws
from mlops.cli.main import root
from mlops.downsync.events import Encoder, Event
from mlops.downsync.flow import Flow, flow_body, flow_key
from mlops.downsync.producer import Producer, ProducerLimits
from mlops.downsync.stream import KinesisSink
from mlops.downsync.thinning import bucket_of
from mlops.objects import S3Documents
from mlops.settings import Settings, load_settings
from tests.downsync import CLICKS
from tests.local_aws import unique

MLOPS = Path(sys.executable).with_name("mlops")


@dataclass
class Place:
    """What a test of the consumer's processes works with."""

    local: LocalAws
    settings: Settings
    environment: dict[str, str]
    aws: Aws
    log: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def stream(self) -> str:
        return self.settings.names.downsync_stream

    @property
    def kinesis(self) -> Any:
        return self.local.client("kinesis")

    @property
    def data(self) -> S3Documents:
        return S3Documents(self.aws, self.settings.names.data_bucket)

    def apply(self, flow: Flow) -> None:
        artifacts = S3Documents(self.aws, self.settings.names.artifact_bucket)
        artifacts.put(flow_key(flow.view), flow_body(flow))

    def send(self, *events: Event, flow: Flow = CLICKS) -> None:
        """As a producer sends them; returns when all are in the stream."""
        encoder = Encoder(flow)
        limits = ProducerLimits(flush_seconds=0.05)
        producer = Producer(KinesisSink(self.aws, self.stream), limits=limits)
        for event in events:
            assert producer.offer(bucket_of(event.digest), encoder.encode(event))
        assert producer.flush(60)
        producer.close(1)
        assert producer.counts.sent == len(events)

    def start(self, *command: str) -> subprocess.Popen[str]:
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command,
                env=os.environ | self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.processes.append(process)
        return process

    def consumer(self, *options: str) -> subprocess.Popen[str]:
        return self.start(str(MLOPS), "features", "downsync", "--lease-seconds", "1", *options)

    def consume(self, *options: str) -> Any:
        """`mlops features downsync` to its end; what it printed as JSON.

        In this process, which needs no time to start.
        """
        command = ["features", "downsync", "--lease-seconds", "1", "--json", *options]
        with redirect_stdout(io.StringIO()) as printed:
            root.main(command, standalone_mode=False)
        return json.loads(printed.getvalue())

    def catch_up(self) -> Any:
        return self.consume("--until-caught-up")["events"]

    def killed_at(self, step: str) -> None:
        """A consumer that ended by SIGKILL at this step."""
        process = self.start(sys.executable, "-m", "tests.downsync_consumer", step)
        process.communicate(timeout=120)
        assert process.returncode == -9, self.log.read_text()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        athena = Athena(self.settings, self.aws)
        try:
            return athena.rows(sql)
        finally:
            athena.close()

    def numbers(self, table: str = "clicks_pushed") -> list[int]:
        """The `n` of every row that Athena sees."""
        return sorted(int(row[0]) for row in self.query(f"SELECT n FROM {table}"))


@pytest.fixture
def place(local_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Nothing in it but a stream of one shard, and the flow of the clicks applied."""
    environment = local_aws.environment() | {"MLOPS_PROJECT": unique("ds")[:15]}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(environment)
    names = settings.names
    for bucket in (names.data_bucket, names.artifact_bucket, names.staging_bucket):
        local_aws.client("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
    local_aws.client("glue").create_database(DatabaseInput={"Name": names.database})
    local_aws.client("athena").create_work_group(
        Name=names.workgroup,
        Configuration={
            "ResultConfiguration": {"OutputLocation": f"s3://{names.staging_bucket}/athena/"}
        },
    )
    local_aws.client("kinesis").create_stream(StreamName=names.downsync_stream, ShardCount=1)
    made = Place(local_aws, settings, environment, Aws(local_aws.session()), tmp_path / "log")
    made.apply(CLICKS)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
    local_aws.client("kinesis").delete_stream(StreamName=names.downsync_stream)
