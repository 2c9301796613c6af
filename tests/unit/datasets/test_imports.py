"""Looking at datasets is quick."""

from __future__ import annotations

import subprocess
import sys


def test_looking_at_datasets_loads_no_feast() -> None:
    code = "import sys, pipelines.datasets.desk; sys.exit('feast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
