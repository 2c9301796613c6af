"""The `mlops` command. Its groups are entry points ('mlops.commands'), loaded when used."""

from mlops.cli.main import main

__all__ = ["main"]
