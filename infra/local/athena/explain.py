"""EXPLAIN: what a statement would read and give, in the formats that Athena documents.

The plan names the statement's output and its table scans, with the columns and the partitions that
are read. How the engine joins and sorts in between is its own affair, and not Athena's plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.local.athena.catalog import Column, Partition
from infra.local.athena.errors import QueryFailed, unsupported
from infra.local.athena.scope import Field, Leaf

FORMATS = ("TEXT", "JSON", "GRAPHVIZ")
TYPES = ("LOGICAL", "DISTRIBUTED", "VALIDATE")
_MOST_SHOWN = 20
"""Partitions that a plan lists."""


@dataclass(frozen=True)
class PlanNode:
    name: str
    descriptor: str
    outputs: tuple[tuple[str, str], ...] = ()
    """Names and types of its columns."""
    details: tuple[str, ...] = ()
    children: tuple[PlanNode, ...] = field(default=())


def check_options(form: str, kind: str) -> None:
    """Raises what Athena says to an option that it does not have."""
    if kind == "IO":
        raise unsupported("EXPLAIN (TYPE IO); engine version 3 has none, either")
    for name, given, known in (("FORMAT", form, FORMATS), ("TYPE", kind, TYPES)):
        if given not in known:
            raise QueryFailed("SYNTAX_ERROR", f"EXPLAIN has no {name} {given}; it has {known}")


def output(fields: Sequence[Field], scans: Sequence[PlanNode]) -> PlanNode:
    """What a query gives, over the tables that it reads."""
    names = ", ".join(item.shown for item in fields)
    columns = tuple((item.shown, str(item.type)) for item in fields)
    return PlanNode("Output", f"[{names}]", columns, children=tuple(scans))


def scan(leaf: Leaf, partitions: Sequence[Partition] | None) -> PlanNode:
    """One table: the columns that are read, and the partitions that are left."""
    table = leaf.table
    used = [column for column in table.all_columns if column.name in leaf.used]
    keys = {key.name for key in table.partition_keys}
    details = [_column(column, key=column.name in keys) for column in used]
    if partitions is not None:
        details += _partitions(partitions)
    outputs = tuple((column.name, str(column.type)) for column in used)
    return PlanNode("TableScan", f"[{table.full_name}]", outputs, tuple(details))


def _column(column: Column, *, key: bool) -> str:
    kind = "PARTITION_KEY" if key else "REGULAR"
    return f"{column.name} := {column.name}:{column.hive}:{kind}"


def _partitions(partitions: Sequence[Partition]) -> Iterator[str]:
    shown = ", ".join(f"[{', '.join(p.values)}]" for p in partitions[:_MOST_SHOWN])
    more = ", …" if len(partitions) > _MOST_SHOWN else ""
    yield f":: {len(partitions)} partitions [{shown}{more}]"


def render(node: PlanNode, form: str) -> list[str]:
    """The plan's lines in TEXT, JSON or GRAPHVIZ."""
    if form == "JSON":
        return json.dumps(_document(node), indent=3).split("\n")
    return list(_graph(node) if form == "GRAPHVIZ" else _text(node, 0))


def _text(node: PlanNode, depth: int) -> Iterator[str]:
    indent = "    " * depth
    columns = ", ".join(f"{name}:{kind}" for name, kind in node.outputs)
    yield f"{indent}- {node.name}{node.descriptor} => [{columns}]"
    for detail in node.details:
        yield f"{indent}        {detail}"
    for child in node.children:
        yield from _text(child, depth + 1)


def _document(node: PlanNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "descriptor": node.descriptor,
        "outputs": [{"symbol": name, "type": kind} for name, kind in node.outputs],
        "details": list(node.details),
        "children": [_document(child) for child in node.children],
    }


def _graph(root: PlanNode) -> Iterator[str]:
    nodes = list(_walk(root))
    names = {id(node): f"plannode_{number}" for number, node in enumerate(nodes, start=1)}
    yield "digraph logical_plan {"
    for node in nodes:
        label = f"{node.name}|{node.descriptor}".replace('"', '\\"')
        yield f'{names[id(node)]}[label="{{{label}}}", style="rounded, filled", shape=record];'
    for node in nodes:
        for child in node.children:
            yield f"{names[id(node)]} -> {names[id(child)]};"
    yield "}"


def _walk(node: PlanNode) -> Iterator[PlanNode]:
    yield node
    for child in node.children:
        yield from _walk(child)
