"""A training workflow as a state machine: the steps that every model has, and their order.

The state carries `run` (what the execution was started with), `preprocess.run` (whose rows they
are), `training` (where the model is), `evaluation.verdict` and `registration.metadata`. Rows and
models go through S3, never through it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops.names import Names, Role
from mlops.registry.comparison import better_direction
from mlops.settings import Settings
from pipelines.training import asl, layout
from pipelines.training.asl import EXECUTION, Job, Network, Path, State, Value, formatted, json_text
from pipelines.training.comparison import EVALUATION
from pipelines.training.run import RUN
from pipelines.training.searching import Searching
from pipelines.training.settings import TrainingSettings
from pipelines.training.steps import COMPARISON, PACKAGE, REGISTRATION
from pipelines.training.taking import Taking
from pipelines.training.turns import Turn

_UNPACK = (
    "set -e; cd /opt/ml/processing/input/code; tar -xzf source.tar.gz; "
    'module=$1; shift; exec python3 -m "$module" "$@"'
)


@dataclass(frozen=True)
class Site:
    """Everything that compiling may know: the environment's names and the code's hash."""

    settings: Settings
    code_sha256: str

    @property
    def names(self) -> Names:
        return self.settings.names

    def image(self, purpose: str) -> str:
        return self.names.image(purpose)

    @property
    def job_environment(self) -> dict[str, str]:
        """The jobs' settings: the code brings its own feature repo, and time is the system's."""
        values = self.settings.environment() | {"MLOPS_FEATURE_REPO": "feature_repo"}
        if self.settings.mlflow_secret is not None:
            values["MLOPS_MLFLOW_SECRET"] = self.names.mlflow_secret("writer")
        return {name: text for name, text in values.items() if name != "MLOPS_CLOCK"}

    @property
    def network(self) -> Network | None:
        """Of jobs that ask what is inside, as MLflow is."""
        subnets, group = self.settings.job_subnets, self.settings.job_security_group
        if subnets is None or group is None:
            return None
        return Network(tuple(subnets.split(",")), (group,))


class Workflow:
    """Builds one model's states: the standard steps, with the code of its folder in them."""

    def __init__(self, site: Site, defaults: TrainingSettings) -> None:
        self._site = site
        self._names = site.names
        self._defaults = defaults
        self._name = defaults.model
        self._preprocess = f"pipelines.{self._name}.preprocess"
        self._train = f"pipelines/{self._name}/train.py"
        self._evaluate = f"pipelines.{self._name}.evaluate"

    def definition(self) -> dict[str, Any]:
        """The state machine, in the Amazon States Language."""
        failed, notify_failure = self._failure()
        refused, notify_refusal = self._refusal()
        register, create_group = self._registering()
        after = [self._export(), self._read_comparison(), *register, self._announce()]
        gate = asl.choose("Gate", self._gate(), then=after[0], otherwise=notify_refusal)
        evaluate = [self._evaluate_job(), self._read_evaluation()]
        rows, making, looking = self._rows_and_model(then=evaluate[0])
        record = self._record_run()
        first, waiting, answered = self._turn(record)
        tasks = [record, *making, looking, *evaluate, *after, *create_group, notify_refusal]
        tasks += waiting
        asl.catch_all([*tasks, *answered], then=notify_failure)
        asl.catch_all([notify_failure], then=failed)
        find_group = register[-2] if create_group else None
        asl.retry_throttled([task for task in [*tasks, notify_failure] if task is not find_group])
        asl.chain(after)
        asl.chain([*create_group, register[-1]])
        asl.chain([notify_failure, failed])
        asl.chain([notify_refusal, refused])
        asl.chain([record, rows])
        asl.chain([*evaluate, gate])
        return asl.definition(
            [*self._read_input(), *self._stopping(then=first)],
            comment=f"Trains, judges and registers model '{self._name}'.",
            region=self._names.region,
        )

    def _turn(self, record: State) -> tuple[State, list[State], list[State]]:
        """What comes before the run is recorded: nothing, or its turn among the model's runs."""
        if self._defaults.turns == "together":
            return record, [], []
        key = layout.turn_key(self._name)
        turn = Turn(self._name, self._names.artifact_bucket, key, self._defaults.turns)
        return turn.states(record)

    def _rows_and_model(self, *, then: State) -> tuple[State, list[State], State]:
        """Rows and a model from them, each made or taken from an earlier run.

        The first state, those that do the work, and the look-up whose failure is an answer.
        """
        taking = Taking(
            self._name,
            self._names.artifact_bucket,
            self._site.code_sha256,
            self._site.image("training"),
        )
        preprocess, read, train = (
            self._preprocess_job(),
            taking.read_dataset(),
            self._training_job(),
        )
        tuned, searching = self._tuning(then=train)
        find, note, model = taking.find(), taking.note(), taking.model()
        take = taking.rows()
        rows = asl.choose(
            "Which rows",
            [asl.is_present("$.merged.input.taken.preprocess")],
            then=take,
            otherwise=preprocess,
        )
        forced = asl.choose(
            "Which model", [asl.is_true("$.merged.input.force")], then=tuned, otherwise=find
        )
        asl.catch_refused(find, then=tuned)
        asl.chain([take, read])
        asl.chain([preprocess, read, taking.identify(), forced])
        asl.chain([find, model, then])
        asl.chain([train, note, then])
        return rows, [preprocess, read, *searching, train, note], find

    def _tuning(self, *, then: State) -> tuple[State, list[State]]:
        """The best hyperparameters of a search at $.search.tuned, none without one.

        The first state, and those that may fail.
        """
        nothing = asl.constant("Search nothing", {"tuned": {}}, result_path="$.search")
        asl.chain([nothing, then])
        if self._defaults.search is None:
            return nothing, []
        searching = Searching(
            self._name,
            self._names.artifact_bucket,
            self._defaults.search,
            self._job("search", "training"),
            hyperparameters=self._hyperparameters,
            channels=self._channels,
            output=self._of_run("search"),
        ).states()
        asl.chain([*searching, then])
        whether = asl.choose(
            "Whether to search",
            [asl.positive("$.run.settings.trials")],
            then=searching[0],
            otherwise=nothing,
        )
        return whether, searching

    def _stopping(self, *, then: State) -> list[State]:
        """Only a job on spot instances may be told how long to wait for them."""
        instances = "$.run.settings.instances"
        ends = {"MaxRuntimeInSeconds.$": f"{instances}.max_seconds"}
        total = f"States.MathAdd({instances}.max_seconds, {instances}.spot_wait_seconds)"
        on_demand = asl.assemble("Stop in time", ends, result_path="$.stopping")
        waits = ends | {"MaxWaitTimeInSeconds.$": total}
        on_spot = asl.assemble("Stop in time on spot", waits, result_path="$.stopping")
        asl.chain([on_demand, then])
        asl.chain([on_spot, then])
        return [
            asl.choose(
                "On spot", [asl.is_true(f"{instances}.spot")], then=on_spot, otherwise=on_demand
            )
        ]

    def _read_input(self) -> list[State]:
        """The compiled defaults, with what the execution's input says differently."""
        defaults = {
            "settings": self._defaults.model_dump(mode="json"),
            "input": {
                "settings": {},
                "submitted_by": self._names.role_arn(Role.WORKFLOW),
                "force": False,
            },
        }
        merged = {"input.$": "States.JsonMerge($.defaults.input, $$.Execution.Input, false)"}
        run = {
            "workflow": self._name,
            "execution.$": "$$.Execution.Id",
            "name.$": EXECUTION,
            "started.$": "$$.Execution.StartTime",
            "submitted_by.$": "$.merged.input.submitted_by",
            "trained_by": self._names.role_arn(Role.TRAINING_JOB),
            "code_sha256": self._site.code_sha256,
            "settings.$": ("States.JsonMerge($.defaults.settings, $.merged.input.settings, false)"),
        }
        return [
            asl.constant("Defaults", defaults, result_path="$.defaults"),
            asl.assemble("Read input", merged, result_path="$.merged"),
            asl.assemble("Settle run", run, result_path="$.run"),
            asl.assemble("Settle rows", {"run.$": EXECUTION}, result_path="$.preprocess"),
        ]

    def _record_run(self) -> State:
        key = layout.run_prefix(self._name, "{}") + f"run/{RUN}"
        parameters = {
            "Bucket": self._names.artifact_bucket,
            "Key": formatted(key, EXECUTION),
            "Body": Path("$.run"),
            "ContentType": "application/json",
        }
        return asl.call("Record run", "aws-sdk:s3:putObject", parameters, result_path=None)

    def _preprocess_job(self) -> State:
        outputs = {name: self._of_run(name) for name in ("train", "test", "dataset")}
        return self._processing("Preprocess", self._preprocess, inputs={}, outputs=outputs)

    def _training_job(self) -> State:
        tuned = {"tuned": Path(json_text(json_text("$.search.tuned")))}
        return asl.training(
            "Train",
            self._job("train", "training"),
            hyperparameters=self._hyperparameters | tuned,
            channels=self._channels,
            output=self._of_run("training"),
            result_selector={"model.$": "$.ModelArtifacts.S3ModelArtifacts"},
            result_path="$.training",
        )

    @property
    def _hyperparameters(self) -> dict[str, Value]:
        """JSON texts; what is a map goes as the text of its JSON text."""
        source = layout.source_key(self._name, self._site.code_sha256)
        chosen = "$.run.settings"
        return {
            "sagemaker_program": json.dumps(self._train),
            "sagemaker_submit_directory": json.dumps(self._artifact(source)),
            "algorithm": Path(json_text(f"{chosen}.algorithm")),
            "hyperparameters": Path(json_text(json_text(f"{chosen}.hyperparameters"))),
            "seed": Path(json_text(f"{chosen}.seed")),
        }

    @property
    def _channels(self) -> dict[str, Value]:
        return {"train": self._rows("train"), "run": self._of_run("run")}

    def _evaluate_job(self) -> State:
        return self._processing(
            "Evaluate",
            self._evaluate,
            inputs={"test": self._rows("test"), "model": Path("$.training.model")},
            outputs={"evaluation": self._of_run("evaluation")},
        )

    def _read_evaluation(self) -> State:
        return self._read_json(
            "Read evaluation", f"evaluation/{EVALUATION}", "verdict", "evaluation"
        )

    def _gate(self) -> list[Any]:
        verdict = "$.evaluation.verdict"
        reached = [
            asl.reaches(
                f"{verdict}.metrics.{name}",
                f"$.run.settings.thresholds.{name}",
                less_is_better=better_direction(name) == -1,
            )
            for name in self._defaults.thresholds
        ]
        not_worse = [
            asl.not_negative(f"{verdict}.margins.{name}") for name in self._defaults.tolerance
        ]
        return [*reached, *not_worse]

    def _export(self) -> State:
        rows = {name: self._rows(name) for name in ("train", "test", "dataset")}
        made = {"evaluation": self._of_run("evaluation"), "model": Path("$.training.model")}
        return self._processing(
            "Export",
            "pipelines.training.steps.export",
            inputs=rows | made,
            outputs={"model": self._model(), "registration": self._of_run("registration")},
        )

    def _read_registration(self) -> State:
        key = f"registration/{REGISTRATION}"
        return self._read_json("Read registration", key, "metadata", "registration")

    def _read_comparison(self) -> State:
        return self._read_json(
            "Read comparison", f"registration/{COMPARISON}", "told", "comparison"
        )

    def _registering(self) -> tuple[list[State], list[State]]:
        """The states that register, and those beside them that make the model's group first."""
        if self._site.settings.registry == "mlflow":
            return [self._register_job(), self._read_package()], []
        find_group, create_group, register = self._register()
        return [self._read_registration(), find_group, register], [create_group]

    def _register_job(self) -> State:
        return self._processing(
            "Register",
            "pipelines.training.steps.register",
            inputs={"registration": self._of_run("registration")},
            outputs={"package": self._of_run("package")},
        )

    def _read_package(self) -> State:
        return self._read_json("Read package", f"package/{PACKAGE}", "ModelPackageArn", "package")

    def _register(self) -> tuple[State, State, State]:
        group = self._names.model_group(self._name)
        prefix = layout.model_prefix(self._name, "{}")
        package = {
            "ModelPackageGroupName": group,
            "ModelPackageDescription": formatted(f"{self._name}, execution {{}}", EXECUTION),
            "ModelApprovalStatus": "PendingManualApproval",
            "InferenceSpecification": {
                "Containers": [
                    {
                        "Image": self._site.image("inference"),
                        "ModelDataUrl": self._model("model.tar.gz"),
                    }
                ],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            "ModelMetrics": {
                "ModelQuality": {
                    "Statistics": {
                        "ContentType": "application/json",
                        "S3Uri": formatted(self._artifact(prefix + "metrics.json"), EXECUTION),
                    }
                }
            },
            "CustomerMetadataProperties": Path("$.registration.metadata"),
        }
        register = asl.call(
            "Register", "aws-sdk:sagemaker:createModelPackage", package, result_path="$.package"
        )
        return *self._ensure_group(group, then=register), register

    def _ensure_group(self, group: str, *, then: State) -> tuple[State, State]:
        """Make the group of the model's versions, unless it is there."""
        name = {"ModelPackageGroupName": group}
        find = asl.call(
            "Find group",
            "aws-sdk:sagemaker:describeModelPackageGroup",
            name,
            result_path="$.group",
        )
        create = asl.call(
            "Create group",
            "aws-sdk:sagemaker:createModelPackageGroup",
            name | {"ModelPackageGroupDescription": f"Versions of model '{self._name}'"},
            result_path="$.group",
        )
        asl.catch_refused(find, then=create)
        asl.catch_refused(create, then=then)
        return find, create

    def _announce(self) -> State:
        facts = {
            "event": "version_waits",
            "workflow": self._name,
            "execution.$": "$$.Execution.Id",
            "package.$": "$.package.ModelPackageArn",
            "submitted_by.$": "$.run.submitted_by",
            "metrics.$": "$.evaluation.verdict.metrics",
            "comparison.$": "$.comparison.told.lines",
            "report.$": "$.comparison.told.report",
        }
        return self._publish("Announce", f"{self._name}: a version waits for approval", facts)

    def _failure(self) -> tuple[State, State]:
        failed = asl.fail("Failed", error_path="$.error.Error", cause_path="$.error.Cause")
        facts = {
            "event": "run_failed",
            "workflow": self._name,
            "execution.$": "$$.Execution.Id",
            "error.$": "$.error.Error",
            "cause.$": "$.error.Cause",
        }
        return failed, self._publish("Tell failure", f"{self._name}: a run failed", facts)

    def _refusal(self) -> tuple[State, State]:
        cause = "States.Format('The gate refused this model: {}.', $.evaluation.verdict.shortfalls)"
        refused = asl.fail("GateRefused", error="GateRefused", cause_path=cause)
        facts = {
            "event": "gate_refused",
            "workflow": self._name,
            "execution.$": "$$.Execution.Id",
            "shortfalls.$": "$.evaluation.verdict.shortfalls",
            "verdict.$": "$.evaluation.verdict",
            "thresholds.$": "$.run.settings.thresholds",
        }
        return refused, self._publish("Tell refusal", f"{self._name}: the gate refused", facts)

    def _publish(self, name: str, subject: str, facts: Mapping[str, Any]) -> State:
        parameters = {"TopicArn": self._names.topic_arn, "Subject": subject, "Message": facts}
        return asl.call(name, "sns:publish", parameters, result_path=None)

    def _read_json(self, name: str, file: str, field: str, into: str) -> State:
        """Lift a job's JSON file into the state, at $.<into>.<field>."""
        key = layout.run_prefix(self._name, "{}") + file
        return asl.call(
            name,
            "aws-sdk:s3:getObject",
            {"Bucket": self._names.artifact_bucket, "Key": formatted(key, EXECUTION)},
            result_selector={f"{field}.$": "States.StringToJson($.Body)"},
            result_path=f"$.{into}",
        )

    def _processing(
        self, name: str, module: str, *, inputs: Mapping[str, Value], outputs: Mapping[str, Value]
    ) -> State:
        source = layout.source_key(self._name, self._site.code_sha256)
        return asl.processing(
            name,
            self._job(name.lower(), "processing"),
            entrypoint=["/bin/bash", "-c", _UNPACK, "step"],
            arguments=[module],
            inputs={"code": self._artifact(source), "run": self._of_run("run"), **inputs},
            outputs=outputs,
            result_path=None,
        )

    def _job(self, step: str, kind: str) -> Job:
        instances = "$.run.settings.instances"
        return Job(
            job_name=formatted(f"{self._name}-{step}-{{}}", EXECUTION),
            image=self._site.image("training"),
            role_arn=self._names.role_arn(Role.TRAINING_JOB),
            instance_type=Path(f"{instances}.{kind}"),
            volume_gb=Path(f"{instances}.volume_gb"),
            max_seconds=Path(f"{instances}.max_seconds"),
            spot=Path(f"{instances}.spot"),
            environment=self._site.job_environment,
            tags=[
                {"Key": "workflow", "Value": self._name},
                {"Key": "execution", "Value": Path("$$.Execution.Id")},
            ],
            network=self._site.network,
        )

    def _of_run(self, name: str) -> Path:
        """The S3 address of one output of this execution."""
        return formatted(
            self._artifact(layout.run_prefix(self._name, "{}") + f"{name}/"), EXECUTION
        )

    def _rows(self, name: str) -> Path:
        """The S3 address of one output of the run whose rows these are."""
        key = layout.run_prefix(self._name, "{}") + f"{name}/"
        return formatted(self._artifact(key), "$.preprocess.run")

    def _model(self, file: str = "") -> Path:
        prefix = layout.model_prefix(self._name, "{}")
        return formatted(self._artifact(prefix + file), EXECUTION)

    def _artifact(self, key: str) -> str:
        return f"s3://{self._names.artifact_bucket}/{key}"
