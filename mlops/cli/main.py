"""The root command: finds the groups, turns errors into messages and exit codes."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

import click

from mlops.cli.console import err
from mlops.errors import MlopsError

GROUP = "mlops.commands"


class _LazyGroup(click.Group):
    """Loads a subcommand's module only when it is used or described."""

    def _points(self) -> dict[str, EntryPoint]:
        """Those whose package is here: an image of the services has no pipelines."""
        points = entry_points(group=GROUP)
        return {p.name: p for p in points if find_spec(p.module.partition(".")[0])}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = self._points().get(cmd_name)
        if point is None:
            return None
        command = point.load()
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--clock", metavar="TIME", help="Let the platform's clock stand at TIME (never in prod)."
)
@click.option("-v", "--verbose", is_flag=True, help="Log what is done, to standard error.")
@click.version_option(package_name="feast-mlops")
def root(clock: str | None, verbose: bool) -> None:
    """Features, training workflows, models and serving on Feast and AWS.

    \b
    Examples:
      eval "$(mlops local env)"
      mlops features plan
      mlops workflows run fraud
      mlops models list fraud
      mlops --clock 2018-08-08 features upsync
    """
    if clock:
        os.environ["MLOPS_CLOCK"] = clock
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Run the command; an error of ours becomes one line and its exit code."""
    gc.set_threshold(50_000)  # importing makes objects that stay, and looking at them takes time
    atexit.register(gc.freeze)  # at the end, too
    try:
        root.main(standalone_mode=False)
    except click.exceptions.Abort:
        err.print("interrupted", style="red")
        sys.exit(130)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except MlopsError as exc:
        err.print(f"error: {exc}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(exc.exit_code)
