"""Grids of pictures: a row per picture, a column per target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mdtranslate.api import Value
from mdtranslate.api.dataset import spell
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.errors import RecipeError

if TYPE_CHECKING:
    from mdtranslate.inference.translator import Translator

GAP = 4
SMALLEST, LARGEST = 96, 512  # Pixels of the longer side of a picture in a grid.
FONTS = (14, 12, 11, 10, 9)
LINES = 3
AT_ONCE = 32
BLANK = 255

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def draw_grid(rows: NDArray[np.uint8], titles: Sequence[str], *, footer: str | None = None) -> Image.Image:
    """Pictures uint8 [R, C, H, W, 3] on white, C titles above them and a small line below.

    Small pictures are enlarged and large ones reduced, so that a title has room and a grid fits a screen.
    """
    count, columns, height, width = rows.shape[:4]
    if len(titles) != columns:
        raise ValueError(f"{len(titles)} titles for {columns} columns")
    wide, high = _shown(width, height)
    font, wrapped = _titles(titles, wide)
    line = round(_size(font) * 1.25)
    top = GAP + line * max(len(each) for each in wrapped)
    small = ImageFont.load_default(10)
    full = GAP + columns * (wide + GAP)
    footers = _wrap_words(footer, small, full - 2 * GAP) if footer else []
    bottom = top + GAP + count * (high + GAP)
    grid = Image.new("RGB", (full, bottom + len(footers) * 14 + (GAP if footers else 0)), "white")
    draw = ImageDraw.Draw(grid)
    for column, lines in enumerate(wrapped):
        left = GAP + column * (wide + GAP)
        for number, text in enumerate(lines):  # Titles stand on the pictures: short ones begin lower.
            y = top - (len(lines) - number) * line
            draw.text((left + (wide - font.getlength(text)) / 2, y), text, fill="black", font=font)
        for row in range(count):
            picture = Image.fromarray(np.ascontiguousarray(rows[row, column]))
            if picture.size != (wide, high):
                picture = picture.resize((wide, high), Image.Resampling.LANCZOS)
            grid.paste(picture, (left, top + GAP + row * (high + GAP)))
    for number, text in enumerate(footers):
        draw.text((GAP, bottom + number * 14), text, fill=(96, 96, 96), font=small)
    return grid


def sample_grid(translator: Translator, pictures: NDArray[np.uint8], labels: Tensor) -> Image.Image:
    """Every change of one attribute of pictures [R, S, S, 3] with labels [R, L], beside the pictures themselves.

    A column per value of an exclusive attribute, and one per yes/no attribute, in which it is the opposite of what the
    picture has. What a label leaves unknown stays so. What only another dataset labels is changed as in one of its
    pictures, of which nothing is known; without a classifier that could tell, the cell is white.
    """
    encoder = translator.encoder
    rows = list(zip(labels, encoder.dataset(labels).tolist(), strict=True))
    columns: dict[tuple[str, Value], int] = {}
    for number in range(len(encoder.datasets)):
        for change in encoder.edits({}, number):
            columns.setdefault(_column(change), 1 + len(columns))
    cells = np.full((len(rows), 1 + len(columns), *pictures.shape[1:]), BLANK, np.uint8)
    cells[:, 0] = pictures
    jobs: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # By row and column: labels before and after.
    for row, (label, own) in enumerate(rows):
        for number in (own, *(each for each in range(len(encoder.datasets)) if each != own)):
            before = label if number == own else _inferred(translator, pictures[row], number)
            if before is None:
                continue
            known = encoder.decode(before)
            for change in translator.words.single(number, known):
                after = encoder.encode({**known, **change}, number)
                jobs.setdefault((row, columns[_column(change)]), (before, after))
    places = list(jobs)
    for start in range(0, len(places), AT_ONCE):
        batch = places[start : start + AT_ONCE]
        real = normalise(torch.from_numpy(pictures[[row for row, _ in batch]]))
        befores, afters = (torch.stack(each) for each in zip(*(jobs[place] for place in batch), strict=True))
        for (row, column), made in zip(batch, to_pixels(translator.translate(real, befores, afters)), strict=True):
            cells[row, column] = made
    titles = [name if value is None else f"{name}={spell(value)}" for name, value in columns]
    return draw_grid(cells, ["source", *titles], footer="; ".join(translator.credit) or None)


def _inferred(translator: Translator, picture: NDArray[np.uint8], number: int) -> Tensor | None:
    """The label of a picture as one of dataset `number`; None where no network tells it."""
    try:
        real = normalise(torch.from_numpy(picture[None]))
        return translator.infer(real, translator.encoder.encode({}, number)[None])[0].cpu()
    except RecipeError:
        return None


def _column(change: dict[str, Value]) -> tuple[str, Value]:
    """What a column shows: a value of an attribute, or (None) a yes/no attribute turned round."""
    ((name, value),) = change.items()
    return name, None if isinstance(value, bool) else value


def _shown(width: int, height: int) -> tuple[int, int]:
    longer = max(width, height)
    if longer < SMALLEST:
        factor: float = -(-SMALLEST // longer)
    else:
        factor = min(1.0, LARGEST / longer)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _size(font: Font) -> float:
    return float(getattr(font, "size", 11))


def _titles(titles: Sequence[str], room: int) -> tuple[Font, list[list[str]]]:
    """The largest font in which every title fits above its column whole, and the lines; else the smallest, cut."""
    for size in FONTS:
        font = ImageFont.load_default(size)
        wrapped = [_wrap(title, font, room) for title in titles]
        if all(len(lines) <= LINES and all(font.getlength(line) <= room for line in lines) for lines in wrapped):
            return font, wrapped
    return font, [[_cut(line, font, room) for line in lines[:LINES]] for lines in wrapped]


def _wrap(title: str, font: Font, room: int) -> list[str]:
    """A title on as few lines as fit; a new line begins after `=`, `_`, `.` or a space."""
    pieces, start = [], 0
    for end, letter in enumerate(title, start=1):
        if letter in "=_. " or end == len(title):
            pieces.append(title[start:end])
            start = end
    return _fill(pieces, font, room)


def _wrap_words(text: str, font: Font, room: int) -> list[str]:
    words = text.split()
    return [_cut(line.strip(), font, room) for line in _fill([f"{word} " for word in words], font, room)]


def _fill(pieces: Sequence[str], font: Font, room: int) -> list[str]:
    lines = [""]
    for piece in pieces:
        if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > room:
            lines.append("")
        lines[-1] += piece
    return lines


def _cut(text: str, font: Font, room: int) -> str:
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}...") > room:
        text = text[:-1]
    return f"{text}..."
