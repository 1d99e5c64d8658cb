"""Limits of image files: unsupported kinds, too many pixels, large texts and profiles."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mdtranslate.errors import DataError
from mdtranslate.utils import image_files as pillow
from mdtranslate.utils.image_folder import find_images
from mdtranslate.utils.image_io import read_image


def _png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


PNG = _png()


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\0" * 128 + b"DICM", "a DICOM file"),
        (b"\0\0\0\x18ftypheic", "a HEIC image"),
        (b"\0\0\0\x18ftypmp42", "a video"),
        (b"%PDF-1.7", "a PDF"),
    ],
)
def test_unsupported_file_kinds_are_named(tmp_path, monkeypatch, head, what):
    monkeypatch.setattr(pillow, "pillow_heif", None)
    for name in ("x.png", "x.bin"):
        (tmp_path / name).write_bytes(head + b"\0" * 64)
        with pytest.raises(DataError, match=rf"{name}: is {what}: convert it"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match=f"is {what}: convert it"):
        read_image(BytesIO(head + b"\0" * 64))


def test_heic_is_read_with_the_extra_and_refused_without(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif")
    pillow._formats.cache_clear()  # Of a test that ran without the extra.
    read_image(BytesIO(PNG))  # What makes Pillow know the format.
    Image.new("RGB", (32, 24), (200, 40, 90)).save(tmp_path / "x.heic", quality=100)
    pixels = read_image(tmp_path / "x.heic")
    assert pixels.shape == (24, 32, 3) and np.abs(pixels.astype(int) - (200, 40, 90)).max() < 6
    assert find_images(tmp_path) == [tmp_path / "x.heic"]
    with pytest.raises(DataError, match=r"is a HEIC image, but damaged: convert it"):
        read_image(BytesIO((tmp_path / "x.heic").read_bytes()[:40]))
    monkeypatch.setattr(pillow, "pillow_heif", None)
    monkeypatch.setattr(pillow, "_formats", lambda: ["PNG"])
    with pytest.raises(DataError, match=r"is a HEIC image: convert it .* pip install 'mdtranslate\[heic\]'"):
        read_image(tmp_path / "x.heic")


def test_pixel_limit_is_a_setting(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "x.png")
    monkeypatch.setenv("MDTRANSLATE_MAX_PIXELS", "1199")
    with pytest.raises(DataError, match=r"1,199 are allowed; .* MDTRANSLATE_MAX_PIXELS"):
        read_image(tmp_path / "x.png")
    monkeypatch.setenv("MDTRANSLATE_MAX_PIXELS", "1200")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Of Pillow's own, which refuses twice as many.
    assert read_image(tmp_path / "x.png").shape == (30, 40, 3)
    monkeypatch.setenv("MDTRANSLATE_MAX_PIXELS", "many")
    with pytest.raises(DataError, match="MDTRANSLATE_MAX_PIXELS=many"):
        read_image(tmp_path / "x.png")


def test_large_texts_and_profiles_are_read(tmp_path):
    info = PngInfo()
    info.add_text("XML:com.adobe.xmp", "x" * 2_000_000, zip=True)
    for name, options in (("text.png", {"pnginfo": info}), ("profile.png", {"icc_profile": b"\0" * 2_000_000})):
        Image.new("RGB", (8, 8), (9, 99, 200)).save(tmp_path / name, **options)
        assert (read_image(tmp_path / name) == (9, 99, 200)).all()
