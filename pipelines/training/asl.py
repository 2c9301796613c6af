"""The Amazon States Language, through the `stepfunctions` and SageMaker SDKs.

The only module that imports either. Both are at the end of their lives, so what is worked around
is named here:
- importing them raises the root logger's level and warns about deprecations: contained;
- their Task knows no ResultSelector, their Fail no CausePath, their Retry no jitter: added;
- a ProcessingStep without inputs emits null, and estimators would set up a debugger: never asked;
- a TrainingStep takes no environment, and literals where we have paths: given as `parameters`;
- resource ARNs take their partition from the caller's own boto3 session: taken from the region.

Nothing here calls AWS or needs credentials: the sessions are built and never used.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import boto3

_QUIET = {
    "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
    # Importing the SageMaker SDK opens a session, which looks for an instance's credentials.
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def _contained() -> Iterator[None]:
    """Keep the SDKs' warnings, what they print, and their change of the root logger in here."""
    level, disabled = logging.getLogger().level, logging.root.manager.disable
    environment = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(disabled)
            logging.getLogger().setLevel(level)
            _restore(environment)


def _restore(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


with _contained():
    import sagemaker
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor
    from stepfunctions import steps as sdk
    from stepfunctions.inputs import Placeholder
    from stepfunctions.steps import choice_rule
    from stepfunctions.steps.states import Graph

_NO_CONFIG = {"SchemaVersion": "1.0"}
"""In place of what the SDK would read from the user's home."""

State = Any
"""A state of the SDK; untyped there."""

_THROTTLED = [
    "SageMaker.AmazonSageMakerException",
    "SageMaker.SageMakerException",
    "S3.S3Exception",
    "SNS.AmazonSNSException",
    "SNS.ThrottledException",
    "Batch.AWSBatchException",
    "Batch.ServerException",
    "Sfn.SfnException",
]
"""Under these names Step Functions reports throttling; most have no name of their own for it."""


class _Field(Enum):
    """Fields of the language that the SDK does not know."""

    RESULT_SELECTOR = "result_selector"
    ERROR_PATH = "error_path"
    CAUSE_PATH = "cause_path"
    MAX_DELAY = "max_delay_seconds"
    JITTER = "jitter_strategy"


class _Selecting:
    """A task that can pick from its result."""

    def allowed_fields(self) -> list[Enum]:
        return [*super().allowed_fields(), _Field.RESULT_SELECTOR]  # type: ignore[misc]  # a mixin


class _Task(_Selecting, sdk.Task):
    pass


class _Processing(_Selecting, sdk.ProcessingStep):
    pass


class _Training(_Selecting, sdk.TrainingStep):
    pass


class _Fail(sdk.Fail):
    def allowed_fields(self) -> list[Enum]:
        return [*super().allowed_fields(), _Field.ERROR_PATH, _Field.CAUSE_PATH]


class _Retry(sdk.Retry):
    def allowed_fields(self) -> list[Enum]:
        return [*super().allowed_fields(), _Field.MAX_DELAY, _Field.JITTER]


EXECUTION = "$$.Execution.Name"


class Path(Placeholder):
    """A JSONPath or an intrinsic function, wherever a value goes; its key gets the '.$'."""

    def __init__(self, expression: str) -> None:
        super().__init__()
        self.expression = expression

    def to_jsonpath(self) -> str:
        return self.expression


Value = str | Path


def formatted(template: str, *arguments: str) -> Path:
    """'s3://b/{}' and its arguments, which are paths, as States.Format."""
    return Path(f"States.Format('{template}', {', '.join(arguments)})")


def json_text(path: str) -> str:
    """The JSON text of what lies at a path."""
    return f"States.JsonToString({path})"


@dataclass(frozen=True)
class Network:
    """Subnets and security groups of a private network."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What processing and training jobs have in common."""

    job_name: Path
    image: str
    role_arn: str
    instance_type: Path
    volume_gb: Path
    max_seconds: Path
    spot: Path
    """Whether a training job may run on spot instances; processing jobs cannot."""
    environment: Mapping[str, str]
    tags: Sequence[Mapping[str, Any]]
    network: Network | None = None
    """Where a processing job runs that asks what is inside; None is outside of any network."""


def processing(
    name: str,
    job: Job,
    *,
    entrypoint: Sequence[str],
    arguments: Value | Sequence[str],
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    result_path: str | None,
) -> State:
    """A processing job; inputs and outputs are S3 addresses by the name of their folder."""
    with _contained():
        return _Processing(
            name,
            processor=_processor(job),
            job_name=job.job_name,
            inputs=[_processing_input(*item) for item in inputs.items()],
            outputs=[_processing_output(*item) for item in outputs.items()],
            container_entrypoint=list(entrypoint),
            container_arguments=arguments if isinstance(arguments, Path) else list(arguments),
            parameters={
                "ProcessingResources": {
                    "ClusterConfig": {
                        "InstanceType": job.instance_type,
                        "VolumeSizeInGB": job.volume_gb,
                    }
                },
                "StoppingCondition": {"MaxRuntimeInSeconds": job.max_seconds},
                "Tags": list(job.tags),
                **_inside(job.network),
            },
            result_path=result_path,
        )


def _inside(network: Network | None) -> dict[str, Any]:
    if network is None:
        return {}
    place = {"Subnets": network.subnets, "SecurityGroupIds": network.security_groups}
    return {"NetworkConfig": {"VpcConfig": {name: list(ids) for name, ids in place.items()}}}


def _processor(job: Job) -> Any:
    return Processor(
        role=job.role_arn,
        image_uri=job.image,
        instance_count=1,
        instance_type="ml.m5.large",
        env=dict(job.environment),
        max_runtime_in_seconds=1,
        sagemaker_session=_session(),
    )


def _processing_input(name: str, source: Value) -> Any:
    return ProcessingInput(
        source=source, destination=f"/opt/ml/processing/input/{name}", input_name=name
    )


def _processing_output(name: str, destination: Value) -> Any:
    return ProcessingOutput(
        source=f"/opt/ml/processing/output/{name}", destination=destination, output_name=name
    )


_CAPTURE = (
    "from functools import partial; from sagemaker_training import entry_point; "
    "from sagemaker_training.cli.train import main; "
    "entry_point.run = partial(entry_point.run, capture_error=True); main()"
)
_SCRIPT_MODE = ("python3", "-c", _CAPTURE)
"""The toolkit's own command, but with the script's error in the job's failure reason."""


def training(
    name: str,
    job: Job,
    *,
    hyperparameters: Mapping[str, Value],
    channels: Mapping[str, Value],
    output: Value,
    result_selector: Mapping[str, str],
    result_path: str,
) -> State:
    """A training job in script mode. hyperparameters: JSON texts, as the toolkit reads them.

    Its stopping condition lies at $.stopping, for only spot instances take a time to wait.
    """
    with _contained():
        return _Training(
            name,
            estimator=_estimator(job),
            job_name=job.job_name,
            data={channel: _training_input(uri) for channel, uri in channels.items()},
            hyperparameters=dict(hyperparameters),
            parameters={
                "AlgorithmSpecification": {"ContainerEntrypoint": list(_SCRIPT_MODE)},
                "OutputDataConfig": {"S3OutputPath": output},
                "ResourceConfig": {
                    "InstanceType": job.instance_type,
                    "VolumeSizeInGB": job.volume_gb,
                },
                "StoppingCondition": Path("$.stopping"),
                "EnableManagedSpotTraining": job.spot,
                "Environment": dict(job.environment),
                "Tags": list(job.tags),
            },
            result_selector=dict(result_selector),
            result_path=result_path,
        )


def _estimator(job: Job) -> Any:
    """What of it must be said again at run time is replaced in `parameters`."""
    return Estimator(
        image_uri=job.image,
        role=job.role_arn,
        instance_count=1,
        instance_type="ml.m5.large",
        output_path="s3://replaced",
        sagemaker_session=_session(),
        debugger_hook_config=False,
        disable_profiler=True,
    )


def _training_input(uri: Value) -> Any:
    return TrainingInput(uri, input_mode="File")


@cache
def _session() -> Any:
    """A SageMaker session that is never used: it has no credentials and calls nothing."""
    boto_session = boto3.Session(
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106  # a session wants one, nobody uses it
        region_name="us-east-1",
    )
    session = sagemaker.Session(
        boto_session=boto_session, default_bucket="unused", sagemaker_config=_NO_CONFIG
    )
    # Else the SDK holds the empty configuration against its schema for every value that it needs.
    session.sagemaker_config = {}
    return session


def call(
    name: str,
    action: str,
    parameters: Mapping[str, Any],
    *,
    result_selector: Mapping[str, str] | None = None,
    result_path: str | None,
) -> State:
    """One API call, for example action 'sns:publish' or 'aws-sdk:s3:getObject'."""
    selector = {"result_selector": dict(result_selector)} if result_selector else {}
    return _Task(
        name,
        resource=f"arn:aws:states:::{action}",
        parameters=dict(parameters),
        result_path=result_path,
        **selector,
    )


def constant(name: str, value: Any, *, result_path: str) -> State:
    """Put a value into the state."""
    return sdk.Pass(name, result=value, result_path=result_path)


def assemble(name: str, parameters: Mapping[str, Any], *, result_path: str) -> State:
    """Put what is computed from the state into it."""
    return sdk.Pass(name, parameters=dict(parameters), result_path=result_path)


def fail(
    name: str, *, error: str | None = None, error_path: str | None = None, cause_path: str
) -> State:
    """End the execution as failed, with a cause from the state."""
    named = {"error": error} if error else {"error_path": error_path}
    return _Fail(name, cause_path=cause_path, **named)


def succeed(name: str) -> State:
    return sdk.Succeed(name)


def reaches(variable: str, path: str, *, less_is_better: bool = False) -> Any:
    """Whether one number of the state is at least another; at most, where less is better."""
    rule = choice_rule.ChoiceRule
    if less_is_better:
        return rule.NumericLessThanEqualsPath(variable=variable, value=path)
    return rule.NumericGreaterThanEqualsPath(variable=variable, value=path)


def not_negative(variable: str) -> Any:
    return choice_rule.ChoiceRule.NumericGreaterThanEquals(variable=variable, value=0)


def positive(variable: str) -> Any:
    return choice_rule.ChoiceRule.NumericGreaterThan(variable=variable, value=0)


def is_true(variable: str) -> Any:
    return choice_rule.ChoiceRule.BooleanEquals(variable=variable, value=True)


def is_present(variable: str) -> Any:
    return choice_rule.ChoiceRule.IsPresent(variable=variable, value=True)


def equals(variable: str, text: str) -> Any:
    return choice_rule.ChoiceRule.StringEquals(variable=variable, value=text)


def like(variable: str, pattern: str) -> Any:
    """Whether a text of the state fits a pattern, in which * stands for anything."""
    return choice_rule.ChoiceRule.StringMatches(variable=variable, value=pattern)


def same(variable: str, path: str) -> Any:
    """Whether two texts of the state are the same."""
    return choice_rule.ChoiceRule.StringEqualsPath(variable=variable, value=path)


def wait(name: str, seconds: int) -> State:
    return sdk.Wait(name, seconds=seconds)


def choose(name: str, rules: Sequence[Any], *, then: State, otherwise: State) -> State:
    """Go on with `then` when every rule holds."""
    state = sdk.Choice(name)
    state.add_choice(choice_rule.ChoiceRule.And(list(rules)), next_step=then)
    state.default_choice(otherwise)
    return state


def retry_throttled(states: Sequence[State]) -> None:
    """Try throttled calls again, with backoff."""
    for state in states:
        state.add_retry(
            _Retry(
                error_equals=_THROTTLED,
                interval_seconds=2,
                max_attempts=5,
                backoff_rate=2.0,
                max_delay_seconds=60,
                jitter_strategy="FULL",
            )
        )


def catch_all(states: Sequence[State], *, then: State, result_path: str = "$.error") -> None:
    """Whatever fails goes on with `then`; its error and cause are at the path."""
    for state in states:
        state.add_catch(
            sdk.Catch(error_equals=["States.ALL"], next_step=then, result_path=result_path)
        )


def catch_errors(state: State, errors: Sequence[str], *, then: State) -> None:
    """Errors of these names go on with `then`; to be said before `catch_all`."""
    state.add_catch(sdk.Catch(error_equals=list(errors), next_step=then, result_path="$.answer"))


def catch_refused(state: State, *, then: State) -> None:
    """A call that AWS refuses is no failure here: go on with `then`."""
    state.add_catch(
        sdk.Catch(error_equals=["States.TaskFailed"], next_step=then, result_path="$.refused")
    )


def chain(states: Sequence[State]) -> State:
    return sdk.Chain(list(states))


def definition(states: Sequence[State], *, comment: str, region: str) -> dict[str, Any]:
    """The state machine that starts with the first state."""
    partition = boto3.Session().get_partition_for_region(region)
    document = Graph(chain(states), comment=comment, version="1.0").to_dict()
    for state in document["States"].values():
        if "Resource" in state:
            state["Resource"] = f"arn:{partition}:" + state["Resource"].split(":", 2)[2]
    return dict(document)
