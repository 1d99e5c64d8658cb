"""Plots as SVG, written into the page: points with spread, and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT = 520, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 14, 44
COLOURS: Final = ("#1f6fb4", "#d1495b", "#3a8f5c", "#8a5fb0", "#d98a2b", "#3aa0a8", "#7a6652", "#5b6770")
SHAPES: Final = (
    "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0",
    "M-5.5,-5.5h11v11h-11z",
    "M0,-7l6.5,12h-13z",
    "M0,-7.5l7.5,7.5l-7.5,7.5l-7.5,-7.5z",
)
"""Methods differ in shape, too: colours alone not everybody tells apart."""

Spread = Sequence[float]


class _Frame:
    """Axes around a drawing; values become pixels."""

    def __init__(self, x: Sequence[float], y: Sequence[float], labels: tuple[str, str], shares: bool) -> None:
        self.x, self.y = _ticks(x, shares), _ticks(y, True)
        self.labels, self.shares = labels, shares

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[-1] - self.x[0])
        up = (y - self.y[0]) / (self.y[-1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def draw(self, inside: Sequence[str], name: str) -> str:
        parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">']
        for value in self.x:
            x, low = self.place(value, self.y[0])
            _, high = self.place(value, self.y[-1])
            text = f"{value:.0%}" if self.shares else f"{value:,.0f}"
            parts.append(f'<path class="grid" d="M{x:.1f},{low:.1f}V{high:.1f}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{low + 16:.1f}" text-anchor="middle">{text}</text>')
        for value in self.y:
            left, y = self.place(self.x[0], value)
            right, _ = self.place(self.x[-1], value)
            parts.append(f'<path class="grid" d="M{left:.1f},{y:.1f}H{right:.1f}"/>')
            parts.append(f'<text class="tick" x="{left - 7:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:.0%}</text>')
        across, up = map(escape, self.labels)
        parts.append(
            f'<text class="axis" x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>'
        )
        parts.append(
            f'<text class="axis" transform="translate(13 {(HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
            f"{up}</text>"
        )
        return "".join([*parts, *inside, "</svg>"])


def points(values: Mapping[str, tuple[Spread, Spread]], labels: tuple[str, str], order: Sequence[str]) -> str:
    """A point for each name at its means, with lines from its least to its most; both axes are shares."""
    frame = _Frame(
        [value for x, _ in values.values() for value in x],
        [value for _, y in values.values() for value in y],
        labels,
        True,
    )
    inside = []
    for name, (x, y) in values.items():
        colour, shape = mark(order, name)
        middle = (sum(x) / len(x), sum(y) / len(y))
        for one, other in (((min(x), middle[1]), (max(x), middle[1])), ((middle[0], min(y)), (middle[0], max(y)))):
            (x1, y1), (x2, y2) = frame.place(*one), frame.place(*other)
            inside.append(f'<path d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>')
        left, top = frame.place(*middle)
        inside.append(f'<path d="{shape}" transform="translate({left:.1f} {top:.1f})" fill="{colour}"/>')
    return frame.draw(inside, f"{labels[1]} against {labels[0]}")


def lines(values: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str], order: Sequence[str]) -> str:
    """A line for each name; the upper axis is shares."""
    frame = _Frame(
        [0.0, *(x for each in values.values() for x, _ in each)],
        [y for each in values.values() for _, y in each],
        labels,
        False,
    )
    inside = []
    for name, each in values.items():
        colour, shape = mark(order, name)
        placed = [frame.place(*point) for point in each]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        inside.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = placed[-1]
        inside.append(f'<path d="{shape}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>')
    return frame.draw(inside, f"{labels[1]} by {labels[0]}")


def mark(order: Sequence[str], name: str) -> tuple[str, str]:
    """Colour and shape of a name, the same in every plot."""
    number = list(order).index(name)
    return COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]


def key(order: Sequence[str], titles: Mapping[str, str]) -> str:
    """What each mark means."""
    found = []
    for name in order:
        colour, shape = mark(order, name)
        icon = f'<svg class="mark" viewBox="-9 -9 18 18"><path d="{shape}" fill="{colour}"/></svg>'
        found.append(f"<li>{icon}{escape(titles[name])}</li>")
    return f'<ul class="key">{"".join(found)}</ul>'


def _ticks(values: Sequence[float], shares: bool) -> list[float]:
    """About five round numbers around the values; shares stay between 0 and 1."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    steps = (0.01, 0.02, 0.05, 0.1, 0.2) if shares else tuple(d * 10**e for e in range(0, 9) for d in (1, 2, 5))
    step = next((each for each in steps if (high - low) / each <= 4.5), steps[-1])
    first = int(low / step + 1e-9)
    found = [first * step]
    while found[-1] < high - 1e-9 or len(found) < 2:
        found.append((first + len(found)) * step)
    if shares and found[-1] > 1 + 1e-9:
        found = [each - step for each in found] if found[0] >= step else found[:-1]
    return found
