"""900 damaged and 30 unusual images: each is decoded correctly or refused; none crashes or hangs."""

from __future__ import annotations

import os
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mdtranslate.api import Crop, Dataset, Record
from mdtranslate.data.cache.store import cache_images
from mdtranslate.errors import DataError
from mdtranslate.utils.image_io import read_image

DOWN, RIGHT = np.mgrid[:96, :80]
PICTURE = np.stack([RIGHT * 3, DOWN * 2, RIGHT + DOWN], axis=2).astype(np.uint8)


def stored(form: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(PICTURE).save(buffer, form, **options)
    return buffer.getvalue()


def cut(whole: bytes, draw: np.random.Generator) -> bytes:
    return whole[: draw.integers(0, len(whole) * 9 // 10)]


def flipped(whole: bytes, draw: np.random.Generator) -> bytes:
    damaged = bytearray(whole)
    for place in draw.integers(0, len(whole), draw.integers(1, 8)):
        damaged[place] ^= 1 << int(draw.integers(8))
    return bytes(damaged)


def garbage(whole: bytes, draw: np.random.Generator) -> bytes:
    start, count = int(draw.integers(0, len(whole))), int(draw.integers(1, 200))
    return whole[:start] + draw.bytes(count) + whole[start + count :]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("damage", [cut, flipped, garbage])
def test_damaged_pictures(tmp_path: Path, form: str, damage) -> None:
    whole, draw, seen = stored(form), np.random.default_rng(1), Counter()
    right = read_image(BytesIO(whole))
    for number in range(100):
        file = tmp_path / f"{number}.{form.lower()}"
        file.write_bytes(damage(whole, draw))
        began = time.monotonic()
        try:
            pixels = read_image(file)
        except DataError as error:
            assert str(error).startswith(f"{file}: ") and "\n" not in str(error)
            seen["named"] += 1
        else:
            seen["right" if np.array_equal(pixels, right) else "another"] += 1
        assert time.monotonic() - began < 20
    # JPEG and WebP have no checksums: a damaged file may decode to another image.
    assert seen["another"] == 0 or (form != "PNG" and damage is not cut), seen
    assert seen["named"] >= (100 if damage is cut else 30), seen


def odd_files(folder: Path) -> dict[str, bool | None]:
    """30 unusual images, and whether each can be read; None if that depends on the machine."""
    image = Image.fromarray(PICTURE)
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "0" * 80_000_000, zip=True)
    frames = [image.resize((20, 20)) for _ in range(3)]
    palette = image.quantize(16)
    palette.info["transparency"] = 3
    grey16 = Image.fromarray((DOWN * 600).astype(np.uint16))
    readable = {
        "cmyk.jpg": lambda f: image.convert("CMYK").save(f),
        "grey.jpg": lambda f: image.convert("L").save(f),
        "progressive.jpg": lambda f: image.save(f, progressive=True),
        "turned.jpg": lambda f: image.save(f, exif=exif),
        "16bit.png": lambda f: grey16.save(f),
        "16bit.tif": lambda f: grey16.save(f),
        "floats.tif": lambda f: Image.fromarray((DOWN / 96).astype(np.float32)).save(f),
        "palette.png": lambda f: palette.save(f, transparency=3),
        "alpha.png": lambda f: image.convert("RGBA").save(f),
        "alpha.webp": lambda f: image.convert("RGBA").save(f),
        "grey-alpha.png": lambda f: image.convert("LA").save(f),
        "bilevel.png": lambda f: image.convert("1").save(f),
        "animated.gif": lambda f: frames[0].save(f, save_all=True, append_images=frames[1:]),
        "animated.webp": lambda f: frames[0].save(f, save_all=True, append_images=frames[1:]),
        "animated.png": lambda f: frames[0].save(f, save_all=True, append_images=frames[1:]),
        "one-pixel.png": lambda f: image.resize((1, 1)).save(f),
        "thin.png": lambda f: image.resize((1, 65535)).save(f),
        "flat.png": lambda f: image.resize((65535, 1)).save(f),
        "a-png.jpg": lambda f: image.save(f, "PNG"),
        "no-suffix": lambda f: image.save(f, "JPEG"),
    }
    for name, write in readable.items():
        write(folder / name)
    (folder / "empty.jpg").touch()
    (folder / "directory.jpg").mkdir()
    (folder / "itself.jpg").symlink_to(folder / "itself.jpg")
    (folder / "nowhere.jpg").symlink_to(folder / "missing")
    (folder / "page.jpg").write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")
    (folder / "drawing.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>')
    header = b"\x89PNG\r\n\x1a\n" + stored("PNG")[8:16] + (60_000).to_bytes(4) * 2 + stored("PNG")[24:]
    (folder / "bomb.png").write_bytes(header)
    Image.fromarray(PICTURE).save(folder / "text-bomb.png", pnginfo=text)
    os.mkfifo(folder / "pipe.jpg")
    image.save(folder / "secret.png")
    (folder / "secret.png").chmod(0)
    names = (
        "empty.jpg",
        "directory.jpg",
        "itself.jpg",
        "nowhere.jpg",
        "page.jpg",
        "drawing.png",
        "bomb.png",
        "pipe.jpg",
    )
    return {
        **dict.fromkeys(readable, True),
        **dict.fromkeys(names, False),
        "text-bomb.png": False,
        "secret.png": None if os.geteuid() == 0 else False,
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_unusual_images(tmp_path: Path) -> None:
    files = odd_files(tmp_path)
    assert len(files) == 30
    shapes = {}
    for name, readable in files.items():
        try:
            pixels = read_image(tmp_path / name)
        except DataError as error:
            assert not readable, error
            assert str(error).startswith(f"{tmp_path / name}: ") and "\n" not in str(error)
        else:
            assert readable is not False, name
            shapes[name] = pixels.shape
    assert shapes["turned.jpg"] == (80, 96, 3)
    assert shapes["thin.png"] == (65535, 1, 3)
    assert np.array_equal(read_image(tmp_path / "a-png.jpg"), PICTURE)
    assert np.abs(read_image(tmp_path / "cmyk.jpg").astype(int) - PICTURE).mean() < 8
    assert np.array_equal(read_image(tmp_path / "16bit.png"), read_image(tmp_path / "16bit.tif"))


class Files(Dataset):
    name = "odd"
    crop = Crop()

    def records(self, split):
        raise NotImplementedError


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_unreadable_images_among_many_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    files = odd_files(folder)
    (folder / "secret.png").chmod(0o600)
    for number in range(300):
        (folder / f"{number}.jpg").write_bytes(stored("JPEG"))
    records = [Record(name, folder / name) for name in (*files, *(f"{number}.jpg" for number in range(300)))]
    cached = cache_images(
        Files(Dataset.Config()), records, 16, instance="odd", purpose="all", workers=0, max_unreadable=0.05
    )
    bad = [name for name, readable in files.items() if readable is False]
    assert [records[place].key for place in cached.left_out] == bad
    for place, reason in cached.left_out.items():
        assert reason.startswith(f"{folder / records[place].key}: ")
    assert len(cached.pixels) == len(records) - len(bad)
