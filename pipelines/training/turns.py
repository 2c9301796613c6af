"""Runs of one model one after the other, where the model asks for it.

Whoever starts writes its name under a key of S3 that must not exist, or that still holds the name
of a run that has ended. Nothing has to be given back: a run that was stopped or killed has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.training import asl
from pipelines.training.asl import Path, State
from pipelines.training.executions import BUSY
from pipelines.training.settings import Turns

_POLL_SECONDS = 30


@dataclass(frozen=True)
class Turn:
    """The states that wait for a run's turn. The state holds who it is at $.run.execution."""

    workflow: str
    bucket: str
    key: str
    turns: Turns

    def states(self, then: State) -> tuple[State, list[State], list[State]]:
        """The first state, those that may fail the run, and those whose refusal is an answer."""
        take, follow = self._write("Take turn", IfNoneMatch="*"), self._write("Follow", **_AFTER)
        see = asl.call(
            "See whose turn",
            "aws-sdk:s3:getObject",
            {"Bucket": self.bucket, "Key": self.key},
            result_selector={"holder.$": "States.StringToJson($.Body)", "etag.$": "$.ETag"},
            result_path="$.turn",
        )
        ask = asl.call(
            "Ask for that run",
            "aws-sdk:sfn:describeExecution",
            {"ExecutionArn": Path("$.turn.holder.execution")},
            result_selector={"status.$": "$.Status"},
            result_path="$.turn.run",
        )
        occupied = self._occupied(see)
        runs = asl.choose(
            "Has it ended",
            [asl.equals("$.turn.run.status", "RUNNING")],
            then=occupied,
            otherwise=follow,
        )
        ours = asl.choose(
            "Is it ours",
            [asl.same("$.turn.holder.execution", "$.run.execution")],
            then=then,
            otherwise=ask,
        )
        asl.catch_refused(take, then=see)
        asl.catch_refused(ask, then=follow)
        asl.catch_refused(follow, then=see)
        asl.chain([take, then])
        asl.chain([see, ours])
        asl.chain([ask, runs])
        asl.chain([follow, then])
        return take, [see], [take, ask, follow]

    def _write(self, name: str, **condition: Any) -> State:
        parameters = {
            "Bucket": self.bucket,
            "Key": self.key,
            "Body": {"execution.$": "$.run.execution"},
            **condition,
        }
        return asl.call(name, "aws-sdk:s3:putObject", parameters, result_path=None)

    def _occupied(self, see: State) -> State:
        if self.turns == "queue":
            pause = asl.wait("Wait for turn", _POLL_SECONDS)
            asl.chain([pause, see])
            return pause
        cause = (
            f"States.Format('Runs of {self.workflow} do not overlap, and {{}} is running.', "
            "$.turn.holder.execution)"
        )
        return asl.fail(BUSY, error=BUSY, cause_path=cause)


_AFTER = {"IfMatch": Path("$.turn.etag")}
