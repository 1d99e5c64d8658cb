"""Decoding of all supported image files, and one-line errors for broken ones."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdtranslate.errors import DataError, StorageError
from mdtranslate.utils.files import file_sha256
from mdtranslate.utils.image_folder import IMAGE_SUFFIXES, find_images, has_images, list_subfolders
from mdtranslate.utils.image_io import read_image, read_image_size, write_png

UPRIGHT = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def row(*greys: int) -> list[list[list[int]]]:
    """One row of grey pixels."""
    return [[[grey] * 3 for grey in greys]]


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    """One row of palette pixels, each colour once."""
    image = Image.new("P", (len(colours), 1))
    image.putpalette([each for colour in colours for each in colour])
    image.putdata(range(len(colours)))
    return image


def png(width: int, height: int, bits: int, kind: int, raw: bytes, transparent: bytes = b"") -> bytes:
    """A PNG made by hand, for what Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    middle = chunk(b"tRNS", transparent) if transparent else b""
    middle += chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IEND", b"")


def row_of(mode: str, *values) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


MODES = {
    "rgb.png": (row_of("RGB", (1, 2, 3), (250, 0, 9)), [[[1, 2, 3], [250, 0, 9]]]),
    "grey.png": (row_of("L", 0, 7, 255), row(0, 7, 255)),
    "bilevel.png": (row_of("1", 0, 255), row(0, 255)),
    "palette.png": (palette((9, 8, 7), (255, 0, 0)), [[[9, 8, 7], [255, 0, 0]]]),
    "grey-alpha.png": (row_of("LA", (0, 255), (0, 0), (100, 128)), row(0, 255, 177)),
    "rgba.png": (row_of("RGBA", (10, 20, 30, 255), (10, 20, 30, 0)), [[[10, 20, 30], [255, 255, 255]]]),
    "rgba.webp": (row_of("RGBA", (10, 20, 30, 255), (10, 20, 30, 0)), [[[10, 20, 30], [255, 255, 255]]]),
    "cmyk.tif": (row_of("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)), [[[255] * 3, [0, 255, 255], [0] * 3]]),
    "grey16.png": (Image.fromarray(np.uint16([[0, 257 * 7, 65535, 32768]])), row(0, 7, 255, 128)),
    "grey16.tif": (Image.fromarray(np.uint16([[0, 257 * 7, 65535]])), row(0, 7, 255)),
    "grey16-big-endian.tif": (Image.frombytes("I;16B", (2, 1), b"\x80\x00\xff\xff"), row(128, 255)),
    "grey32.tif": (Image.fromarray(np.int32([[0, 257 * 7, 65535]])), row(0, 7, 255)),
    "float-1.tif": (Image.fromarray(np.float32([[0, 0.5, 1]])), row(0, 128, 255)),
    "float.tif": (Image.fromarray(np.float32([[0, 0.2, 0.99]])), row(0, 51, 252)),
    "grey.pgm": (row_of("L", 3, 4), row(3, 4)),
    "rgb.bmp": (row_of("RGB", (1, 2, 3)), [[[1, 2, 3]]]),
    "rgb.jp2": (row_of("RGB", (1, 2, 3)), [[[1, 2, 3]]]),
    "one-pixel.png": (row_of("RGB", (5, 6, 7)), [[[5, 6, 7]]]),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_has_its_pixels(tmp_path, name):
    image, expected = MODES[name]
    path = saved(tmp_path / name, image, **({"lossless": True} if name.endswith("webp") else {}))
    with Image.open(path) as stored:
        assert stored.mode == ("RGBA" if name == "rgba.webp" else image.mode), "the file does not test its mode"
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert pixels.tolist() == expected
    assert path.suffix in IMAGE_SUFFIXES


def test_transparent_palette_entries_are_drawn_over_white(tmp_path):
    image = palette((9, 8, 7), (200, 0, 0), (0, 0, 200))
    several = saved(tmp_path / "several.png", image, transparency=bytes([255, 0, 128]))
    assert read_image(several).tolist() == [[[9, 8, 7], [255, 255, 255], [127, 127, 227]]]
    one = saved(tmp_path / "one.gif", image, transparency=1)
    assert read_image(one).tolist() == [[[9, 8, 7], [255, 255, 255], [0, 0, 200]]]


@pytest.mark.parametrize(
    ("bits", "kind", "raw", "transparent", "expected"),
    [
        (8, 0, b"\0\x05\x06", b"\0\x05", row(255, 6)),
        (1, 0, b"\0\x40", b"\0\0", row(255, 255)),
        (16, 0, b"\0\x01\x2c\xff\xff", b"\x01\x2c", row(255, 255)),
        (8, 2, b"\0\1\2\3\4\5\6", b"\0\1\0\2\0\3", [[[255, 255, 255], [4, 5, 6]]]),
        (16, 2, b"\0\xff\xff\0\0\x80\x80" + bytes(6), b"", [[[255, 0, 128], [0, 0, 0]]]),
        (16, 4, b"\0\0\0\xff\xff\0\0\0\0", b"", row(0, 255)),
    ],
    ids=["grey", "bilevel", "grey16", "rgb", "rgb16", "grey-alpha16"],
)
def test_png_with_one_transparent_colour_or_16_bits(bits, kind, raw, transparent, expected):
    assert read_image(BytesIO(png(2, 1, bits, kind, raw, transparent))).tolist() == expected


STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT),
    7: np.rot90(UPRIGHT, 2).swapaxes(0, 1),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    assert np.array_equal(read_image(saved(tmp_path / "turned.png", image, exif=exif)), UPRIGHT)
    assert np.array_equal(read_image(saved(tmp_path / "turned.tif", image, exif=exif)), UPRIGHT)
    jpeg = saved(tmp_path / "turned.jpg", image.resize((image.width * 16, image.height * 16), 0), exif=exif)
    assert np.abs(read_image(jpeg)[8::16, 8::16].astype(int) - UPRIGHT).max() < 12


@pytest.mark.parametrize(
    "odd", [(0x0100, 9, 1, b"\xfb\xff\xff\xff"), (0x011A, 2, 4, b"abc\0"), (0x8769, 4, 1, b"\xff" * 4)]
)
@pytest.mark.parametrize(("orientation", "shape"), [(1, (2, 4, 3)), (6, (4, 2, 3)), (99, (2, 4, 3))])
def test_other_exif_tags_may_be_odd(odd, orientation, shape):
    tags = b"".join(struct.pack("<HHI4s", *tag) for tag in [odd, (0x0112, 3, 1, bytes([orientation, 0, 0, 0]))])
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4)
    buffer = BytesIO()
    Image.new("RGB", (4, 2)).save(buffer, "JPEG", exif=exif)
    assert read_image(buffer).shape == shape


def test_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    for suffix in ("gif", "png", "webp", "tif"):
        options = {"lossless": True} if suffix == "webp" else {}
        path = saved(tmp_path / f"film.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
        assert read_image(path).tolist() == [[[255, 0, 0]] * 2] * 2


def test_streams_are_read():
    buffer = BytesIO()
    Image.fromarray(UPRIGHT).save(buffer, "PNG")
    buffer.seek(0)
    assert np.array_equal(read_image(buffer), UPRIGHT)
    with pytest.raises(DataError, match=r"^image: "):
        read_image(BytesIO(b"no"))


def broken(path: Path, kind: str) -> Path:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("This is not an image.\n" * 50)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "bomb":
        path.write_bytes(png(60_000, 60_000, 8, 2, b""))
    elif kind == "large":
        path.write_bytes(png(12_000, 9_000, 8, 2, b""))
    elif kind == "just too large":
        path.write_bytes(png(10_001, 10_000, 1, 0, b""))
    elif kind == "postscript":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    elif kind == "wide values":
        Image.fromarray(np.int32([[0, 70_000]])).save(path, "TIFF")
    elif kind == "not a number":
        Image.fromarray(np.float32([[0, np.nan]])).save(path, "TIFF")
    elif kind.startswith("cut "):
        form = kind.removeprefix("cut ")
        noise.save(path, form)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    return path


BROKEN = {
    "missing": "no such file",
    "directory": "is a directory",
    "text": "known format",
    "empty": "known format",
    "bomb": "too many",
    "large": "12000 x 9000 pixels are too many",
    "just too large": "10001 x 10000 pixels are too many",
    "postscript": "known format",
    "wide values": "0 to 70000",
    "not a number": "not numbers",
    "cut JPEG": "truncated",
    "cut PNG": "",
    "cut GIF": "",
    "cut TIFF": "",
    "cut WEBP": "",
    "cut BMP": "truncated",
    "cut JPEG2000": "",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_unreadable_file_is_named_in_one_line(tmp_path, kind, recwarn):
    path = broken(tmp_path / "holiday.jpg", kind)
    with pytest.raises(DataError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert BROKEN[kind] in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 140
    assert not recwarn.list, "Pillow warned besides"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_named(tmp_path):
    path = saved(tmp_path / "secret.png", Image.fromarray(UPRIGHT))
    path.chmod(0)
    with pytest.raises(DataError, match=r"secret\.png: permission denied"):
        read_image(path)


def test_damaged_byte_gives_pixels_or_data_error():
    generator = np.random.default_rng(1)
    image = Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    outcomes = set()
    for form in ("PNG", "JPEG", "GIF", "TIFF", "WEBP"):
        buffer = BytesIO()
        image.save(buffer, form, **({} if form == "GIF" else {"exif": exif}))
        for _ in range(60):
            damaged = bytearray(buffer.getvalue())
            # Mostly near the front, where what the decoder steers by stands.
            damaged[generator.integers(0, min(200, len(damaged)))] = generator.integers(0, 256)
            try:
                pixels = read_image(BytesIO(damaged))
                assert pixels.dtype == np.uint8
                assert pixels.ndim == 3
                outcomes.add("pixels")
            except DataError:
                outcomes.add("error")
    assert outcomes == {"pixels", "error"}


def test_png_round_trip(tmp_path):
    write_png(UPRIGHT, tmp_path / "a.png")
    write_png(UPRIGHT[::-1], tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), UPRIGHT[::-1])
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_failed_png_write_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(StorageError, match=r"nowhere/a\.png: cannot be written: No such file"):
        write_png(UPRIGHT, tmp_path / "nowhere" / "a.png")

    def full(self: Path, other: Path) -> Path:
        raise OSError(28, "No space left on device")

    (tmp_path / "b.png").write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match=r"b\.png: cannot be written: No space left"):
        write_png(UPRIGHT, tmp_path / "b.png")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"b.png": "old"}


def test_paths_may_be_strings(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    Image.new("RGB", (4, 2), (9, 8, 7)).save(file)
    assert read_image(str(file)).tolist() == read_image(file).tolist() == [[[9, 8, 7]] * 4] * 2
    assert read_image_size(str(file))[:2] == (4, 2)
    with pytest.raises(DataError, match=r"missing\.png"):
        read_image(str(tmp_path / "missing.png"))
    assert find_images(str(tmp_path)) == [file] and has_images(str(tmp_path))
    assert file_sha256(str(file)) == file_sha256(file) and list_subfolders(str(tmp_path.parent))
