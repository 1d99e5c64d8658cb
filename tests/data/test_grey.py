"""Grey values of more than 8 bits: the range of black and white is set per dataset."""

from __future__ import annotations

import struct
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mdtranslate import Dataset, Record, Split
from mdtranslate.data.file_notes import file_notes
from mdtranslate.errors import DataError
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.grey_range import suggest_range
from mdtranslate.utils.image_io import read_image


def save(path: Path, values: object, dtype: str) -> Path:
    Image.fromarray(np.array([values], dtype)).save(path)
    return path


class Drawn(Dataset):
    name = "drawn"

    def __init__(self, **settings: Any) -> None:
        super().__init__(self.Config(**settings))

    def records(self, split: Split) -> list[Record]:
        return []


class Scans(Drawn):
    name = "scans"

    class Config(Dataset.FileConfig):
        pass


def grey(path: Path, *value_range: float) -> list[int]:
    return read_image(path, value_range=value_range or None)[0, :, 0].tolist()  # type: ignore[arg-type]


def test_range_is_the_same_for_every_image(tmp_path: Path) -> None:
    bright = save(tmp_path / "bright.png", [0, 2048, 4095], "uint16")
    dark = save(tmp_path / "dark.png", [0, 100, 200], "uint16")
    beyond = save(tmp_path / "beyond.png", [0, 4095, 60_000], "uint16")
    assert grey(bright, 0, 4095) == [0, 128, 255]
    assert grey(dark, 0, 4095) == [0, 6, 12], "a dark slice stays dark"
    assert grey(beyond, 0, 4095) == [0, 255, 255]
    assert grey(bright, 4095, 0) == [255, 127, 0], "black may be the higher value"
    assert grey(bright) == [0, 8, 16], "without one, that of the type"


@pytest.mark.parametrize(
    ("values", "dtype", "value_range", "expected"),
    [
        ([-1000, 0, 400], "int32", (-1000, 400), [0, 182, 255]),
        ([0.0, 0.5, 1.02], "float32", (0, 1), [0, 128, 255]),
        ([0.0, 127.5, 255.0], "float32", (0, 255), [0, 128, 255]),
        ([0, 64, 127], "uint8", (0, 4095), [0, 64, 127]),
    ],
)
def test_windows(
    tmp_path: Path, values: list[float], dtype: str, value_range: tuple[float, float], expected: list[int]
) -> None:
    assert grey(save(tmp_path / "x.tif", values, dtype), *value_range) == expected


@pytest.mark.parametrize(("values", "dtype"), [([-1, 5], "int32"), ([0, 70_000], "int32"), ([0.0, 1.02], "float32")])
def test_values_beyond_the_type_range_are_refused(tmp_path: Path, values: list[float], dtype: str) -> None:
    with pytest.raises(DataError, match=r"x\.tif: .*range=\[BLACK, WHITE\]"):
        grey(save(tmp_path / "x.tif", values, dtype))


