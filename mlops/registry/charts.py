"""Charts as inline SVG: curves of two models, and intervals around zero. Values in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLORS = ("#7a8794", "#0b66c3")
"""Of the first and of the second version."""
_WIDTH, _HEIGHT = 320, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 28, 42
_TICKS = 5
_ROW = 34


@dataclass(frozen=True)
class Line:
    """A named curve; x and y rise from 0."""

    name: str
    points: Sequence[tuple[float, float]]
    color: str
    dots: bool = False


@dataclass(frozen=True)
class Axes:
    """What the axes show, and how far they reach."""

    title: str
    x: str
    y: str
    x_end: float = 1.0
    y_end: float = 1.0

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (_WIDTH - _LEFT - _RIGHT) * x / self.x_end
        up = (_HEIGHT - _TOP - _BOTTOM) * y / self.y_end
        return _LEFT + across, _HEIGHT - _BOTTOM - up


def line_chart(axes: Axes, lines: Sequence[Line], *, diagonal: bool = False) -> str:
    """Curves over a grid from 0 to the axes' ends."""
    end = min(axes.x_end, axes.y_end)
    guide = _polyline(axes, [(0.0, 0.0), (end, end)], "#b9c2cb", dashed=True) if diagonal else ""
    drawn = "".join(
        _polyline(axes, line.points, line.color) + (_dots(axes, line) if line.dots else "")
        for line in lines
    )
    labels = (
        _text(_WIDTH / 2, 16, axes.title, "middle", bold=True)
        + _text(_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2, _HEIGHT - 8, axes.x, "middle")
        + f'<g transform="rotate(-90 12 {_HEIGHT / 2})">'
        + _text(12, _HEIGHT / 2, axes.y, "middle")
        + "</g>"
    )
    return _svg(_WIDTH, _HEIGHT, axes.title, _grid(axes) + guide + drawn + labels)


@dataclass(frozen=True)
class Spread:
    """A value with its interval, or without one."""

    name: str
    value: float
    interval: tuple[float, float] | None
    color: str


def spread_chart(title: str, spreads: Sequence[Spread]) -> str:
    """One row per value, each on a scale of its own with 0 in the middle."""
    width, middle, half = 560, 380.0, 140.0
    rows = []
    for number, spread in enumerate(spreads):
        y = _TOP + _ROW * number + _ROW / 2
        low, high = spread.interval or (spread.value, spread.value)
        scale = max(abs(low), abs(high), abs(spread.value)) or 1.0
        a, b, at = (middle + half * v / scale for v in (low, high, spread.value))
        rows.append(
            f'<line x1="{middle - half}" x2="{middle + half}" y1="{y}" y2="{y}" stroke="#e4e8ec"/>'
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{spread.color}" '
            f'stroke-width="4" stroke-linecap="round"/>'
            f'<circle cx="{at:.1f}" cy="{y}" r="5" fill="{spread.color}"/>'
            + _text(middle - half - 12, y + 4, spread.name, "end")
        )
    height = _TOP + _ROW * len(spreads) + 24
    zero = (
        f'<line x1="{middle}" x2="{middle}" y1="{_TOP}" y2="{height - 22}" stroke="#7a8794" '
        f'stroke-dasharray="3 3"/>' + _text(middle, height - 8, "no difference", "middle")
    )
    heading = _text(width / 2, 16, title, "middle", bold=True)
    return _svg(width, height, title, heading + zero + "".join(rows))


def _grid(axes: Axes) -> str:
    parts = []
    for step in range(_TICKS):
        share = step / (_TICKS - 1)
        x, y = axes.place(share * axes.x_end, share * axes.y_end)
        (left, bottom), (right, top) = axes.place(0, 0), axes.place(axes.x_end, axes.y_end)
        parts.append(
            f'<path d="M{x:.1f} {bottom}V{top:.1f}M{left} {y:.1f}H{right:.1f}" stroke="#e4e8ec"/>'
            + _text(x, bottom + 14, f"{share * axes.x_end:.3g}", "middle")
            + _text(left - 5, y + 4, f"{share * axes.y_end:.3g}", "end")
        )
    return "".join(parts)


def _polyline(
    axes: Axes, points: Sequence[tuple[float, float]], color: str, *, dashed: bool = False
) -> str:
    placed = " ".join("{:.1f},{:.1f}".format(*axes.place(x, y)) for x, y in points)
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<polyline points="{placed}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'


def _dots(axes: Axes, line: Line) -> str:
    places = [axes.place(x, y) for x, y in line.points]
    return "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.color}"/>' for x, y in places
    )


def _text(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _svg(width: int, height: int, title: str, inside: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}" font-size="11" '
        f'font-family="system-ui, sans-serif" fill="#28323c">{inside}</svg>'
    )
