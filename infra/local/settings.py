"""What is fixed about the local AWS, and where its state lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
"""Everything of the local AWS listens here and nowhere else."""

PORT = 4599
INFERENCE_PORT = 4601
PROXY_PORT = 4600
HEALTH = "/_local/health"
"""The only path that is not AWS's."""

ACCOUNT = "000000000000"
REGION = "ap-northeast-2"

ADMIN_ACCESS_KEY = "LOCALADMIN"
ADMIN_SECRET_KEY = "local"  # noqa: S105 - signatures are not verified; there is nothing to guard

STATE = Path(".mlops/local")
"""The default state directory, below the working directory."""


@dataclass(frozen=True)
class StateDir:
    """The files of one local AWS."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> StateDir:
        return cls(root.resolve())

    @property
    def ministack(self) -> Path:
        """MiniStack's services as JSON, one file each."""
        return self.root / "ministack"

    @property
    def objects(self) -> Path:
        """The bodies of S3 objects."""
        return self.root / "s3"

    @property
    def moto(self) -> Path:
        """Step Functions and SageMaker, as JSON."""
        return self.root / "moto"

    @property
    def kinesis(self) -> Path:
        """Streams and their records."""
        return self.root / "kinesis"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def calls(self) -> Path:
        """One JSON line per recorded API call: service, operation, ARN, time."""
        return self.root / "calls.jsonl"

    @property
    def running(self) -> Path:
        """Which processes run on which ports, while they do."""
        return self.root / "running.json"

    @property
    def scratch(self) -> Path:
        """Temporary files of the running process."""
        return self.root / "scratch"

    @property
    def serving(self) -> Path:
        """Which serving processes were started beside it."""
        return self.root / "serving.json"

    @property
    def lock(self) -> Path:
        """Held by the one process that may write here."""
        return self.root / "lock"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow.db"
