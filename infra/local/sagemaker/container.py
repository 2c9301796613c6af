"""What a job's container sees: folders, files, command and environment. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = "/opt/ml"
HOST = "localhost"
"""SageMaker names its hosts algo-1, …; the toolkit looks the name up, so it must resolve."""

_MENTION = re.compile(rf"(?<![\w./-]){ROOT}(?![\w.-])")


@dataclass(frozen=True)
class Input:
    """Objects under an S3 address, and the folder (below the root) that they are loaded into."""

    uri: str
    path: str


@dataclass(frozen=True)
class Output:
    """A folder below the root, and the S3 address that its files are stored under."""

    path: str
    uri: str
    continuous: bool = False
    """Stored even when the job fails, as if uploaded while it ran."""


@dataclass(frozen=True)
class Container:
    """A job, ready to be laid out under a folder of its own."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folders: tuple[str, ...]
    files: Mapping[str, Any]
    """JSON documents by path below the root."""
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...] = ()
    code: tuple[str, ...] = ()
    """Folders below the root whose modules win over everything installed."""
    workdir: str = "."
    seconds: int = 86_400
    metrics: Mapping[str, str] = field(default_factory=dict)
    """Regular expressions with one group, by metric name."""


def relocate(text: str, base: Path) -> str:
    """The text with every mention of /opt/ml pointing below `base`."""
    return _MENTION.sub(lambda _: str(base), text)


def below_root(path: str) -> str:
    """'/opt/ml/processing/x' as 'processing/x'. Raises ValueError when it lies elsewhere."""
    parts = Path(path).parts
    if parts[:3] != ("/", "opt", "ml") or ".." in parts:
        raise ValueError(f"'{path}' is not below {ROOT}")
    return str(Path(*parts[3:]))


def lay_out(container: Container, base: Path) -> None:
    """Make the container's folders and files; paths in the files lead below `base`."""
    for folder in (".", *container.folders, container.workdir):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for name, content in container.files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(relocate(json.dumps(content, indent=1), base), encoding="utf-8")


def process_environment(
    container: Container, base: Path, *, platform: Mapping[str, str]
) -> dict[str, str]:
    """Everything that the job's process sees; nothing of the server's own environment is in it.

    platform: PATH, credentials, endpoint and region. The job's own variables win over these,
    except for the credentials.
    """
    own = {name: relocate(value, base) for name, value in container.environment.items()}
    code = [str(base / folder) for folder in container.code]
    packages = base / "packages"
    search = [*code, *filter(None, [own.get("PYTHONPATH")]), str(packages)]
    return {
        "HOME": str(base),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        # What a job installs goes into its own folder, never into this environment.
        "PIP_TARGET": str(packages),
        **platform,
        **own,
        **{name: value for name, value in platform.items() if name.startswith("AWS_")},
        "PYTHONPATH": ":".join(search),
        "SAGEMAKER_BASE_DIR": str(base),
    }
