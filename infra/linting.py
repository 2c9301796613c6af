"""`make lint-infra`: checkov over every environment's templates, and why what it finds stays.

An exception is for one check and one type of resource, with its reason. One that nothing needs
any more is a finding as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.synth import BUILD, synthesize
from mlops.errors import JobFailed, SettingsError
from mlops.names import Names

CHECKOV = BUILD / "lint" / "bin" / "checkov"
ENVIRONMENTS = ("dev", "stage", "prod")
_OWN_KEY = "AWS's own key: who may read is said by role policies, and a key of ours adds no reader"

EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("CKV_AWS_18", "AWS::S3::Bucket"): (
        "who reads and writes is recorded by CloudTrail's data events, which the account owns"
    ),
    ("CKV_AWS_21", "AWS::S3::Bucket"): "staging holds query results for a week, and nothing else",
    ("CKV_AWS_26", "AWS::SNS::Topic"): (
        "CloudWatch cannot publish with AWS's own key, and alarms are names and numbers"
    ),
    ("CKV_AWS_51", "AWS::ECR::Repository"): (
        "jobs and services ask for 'latest', and what it was before is kept by its digest"
    ),
    ("CKV_AWS_82", "AWS::Athena::WorkGroup"): (
        "an enforced place of results makes Athena refuse every CREATE TABLE AS with a place"
    ),
    ("CKV_AWS_91", "AWS::ElasticLoadBalancingV2::LoadBalancer"): (
        "each request is a line of the proxy's own log, with who asked"
    ),
    ("CKV_AWS_109", "AWS::IAM::Role"): (
        "Lambda and SageMaker make network interfaces as the role, of ids that nobody knows before"
    ),
    ("CKV_AWS_111", "AWS::IAM::Role"): (
        "what AWS offers on all resources only is listed with its reason (permissions.UNSCOPED)"
    ),
    ("CKV_AWS_115", "AWS::Lambda::Function"): (
        "a deployer runs a few times a day; a reserved share would be taken from others"
    ),
    ("CKV_AWS_116", "AWS::Lambda::Function"): "what fails goes to the events topic, on_failure",
    ("CKV_AWS_117", "AWS::Lambda::Function"): "it calls AWS alone, and nothing in the network",
    ("CKV_AWS_118", "AWS::RDS::DBInstance"): "MLflow's database is small; CloudWatch's minute does",
    ("CKV_AWS_119", "AWS::DynamoDB::Table"): _OWN_KEY,
    ("CKV_AWS_136", "AWS::ECR::Repository"): _OWN_KEY,
    ("CKV_AWS_149", "AWS::SecretsManager::Secret"): _OWN_KEY,
    (
        "CKV_AWS_157",
        "AWS::RDS::DBInstance",
    ): "dev has one; stage and prod have a second to take over",
    ("CKV_AWS_161", "AWS::RDS::DBInstance"): (
        "the server alone enters, by a password of Secrets Manager, and no address but its own may"
    ),
    ("CKV_AWS_158", "AWS::Logs::LogGroup"): _OWN_KEY,
    ("CKV_AWS_173", "AWS::Lambda::Function"): "its variables are names, and hold no secret",
}


@dataclass(frozen=True, order=True)
class Finding:
    """A check that a resource fails."""

    check: str
    type: str
    resource: str
    template: str
    says: str

    def __str__(self) -> str:
        return f"{self.template}: {self.type} {self.resource}: {self.check} {self.says}"


def unexcused(
    found: Iterable[Finding], exceptions: Mapping[tuple[str, str], str] = EXCEPTIONS
) -> list[str]:
    """What must be corrected: findings without an exception, and exceptions without a finding."""
    findings = sorted(set(found))
    needed = {(finding.check, finding.type) for finding in findings}
    wrong = [str(f) for f in findings if (f.check, f.type) not in exceptions]
    unneeded = sorted(exceptions.keys() - needed)
    return wrong + [f"{check} {kind}: the exception is not needed" for check, kind in unneeded]


def read_findings(report: str) -> list[Finding]:
    """From checkov's JSON: one document, or one for each kind of file."""
    parsed = json.loads(report)
    parts = parsed if isinstance(parsed, list) else [parsed]
    return [
        Finding(
            check=failed["check_id"],
            type=failed["resource"].partition(".")[0],
            resource=failed["resource"].partition(".")[2],
            template=Path(failed["file_path"]).stem,
            says=failed["check_name"],
        )
        for part in parts
        for failed in part["results"]["failed_checks"]
    ]


def check_templates(checkov: Path = CHECKOV) -> list[str]:
    """Run checkov. Raises SettingsError where it is not installed, JobFailed where it cannot."""
    if not checkov.exists():
        raise SettingsError(f"{checkov} is missing. Run 'make lint-infra'.")
    with tempfile.TemporaryDirectory() as folder:
        for env in ENVIRONMENTS:
            names = Names("mlops", env, "123456789012", "ap-northeast-2")
            for stack in synthesize(names):
                (Path(folder) / f"{stack.name}.json").write_text(stack.body, encoding="utf-8")
        return unexcused(_run(checkov, folder))


def _run(checkov: Path, folder: str) -> list[Finding]:
    asked = ["--framework", "cloudformation", "--compact", "--quiet", "--output", "json"]
    done = subprocess.run(  # noqa: S603 -- installed from our lock, arguments of this module
        [checkov, "--directory", folder, *asked, "--skip-download"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1}:
        raise JobFailed(f"checkov failed:\n{done.stderr.strip()}")
    return read_findings(done.stdout)


def main() -> int:
    wrong = check_templates()
    for line in wrong:
        print(line, file=sys.stderr)  # noqa: T201 -- a make target's own output
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
