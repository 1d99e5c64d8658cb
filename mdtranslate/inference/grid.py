"""Draws grids of images: a row per image, a column per target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mdtranslate.api import Value
from mdtranslate.api.attribute import format_value
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.errors import RecipeError

if TYPE_CHECKING:
    from mdtranslate.inference.translator import Translator

GAP = 4
"""Pixels between images, and around them."""

MIN_CELL, MAX_CELL = 96, 512
"""Smallest and largest longer side of an image in a grid, in pixels."""

FONT_SIZES = (14, 12, 11, 10, 9)
MAX_TITLE_LINES = 3
FOOTER_FONT_SIZE, FOOTER_LINE_HEIGHT = 10, 14
BATCH_SIZE = 32
BLANK = 255

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def draw_grid(rows: NDArray[np.uint8], titles: Sequence[str], *, footer: str | None = None) -> Image.Image:
    """Draws images on white, with a title above each column.

    Small images are enlarged and large ones reduced, so that titles have room, and the grid fits a screen.

    Args:
        rows: Images, uint8 `(R, C, H, W, 3)`.
        titles: Titles of the C columns.
        footer: Small text below the images.

    Raises:
        ValueError: There are not as many titles as columns.
    """
    num_rows, num_columns, image_height, image_width = rows.shape[:4]
    if len(titles) != num_columns:
        raise ValueError(f"{len(titles)} titles for {num_columns} columns")
    width, height = _cell_size(image_width, image_height)
    font, wrapped_titles = _fit_titles(titles, width)
    line_height = round(float(getattr(font, "size", 11)) * 1.25)
    top = GAP + line_height * max(len(lines) for lines in wrapped_titles)
    footer_font = ImageFont.load_default(FOOTER_FONT_SIZE)
    grid_width = GAP + num_columns * (width + GAP)
    footer_lines = _wrap_words(footer, footer_font, grid_width - 2 * GAP) if footer else []
    bottom = top + GAP + num_rows * (height + GAP)
    footer_height = len(footer_lines) * FOOTER_LINE_HEIGHT + (GAP if footer_lines else 0)
    grid = Image.new("RGB", (grid_width, bottom + footer_height), "white")
    draw = ImageDraw.Draw(grid)
    for column, lines in enumerate(wrapped_titles):
        left = GAP + column * (width + GAP)
        for index, text in enumerate(lines):  # Titles are aligned at the bottom.
            y = top - (len(lines) - index) * line_height
            draw.text((left + (width - font.getlength(text)) / 2, y), text, fill="black", font=font)
        for row in range(num_rows):
            image = Image.fromarray(np.ascontiguousarray(rows[row, column]))
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.LANCZOS)
            grid.paste(image, (left, top + GAP + row * (height + GAP)))
    for index, text in enumerate(footer_lines):
        draw.text((GAP, bottom + index * FOOTER_LINE_HEIGHT), text, fill=(96, 96, 96), font=footer_font)
    return grid


def sample_grid(translator: Translator, images: NDArray[np.uint8], labels: Tensor) -> Image.Image:
    """Draws images and every edit of one attribute of them.

    There is a column per value of an exclusive attribute, and one per yes/no attribute, which is set to the opposite.
    To edit attributes that only other datasets label, the image is taken for one of theirs and its label is inferred;
    if that is impossible, the cell is white.

    Args:
        translator: The translator.
        images: Images, uint8 `(R, S, S, 3)`.
        labels: Labels of the images, `(R, L)`; what they leave unknown stays so.
    """
    label_encoder = translator.label_encoder
    datasets = range(len(label_encoder.datasets))
    rows = list(zip(labels, label_encoder.dataset_index(labels).tolist(), strict=True))
    columns: dict[tuple[str, Value], int] = {}
    for dataset in datasets:
        for edit in label_encoder.edits({}, dataset):
            columns.setdefault(_column_key(edit), 1 + len(columns))
    cells = np.full((len(rows), 1 + len(columns), *images.shape[1:]), BLANK, np.uint8)
    cells[:, 0] = images
    label_pairs: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # Source and target label by row and column.
    for row, (label, image_dataset) in enumerate(rows):
        for dataset in sorted(datasets, key=lambda index: index != image_dataset):  # The image's own dataset first.
            source = label if dataset == image_dataset else _infer_label(translator, images[row], dataset)
            if source is None:
                continue
            known = label_encoder.decode(source)
            for edit in translator.edit_parser.single_edits(dataset, known):
                target = label_encoder.encode({**known, **edit}, dataset)
                label_pairs.setdefault((row, columns[_column_key(edit)]), (source, target))
    positions = list(label_pairs)
    for start in range(0, len(positions), BATCH_SIZE):
        batch = positions[start : start + BATCH_SIZE]
        real = normalise(torch.from_numpy(images[[row for row, _ in batch]]))
        sources, targets = (
            torch.stack(tensors) for tensors in zip(*(label_pairs[position] for position in batch), strict=True)
        )
        translations = to_pixels(translator.translate(real, sources, targets))
        for (row, column), translation in zip(batch, translations, strict=True):
            cells[row, column] = translation
    titles = [name if value is None else f"{name}={format_value(value)}" for name, value in columns]
    return draw_grid(cells, ["source", *titles], footer="; ".join(translator.credit) or None)


def _infer_label(translator: Translator, image: NDArray[np.uint8], dataset: int) -> Tensor | None:
    """Infers the label of an image as one of a dataset; None if no network classifies."""
    try:
        real = normalise(torch.from_numpy(image[None]))
        return translator.infer(real, translator.label_encoder.encode({}, dataset)[None])[0].cpu()
    except RecipeError:
        return None


def _column_key(edit: dict[str, Value]) -> tuple[str, Value]:
    """Returns the attribute and the value of a column; the value is None for a yes/no attribute."""
    ((name, value),) = edit.items()
    return name, None if isinstance(value, bool) else value


def _cell_size(width: int, height: int) -> tuple[int, int]:
    """Returns the width and height at which images of this size are drawn."""
    longer = max(width, height)
    if longer < MIN_CELL:
        factor: float = -(-MIN_CELL // longer)
    else:
        factor = min(1.0, MAX_CELL / longer)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _fit_titles(titles: Sequence[str], max_width: int) -> tuple[Font, list[list[str]]]:
    """Returns the largest font in which all titles fit above their columns, and their lines; else truncates lines."""
    for size in FONT_SIZES:
        font = ImageFont.load_default(size)
        wrapped = [_wrap_title(title, font, max_width) for title in titles]
        if all(
            len(lines) <= MAX_TITLE_LINES and all(font.getlength(line) <= max_width for line in lines)
            for lines in wrapped
        ):
            return font, wrapped
    return font, [[_truncate(line, font, max_width) for line in lines[:MAX_TITLE_LINES]] for lines in wrapped]


def _wrap_title(title: str, font: Font, max_width: int) -> list[str]:
    """Splits a title into lines, after `=`, `_`, `.` or a space."""
    pieces, start = [], 0
    for end, letter in enumerate(title, start=1):
        if letter in "=_. " or end == len(title):
            pieces.append(title[start:end])
            start = end
    return _join_into_lines(pieces, font, max_width)


def _wrap_words(text: str, font: Font, max_width: int) -> list[str]:
    """Splits a text into lines of whole words."""
    lines = _join_into_lines([f"{word} " for word in text.split()], font, max_width)
    return [_truncate(line.strip(), font, max_width) for line in lines]


def _join_into_lines(pieces: Sequence[str], font: Font, max_width: int) -> list[str]:
    lines = [""]
    for piece in pieces:
        if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > max_width:
            lines.append("")
        lines[-1] += piece
    return lines


def _truncate(text: str, font: Font, max_width: int) -> str:
    if font.getlength(text) <= max_width:
        return text
    while text and font.getlength(f"{text}...") > max_width:
        text = text[:-1]
    return f"{text}..."
