"""An MLflow server on a free port: `python -m tests.mlflow_server sqlite:////…`; prints the port.

MLflow's own application without the workers that `mlflow server` starts beside it. Its webhooks may
tell this machine, and what is registered holds at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.registry.mlflow_rest import MlflowServer

WEBHOOKS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "bm9ib2R5IGVsc2Uga25vd3MgdGhpcyBrZXkgb2Ygb3U=",
}
"""MLflow's own settings."""


@contextmanager
def running(folder: Path) -> Iterator[MlflowServer]:
    """A server over an empty database in the folder; it asks nobody who they are."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, f"sqlite:///{folder}/mlflow.db"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, (folder / "log").read_text()
            yield MlflowServer(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def main(store: str) -> None:
    os.environ |= WEBHOOKS
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = os.environ["_MLFLOW_SERVER_REGISTRY_STORE"] = store
    from mlflow.server import app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)  # noqa: T201 - what the parent waits for
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
