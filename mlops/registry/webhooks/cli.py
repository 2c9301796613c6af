"""`mlops models webhook`: have MLflow tell the platform of every change in its registry."""

from __future__ import annotations

import click

from mlops.cli.console import json_option, out, print_json


@click.command()
@click.option("--url", help="Where it is to be told; the receiver behind MLflow's own address.")
@click.option("--remove", is_flag=True, help="Take the webhook out.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@json_option
def webhook(url: str | None, remove: bool, dry_run: bool, as_json: bool) -> None:
    """Have MLflow tell the platform of every change in its registry, as SageMaker's does by itself.

    For an administrator of MLflow, once for each environment and whenever its secret was changed.
    Ends with a delivery of MLflow's that the receiver took. Running it again changes nothing.

    \b
    Examples:
      mlops models webhook --dry-run
      mlops models webhook
      mlops models webhook --url https://hooks.example.com/registry --json
      mlops models webhook --remove
    """
    from mlops.registry.webhooks.desk import open_webhook_desk
    from mlops.settings import load_settings

    desk = open_webhook_desk(load_settings(), url=url)
    done = desk.remove(dry_run=dry_run) if remove else desk.keep(dry_run=dry_run)
    if as_json:
        print_json(done)
        return
    would = "would " if dry_run else ""
    for step in done["steps"]:
        out.print(f"{would}{step}", highlight=False, markup=False)
    if not done["steps"]:
        out.print("Nothing to change.", highlight=False)
    if "answered" in done:
        out.print(
            f"{done['url']} took an example of MLflow's ({done['answered']}).",
            highlight=False,
            markup=False,
        )
