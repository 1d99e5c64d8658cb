"""`mdtranslate translate`: input files, results, their names, and messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny import BOTH, tiny_model, tiny_translator
from translators import ScoreOnlyDiscriminator

from mdtranslate import Crop, Translator
from mdtranslate.cli.translate import command
from mdtranslate.cli.translate_files import assign_stems, list_images, result_name
from mdtranslate.config.model_bundle import Model
from mdtranslate.errors import CheckpointError, DataError, RecipeError
from mdtranslate.inference.runner import Runner


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tiny_translator().save(folder / "translator")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photo(path, size=(40, 30), mode="RGB", **options):
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def call(*arguments):
    """Runs the command on the CPU."""
    return CliRunner().invoke(command, ["--device", "cpu", *map(str, arguments)])


def failure(kind, *arguments):
    """Returns the message of a command that must fail with an error of `kind`."""
    result = call(*arguments)
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_several_set_options_make_one_edit(run, here):
    photo(here / "me.jpg")
    result = call(run, "me.jpg", "--set", "hair=Blond_Hair", "--set", "Eyeglasses=yes", "--from", "Male=no")
    assert result.exit_code == 0, result.output
    assert names(here / "translated") == ["me.hair=Blond_Hair,Eyeglasses=yes.png"]
    assert "1 image written to translated" in result.output
    image = Image.open(here / "translated" / "me.hair=Blond_Hair,Eyeglasses=yes.png")
    assert (image.size, image.mode, image.format) == ((16, 16), "RGB", "PNG")
    expected = Translator.load(run)(here / "me.jpg", source={"Male": "no"}, hair="Blond_Hair", Eyeglasses=True)
    assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_all_writes_each_edit_and_a_grid(run, here):
    photo(here / "me.png")
    result = call(run, "me.png", "--all", "--from", "Male=no", "--from", "Eyeglasses=no", "--out", "o")
    assert result.exit_code == 0, result.output
    assert names(here / "o") == [
        "me.Eyeglasses=yes.png",
        "me.Male=yes.png",
        "me.all.png",
        "me.hair=Black_Hair.png",
        "me.hair=Blond_Hair.png",
    ]
    assert Image.open(here / "o" / "me.all.png").width == 4 + 5 * 100


def test_a_folder_is_translated_in_batches(run, here, monkeypatch):
    for number in range(10):
        photo(here / "in" / f"{number}.png", (20 + number, 30))
    (here / "in" / "5.png").write_bytes(b"not an image")
    batches = []
    translate = Runner.translate
    monkeypatch.setattr(Runner, "translate", lambda *args: batches.append(len(args[1])) or translate(*args))
    known = ("--from", "hair=none", "--from", "Male=no", "--from", "Eyeglasses=no")
    assert isinstance(call(run, "in", "--all", *known).exception, DataError)
    assert batches == [32, 4]  # 9 images with four edits each; the edits of an image are not split.
    assert len(names(here / "translated")) == 9 * 5
    result = call(run, "in", "--set", "Male=yes", "--out", "one")
    assert batches[2:] == [9]
    written = [Path(line).name for line in result.stdout.splitlines()[:-1]]
    assert written == [f"{number}.Male=yes.png" for number in range(10) if number != 5]  # In the order of the files.


def test_precision_and_compile_are_passed_to_the_translator(run, here, monkeypatch):
    photo(here / "me.png")
    assert call(run, "me.png", "--set", "Male=yes", "--precision", "bf16").exit_code == 0
    expected = Translator.load(run, precision="bf16")(here / "me.png", Male=True)
    image = Image.open(here / "translated" / "me.Male=yes.png")
    assert np.array_equal(np.asarray(image), np.asarray(expected))
    assert "precision=tf32" in failure(RecipeError, run, "me.png", "--set", "Male=no", "--precision", "tf32")
    compiled = []
    monkeypatch.setattr(Runner, "translate", lambda self, real, *_: compiled.append(self.compiled) or real)
    assert call(run, "me.png", "--set", "Male=no", "--compile").exit_code == 0
    assert call(run, "me.png", "--set", "Male=no", "--overwrite").exit_code == 0
    assert compiled == [True, False]


def test_all_of_several_datasets(tmp_path, here):
    tiny_translator(BOTH).save(tmp_path / "t")
    photo(here / "me.png")
    assert call(tmp_path / "t", "me.png", "--all", "--out", "o", "--size", "native").exit_code == 0
    results = names(here / "o")
    assert len(results) == 2 + 1 + 1 + 3 + 1 + 1
    assert sum(name.startswith("me.celeba.Male=") for name in results) == 1
    assert call(tmp_path / "t", "me.png", "--set", "Male=yes", "--dataset", "rafd", "--out", "p").exit_code == 0
    assert names(here / "p") == ["me.rafd.Male=yes.png"]


MODES = {
    "grey.png": ("L", {}),
    "palette.gif": ("P", {}),
    "alpha.png": ("RGBA", {}),
    "grey-alpha.png": ("LA", {}),
    "bits.png": ("1", {}),
    "cmyk.jpg": ("CMYK", {}),
    "webp.webp": ("RGB", {}),
    "tiff.tif": ("RGB", {}),
}


def test_images_of_every_format_at_their_own_size(run, here):
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotated by 90 degrees.
    for name, (mode, options) in MODES.items():
        photo(here / "in" / name, (21, 34), mode, **options)
    photo(here / "in" / "turned.jpg", (34, 21), exif=exif)
    deep = np.random.default_rng(2).integers(0, 65536, (34, 21)).astype(np.uint16)
    Image.fromarray(deep).save(here / "in" / "deep.png")
    (here / "in" / "notes.txt").write_text("not an image")
    photo(here / "in" / "below" / "deeper.png")
    result = call(run, "in", "--set", "Male=yes", "--size", "native")
    assert result.exit_code == 0, result.output
    folder = here / "translated"
    assert names(folder) == sorted(f"{name.partition('.')[0]}.Male=yes.png" for name in [*MODES, "turned.", "deep."])
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((21, 34), "RGB"), path


def test_native_size_of_one_pixel(run, here):
    photo(here / "dot.png", (1, 1))
    assert call(run, "dot.png", "--set", "Male=yes", "--size", "native").exit_code == 0
    assert Image.open(here / "translated" / "dot.Male=yes.png").size == (1, 1)


def test_unreadable_images_are_skipped_and_named(run, here):
    photo(here / "in" / "b.png")
    (here / "in" / "a.jpg").write_bytes(b"this is not an image")
    result = call(run, "in", "nowhere.png", "--set", "Male=no")
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 65
    assert "2 of 3" in str(result.exception)
    assert "a.jpg" in result.stderr
    assert "nowhere.png" in result.stderr
    assert names(here / "translated") == ["b.Male=no.png"]


def test_the_exit_code_if_images_were_skipped(run, here, capsys):
    from mdtranslate.cli.main import main

    photo(here / "b.png")
    (here / "a.jpg").write_bytes(b"this is not an image")
    with pytest.raises(SystemExit) as caught:
        main(["translate", str(run), "a.jpg", "b.png", "--set", "Male=no", "--device", "cpu"])
    assert caught.value.code == 65
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "1 image written to translated"
    assert next(line for line in printed.err.splitlines() if "a.jpg" in line).startswith("skipped a.jpg: ")


def test_results_are_only_overwritten_if_asked(run, here):
    photo(here / "me.png")
    photo(here / "you.png")
    assert call(run, "me.png", "--set", "Male=yes").exit_code == 0
    file = here / "translated" / "me.Male=yes.png"
    file.write_text("earlier")
    message = failure(RecipeError, run, "you.png", "me.png", "--set", "Male=yes")
    assert "me.Male=yes.png" in message
    assert "--overwrite" in message
    assert file.read_text() == "earlier"
    assert names(here / "translated") == [file.name]  # Refused before any image is translated.
    assert "--overwrite" in failure(RecipeError, run, "me.png", "--all")
    assert call(run, "you.png", "me.png", "--set", "Male=yes", "--overwrite").exit_code == 0
    assert Image.open(file).size == (16, 16)


def test_inputs_with_the_same_name_have_distinct_results(here):
    files = [photo(here / "a" / "me.png"), photo(here / "a" / "me.jpg"), photo(here / "b" / "me.png")]
    other = photo(here / "b" / "you.png")
    jobs = assign_stems(list_images([*files, here / "b"]))
    assert jobs == {"me.png": files[0], "me.jpg": files[1], "b-me.png": files[2], "you": other}
    assert len(assign_stems([here / folder / "c" / "me.png" for folder in "xyz"])) == 3


def test_result_names_are_valid_on_all_systems():
    assert result_name("me", "hair=Blond_Hair") == "me.hair=Blond_Hair.png"
    assert result_name("me", "style=a/b") != result_name("me", "style=a:b")
    assert "/" not in result_name("me", "style=a/b")
    long = result_name("ä" * 300, "x=1")
    assert len(long.encode()) <= 255
    assert long != result_name("ä" * 301, "x=1")


def test_invalid_options_are_named(run, here):
    photo(here / "me.png")
    assert "hair=none|Black_Hair|Blond_Hair" in failure(RecipeError, run, "me.png")
    assert "'hair'" in failure(RecipeError, run, "me.png", "--set", "hiar=x")
    assert "'Blond'" in failure(RecipeError, run, "me.png", "--set", "hair=Blond")
    assert "NAME=VALUE" in failure(RecipeError, run, "me.png", "--set", "hair")
    assert "Male" in failure(RecipeError, run, "me.png", "--set", "Male=no", "--set", "Male=yes")
    assert "'Mael'" in failure(RecipeError, run, "me.png", "--all", "--from", "Mael=no")
    assert "--set" in failure(RecipeError, run, "me.png", "--all", "--set", "Male=no")
    assert "abacus" in failure(RecipeError, run, "me.png", "--all", "--device", "abacus")
    assert not (here / "translated").exists()


def test_unusable_folders_are_named(run, here):
    (here / "empty").mkdir()
    photo(here / "me.png")
    assert "empty: " in failure(DataError, run, "empty", "--all")
    assert "empty" in failure(CheckpointError, "empty", "me.png", "--all")


def test_without_a_classifier_the_message_names_the_unknown_attribute(here, monkeypatch):
    model = tiny_model()
    mute = ScoreOnlyDiscriminator(SimpleNamespace(), label_encoder=model.label_encoder, image_size=16)
    silent = Translator(Model(model.label_encoder, model.generator, mute), image_size=16, crops={"celeba": Crop()})
    monkeypatch.setattr(Translator, "load", lambda *_, **__: silent)
    photo(here / "me.png")
    (here / "run").mkdir()
    message = failure(RecipeError, "run", "me.png", "--set", "Male=yes", "--from", "hair=none", "--from", "Male=no")
    assert "Eyeglasses" in message
    assert not (here / "translated").exists()


def test_help_imports_no_torch():
    code = (
        "import sys; from mdtranslate.cli.translate import command\n"
        "command.main(['--help'], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--overwrite" in done.stdout


def test_files_of_other_types_are_named(run, here):
    for name in ("a.tga", "b.TGA", "c.mp4", ".hidden.txt"):
        (here / "mixed" / name).parent.mkdir(exist_ok=True)
        (here / "mixed" / name).write_bytes(b"?")
    assert ".tga (2), .mp4 (1)" in failure(DataError, run, "mixed", "--all")
    photo(here / "mixed" / "d.png")
    done = call(run, "mixed", "--set", "Male=no")
    assert done.exit_code == 0 and "mixed: 3 files" in done.stderr and ".tga (2), .mp4 (1)" in done.stderr


def test_results_in_the_folder_of_the_images_are_not_translated(run, here):
    folder = here / "photos"
    for name in ("a.png", "b.v2.png", "c=d.png"):
        photo(folder / name)
    for expected in ("", "3 results"):
        result = call(run, folder, "--set", "Eyeglasses=yes", "--from", "Male=no", "--out", folder, "--overwrite")
        assert result.exit_code == 0, result.output
        assert "3 images written" in result.output and ("3 results" in result.output) == (expected != "")
    assert len(list(folder.iterdir())) == 6


def test_scans_with_a_small_part_of_the_range_of_training_are_named(run, here):
    Image.fromarray(np.random.default_rng(0).integers(0, 4096, (16, 16)).astype(np.uint16)).save(here / "scan.png")
    result = call(run, "scan.png", "--set", "Eyeglasses=yes", "--from", "Male=no")
    assert result.exit_code == 0 and "scan.png: " in result.stderr and "0 to 65535" in result.stderr