def test_non_finite_values_are_refused_with_a_range(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not numbers"):
        grey(save(tmp_path / "x.tif", [0.0, np.nan], "float32"), 0, 1)


def tiff(path: Path, values: np.ndarray, photometric: int) -> Path:
    """A TIFF of one row, written by hand: Pillow writes none in which white is zero."""
    data, bits = values.tobytes(), values.dtype.itemsize * 8
    tags = [(256, 4, values.size), (257, 4, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 10 + 9 * 12 + 4), (277, 3, 1), (278, 4, 1), (279, 4, len(data))]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, kind, value in tags:
        head += struct.pack("<HHI", tag, kind, 1)
        head += struct.pack("<I", value) if kind == 4 else struct.pack("<HH", value, 0)
    path.write_bytes(head + struct.pack("<I", 0) + data)
    return path


def test_white_is_zero_in_16_bits_as_in_8_bits(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 64)
    eight = grey(tiff(tmp_path / "8.tif", (ramp * 255).round().astype("u1"), 0))
    sixteen = grey(tiff(tmp_path / "16.tif", (ramp * 65_535).astype("<u2"), 0))
    assert eight[0] == sixteen[0] == 255 and np.abs(np.subtract(eight, sixteen)).max() <= 1
    assert grey(tiff(tmp_path / "plain.tif", (ramp * 65_535).astype("<u2"), 1))[0] == 0
    assert grey(tiff(tmp_path / "12.tif", (ramp * 4095).astype("<u2"), 0), 0, 4095)[0] == 255


def test_integers_of_32_bits(tmp_path: Path) -> None:
    file = tiff(tmp_path / "u32.tif", np.array([0, 2**31, 2**32 - 1], "<u4"), 1)
    assert grey(file, 0, 2**32 - 1) == [0, 128, 255]
    assert grey(save(tmp_path / "i32.tif", [-5, 0, 5], "int32"), -5, 5) == [0, 128, 255]


def test_range_is_refused_for_colours_of_16_bits(tmp_path: Path) -> None:
    from test_images import png

    (tmp_path / "x.png").write_bytes(png(2, 1, 16, 2, b"\0\xff\xff\0\0\x80\x80" + bytes(6)))
    assert read_image(tmp_path / "x.png").shape == (1, 2, 3)
    with pytest.raises(DataError, match="16 bits"):
        grey(tmp_path / "x.png", 0, 4095)


def test_narrow_range_is_noted_with_the_setting(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.png", [0, 100 + n, 3000 + n], "uint16") for n in range(5)]
    records = [Record(file.name, file) for file in files]
    pixels = np.stack([read_image(file) for file in files])
    (note,) = file_notes(Scans(), records, pixels, "scans")
    assert note.kind == "little-range" and note.files == tuple(map(str, files))
    assert "0 to 3004" in note.message and "datasets.scans.range=[0, 4095]" in note.remedy
    spread = np.stack([read_image(file, value_range=(0, 4095)) for file in files])
    assert not list(file_notes(Scans(range=(0, 4095)), records, spread, "scans"))
    (note,) = file_notes(Scans(range=(2000, 2001)), records, spread, "scans")
    assert "100% of the pixels are beyond" in note.message
    eight = tmp_path / "eight.png"
    Image.fromarray(np.arange(0, 255, 5, np.uint8)[None]).save(eight)
    mixed = [*records, Record("eight", eight)]
    (note,) = file_notes(Scans(), mixed, np.concatenate([spread, spread[:1]]), "scans")
    assert "small part of" in note.message, "images of 8 bits beside them hide nothing"
    flat = np.full((5, 4, 4, 3), 40, np.uint8)
    records = [Record(f"{n}") for n in range(5)]
    (note,) = file_notes(Scans(), records, flat, "drawn")
    assert "datasets.drawn.range=[BLACK, WHITE]" in note.remedy, "of what holds no files it does not know their values"
    (note,) = file_notes(Drawn(), records, flat, "drawn")
    assert "range" not in note.remedy, "it has no such setting"


def test_hot_pixel_does_not_hide_a_narrow_range(tmp_path: Path) -> None:
    draw, files = np.random.default_rng(0), []
    for number in range(5):
        values = draw.integers(0, 4096, (64, 64), np.uint16)
        values[0, 0] = 65_535
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(values).save(files[-1])
    pixels = np.stack([read_image(file) for file in files])
    (note,) = file_notes(Scans(), [Record(file.name, file) for file in files], pixels, "scans")
    assert "datasets.scans.range=[0, 4095]" in note.remedy


@pytest.mark.parametrize(
    ("stored", "expected"),
    [((0, 3004), (0, 4095)), ((17, 255), (0, 255)), ((-1000, 3071), (-1000, 4095)), ((0.0, 1.7), (0.0, 1.7))],
)
def test_suggested_ranges_are_round(stored: tuple[float, float], expected: tuple[float, float]) -> None:
    assert suggest_range(*stored) == expected


def test_further_pages_and_frames_are_noted(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 8), value) for value in (0, 100, 255)]
    for suffix in ("tif", "gif", "webp", "png"):
        pages[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=pages[1:])
    pages[2].save(tmp_path / "single.tif")
    pixels = np.zeros((5, 8, 8, 3), np.uint8)
    pixels[0] = 255
    files = sorted(tmp_path.iterdir())
    ((kind, what, _, named),) = file_notes(Scans(), [Record(file.name, file) for file in files], pixels, "stacks")
    assert kind == "several-pages" and what.startswith("4 of 5") and "with 3" in what
    assert len(named) == 4 and str(tmp_path / "single.tif") not in named


def test_translator_keeps_the_range(tmp_path: Path, translator: Translator) -> None:
    name = translator.label_encoder.datasets[0]
    own = Translator(
        translator.model, image_size=translator.image_size, crops=translator.crops, ranges={name: (0, 4095)}
    )
    own.save(tmp_path / "own")
    loaded = Translator.load(tmp_path / "own")
    side = translator.image_size
    file = tmp_path / "scan.png"
    Image.fromarray(np.full((side, side), 2048, np.uint16)).save(file)
    for image in (file, Image.open(file)):
        assert loaded.prepare_image(image).generator_input(name).max() == 128
        assert loaded.prepare_image(image, size="native").generator_input(name).max() == 128
    eight = loaded.prepare_image(file).generator_input(name)
    for image in (eight, Image.fromarray(eight)):
        assert np.array_equal(loaded.prepare_image(image).generator_input(name), eight), (
            "images of 8 bits, as results are, stay"
        )
    assert translator.prepare_image(file).generator_input(name).max() == 8


def test_decoding_in_threads_restores_warning_filters(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png")
    for _ in range(3):
        before = list(warnings.filters)
        threads = [
            threading.Thread(target=lambda: [read_image(tmp_path / "x.png") for _ in range(100)]) for _ in range(4)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert list(warnings.filters) == before
