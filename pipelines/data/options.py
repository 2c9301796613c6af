"""Options that commands share which take files in."""

from __future__ import annotations

import click

timezone_option = click.option(
    "--timezone", metavar="ZONE", help="Zone of times that name none, e.g. UTC."
)
currency_option = click.option(
    "--currency", metavar="CODE", help="Currency of rows that name none, e.g. EUR."
)
bad_share_option = click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Refuse a whole file when a larger share of its rows is bad.",
)
