"""Plots as inline SVG: scatter plots with ranges, and line plots."""

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
"""Markers differ in shape, too, for readers who cannot tell the colours apart."""


class _Axes:
    """The axes of a plot; they convert values to pixels.

    Args:
        x: Values of the horizontal axis.
        y: Values of the vertical axis, as fractions.
        labels: Labels of both axes.
        x_is_percentage: Whether the values of `x` are fractions, too.
    """

    def __init__(self, x: Sequence[float], y: Sequence[float], labels: tuple[str, str], x_is_percentage: bool) -> None:
        self.x, self.y = _ticks(x, x_is_percentage), _ticks(y, True)
        self.labels, self.x_is_percentage = labels, x_is_percentage

    def to_pixels(self, x: float, y: float) -> tuple[float, float]:
        x_fraction = (x - self.x[0]) / (self.x[-1] - self.x[0])
        y_fraction = (y - self.y[0]) / (self.y[-1] - self.y[0])
        return LEFT + x_fraction * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y_fraction * (HEIGHT - TOP - BOTTOM)

    def draw(self, content: Sequence[str], description: str) -> str:
        """Returns the plot as SVG: grid, labels and `content`."""
        parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">']
        for value in self.x:
            x, low = self.to_pixels(value, self.y[0])
            _, high = self.to_pixels(value, self.y[-1])
            text = f"{value:.0%}" if self.x_is_percentage else f"{value:,.0f}"
            parts.append(f'<path class="grid" d="M{x:.1f},{low:.1f}V{high:.1f}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{low + 16:.1f}" text-anchor="middle">{text}</text>')
        for value in self.y:
            left, y = self.to_pixels(self.x[0], value)
            right, _ = self.to_pixels(self.x[-1], value)
            parts.append(f'<path class="grid" d="M{left:.1f},{y:.1f}H{right:.1f}"/>')
            parts.append(f'<text class="tick" x="{left - 7:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:.0%}</text>')
        x_label, y_label = map(escape, self.labels)
        parts.append(
            f'<text class="axis" x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{x_label}</text>'
        )
        parts.append(
            f'<text class="axis" transform="translate(13 {(HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
            f"{y_label}</text>"
        )
        return "".join([*parts, *content, "</svg>"])


def scatter_plot(
    values: Mapping[str, tuple[Sequence[float], Sequence[float]]], labels: tuple[str, str], order: Sequence[str]
) -> str:
    """Draws one marker per name at the means of its values, with lines from minimum to maximum.

    Args:
        values: By name, the x and y values of all seeds, as fractions.
        labels: Labels of both axes.
        order: All names, which decides their markers.

    Returns:
        The plot as SVG.
    """
    axes = _Axes(
        [value for x_values, _ in values.values() for value in x_values],
        [value for _, y_values in values.values() for value in y_values],
        labels,
        True,
    )
    content = []
    for name, (x_values, y_values) in values.items():
        colour, shape = marker(order, name)
        x_mean, y_mean = sum(x_values) / len(x_values), sum(y_values) / len(y_values)
        x_range = (min(x_values), y_mean), (max(x_values), y_mean)
        y_range = (x_mean, min(y_values)), (x_mean, max(y_values))
        for start, end in (x_range, y_range):
            (x1, y1), (x2, y2) = axes.to_pixels(*start), axes.to_pixels(*end)
            content.append(f'<path d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>')
        x, y = axes.to_pixels(x_mean, y_mean)
        content.append(f'<path d="{shape}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>')
    return axes.draw(content, f"{labels[1]} against {labels[0]}")


def line_plot(
    curves: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str], order: Sequence[str]
) -> str:
    """Draws one line per name.

    Args:
        curves: By name, points (x, y), with y as a fraction.
        labels: Labels of both axes.
        order: All names, which decides their markers.

    Returns:
        The plot as SVG.
    """
    axes = _Axes(
        [0.0, *(x for curve in curves.values() for x, _ in curve)],
        [y for curve in curves.values() for _, y in curve],
        labels,
        False,
    )
    content = []
    for name, curve in curves.items():
        colour, shape = marker(order, name)
        points = [axes.to_pixels(*point) for point in curve]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        content.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = points[-1]
        content.append(f'<path d="{shape}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>')
    return axes.draw(content, f"{labels[1]} by {labels[0]}")


def marker(order: Sequence[str], name: str) -> tuple[str, str]:
    """Returns the colour and shape of a name's marker, the same in every plot."""
    index = list(order).index(name)
    return COLOURS[index % len(COLOURS)], SHAPES[index % len(SHAPES)]


def legend(order: Sequence[str], titles: Mapping[str, str]) -> str:
    """Returns a legend of the markers as HTML.

    Args:
        order: All names, in order.
        titles: Title of each name.
    """
    items = []
    for name in order:
        colour, shape = marker(order, name)
        icon = f'<svg class="mark" viewBox="-9 -9 18 18"><path d="{shape}" fill="{colour}"/></svg>'
        items.append(f"<li>{icon}{escape(titles[name])}</li>")
    return f'<ul class="key">{"".join(items)}</ul>'


def _ticks(values: Sequence[float], are_percentages: bool) -> list[float]:
    """Returns about five round numbers around the values; fractions stay between 0 and 1."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if are_percentages:
        steps: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2)
    else:
        steps = tuple(digit * 10**exponent for exponent in range(9) for digit in (1, 2, 5))
    step = next((step for step in steps if (high - low) / step <= 4.5), steps[-1])
    first = int(low / step + 1e-9)
    ticks = [first * step]
    while ticks[-1] < high - 1e-9 or len(ticks) < 2:
        ticks.append((first + len(ticks)) * step)
    if are_percentages and ticks[-1] > 1 + 1e-9:
        ticks = [tick - step for tick in ticks] if ticks[0] >= step else ticks[:-1]
    return ticks
