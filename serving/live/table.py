"""The board as tables for who watches, and as lines for who keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serving.live.board import Board, ModelRow, ReplicaRow, VersionRow

_STYLES = {"ready": "green", "not ready": "yellow", "down": "bold red"}
_NONE = "-"
_FEWER = ("req/s", "p50 ms", "p99 ms", "err/s", "fallback/s", "replicas")
_NUMBERS = (*_FEWER[:1], "inst/s", *_FEWER[1:-1], "inference p99 ms", "batch", "replicas")
_WIDE = 120
"""Columns of a terminal in which all of them have room."""
_SLOW_MS = 25.0
"""From here on a p99 is shown in yellow: what others promise of such reads."""


def build_tables(board: Board, *, width: int) -> RenderableType:
    """Versions, then features and errors by model, then the processes, then what is wrong.

    width: columns of the terminal; where they are few, the less important ones are left out.
    """
    parts: list[RenderableType] = [_versions(board.versions, wide=width >= _WIDE), ""]
    if any(row.errors or row.features for row in board.models):
        parts += [_models(board.models), ""]
    parts += [_replicas(board.replicas), ""]
    parts += [Text(f"! {line}", "yellow") for line in _problems(board)]
    return Group(*parts)


def build_lines(board: Board, *, at: str) -> Iterator[str]:
    """One line for each version, and one for each process that is not ready."""
    for row in board.versions:
        yield (
            f"{at} {row.model} {row.version} {row.use or '-'}: {row.requests:.1f} requests/s, "
            f"p50 {_ms(row.p50_ms)} ms, p99 {_ms(row.p99_ms)} ms, {row.errors:.1f} errors/s, "
            f"{row.fallbacks:.1f} fallbacks/s, on {row.replicas} of {_inference(board)}"
        )
    for model in board.models:
        if model.errors or model.features:
            yield (
                f"{at} {model.model}: {_rates(model.errors) or 'no errors'}; "
                f"features {_shares(model.features) or 'none'}"
            )
    for line in _problems(board):
        yield f"{at} {line}"


def _problems(board: Board) -> Iterator[str]:
    for replica in board.replicas:
        for problem in replica.problems:
            yield f"{replica.part} {_host(replica.url)}: {problem}"


def _versions(rows: Sequence[VersionRow], *, wide: bool) -> Table:
    table = _table("Versions", ["model", "ver", "use"], list(_NUMBERS if wide else _FEWER))
    for row in rows:
        numbers = {
            "req/s": Text(_rate(row.requests)),
            "inst/s": Text(_rate(row.instances)),
            "p50 ms": Text(_ms(row.p50_ms)),
            "p99 ms": Text(_ms(row.p99_ms), _over(row.p99_ms, _SLOW_MS)),
            "err/s": Text(_rate(row.errors), _over(row.errors, 0, "red")),
            "fallback/s": Text(_rate(row.fallbacks), _over(row.fallbacks, 0)),
            "inference p99 ms": Text(_ms(row.inference_p99_ms)),
            "batch": Text(_NONE if row.batch is None else f"{row.batch:.1f}"),
            "replicas": Text(_loaded(row), _over(row.failed, 0, "red")),
        }
        shown = [numbers[name] for name in (_NUMBERS if wide else _FEWER)]
        table.add_row(Text(row.model), str(row.version), Text(row.use), *shown)
    if not rows:
        table.add_row(Text("No version is active or loaded.", "yellow"))
    return table


def _models(rows: Iterable[ModelRow]) -> Table:
    table = _table("Features and errors", ["model", "features", "most wanting", "err/s"], [])
    for row in rows:
        table.add_row(
            Text(row.model),
            Text(_shares(row.features) or _NONE),
            Text(_shares(row.wanting) or _NONE),
            Text(_rates(row.errors) or _NONE, "red" if row.errors else ""),
        )
    return table


def _replicas(rows: Iterable[ReplicaRow]) -> Table:
    numbers = ["req/s", "p99 ms", "under way", "waiting", "cores", "MB"]
    table = _table("Processes", ["service", "address", "state"], numbers)
    for row in rows:
        told = [
            _rate(row.requests),
            _ms(row.p99_ms),
            str(row.under_way),
            "" if row.waiting is None else str(row.waiting),
            f"{row.cpu:.2f}",
            f"{row.memory_mb:.0f}",
        ]
        shown = [_NONE] * len(told) if row.state == "down" else told
        state = Text(row.state, _STYLES[row.state])
        table.add_row(str(row.part), Text(_host(row.url)), state, *shown)
    return table


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(
        *texts,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        pad_edge=False,
    )
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _host(url: str) -> str:
    return url.removeprefix("http://")


def _ms(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _rate(value: float) -> str:
    return "0" if value == 0 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _over(value: float | None, limit: float, style: str = "yellow") -> str:
    return style if value is not None and value > limit else ""


def _loaded(row: VersionRow) -> str:
    return f"{row.replicas}, {row.failed} failed" if row.failed else str(row.replicas)


def _inference(board: Board) -> str:
    count = sum(1 for row in board.replicas if row.part == "inference")
    return f"{count} replica{'' if count == 1 else 's'}"


def _rates(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_rate(rate)}" for name, rate in rates.items())


def _shares(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_percent(part)}" for name, part in parts.items())


def _percent(part: float) -> str:
    """Never 100% or 0% of what is not all or none."""
    if 0.9995 <= part < 1:
        return ">99.9%"
    if 0 < part < 0.0005:
        return "<0.1%"
    return f"{part:.1%}"
