"""Where in the data bucket downsync keeps what.

downsync/tables/<table>/day=<day>/<file>.parquet   rows, as Athena reads them
downsync/dead/day=<day>/<file>.jsonl               events that no table could hold, with reasons
downsync/shards/<stream>/<shard>.json              who reads a shard, how far, and what it counted
downsync/memory/<stream>/<shard>/<id>.arrow        what its reader remembers
downsync/staged/<stream>/<shard>/<id>…             files that no commit names yet
"""

from __future__ import annotations

ROOT = "downsync/"


def table_prefix(table: str) -> str:
    return f"{ROOT}tables/{table}/"


def day_prefix(table: str, day: str) -> str:
    return f"{table_prefix(table)}day={day}/"


def dead_prefix(day: str) -> str:
    return f"{ROOT}dead/day={day}/"


def shards_prefix(stream: str) -> str:
    return f"{ROOT}shards/{stream}/"


def shard_key(stream: str, shard: str) -> str:
    return f"{shards_prefix(stream)}{shard}.json"


def memory_prefix(stream: str, shard: str) -> str:
    return f"{ROOT}memory/{stream}/{shard}/"


def staged_prefix(stream: str, shard: str) -> str:
    return f"{ROOT}staged/{stream}/{shard}/"
