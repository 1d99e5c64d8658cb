"""How a trained generator is run: batches over pictures, half precision, compiled."""

from __future__ import annotations

import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import BOTH, tiny_model, tiny_translator
from torch._dynamo.utils import counters
from torch._inductor import config as inductor_config
from torch.nn import functional as F
from translators import SOURCE, Probe, labels, picture, real, with_parts

from mdtranslate import Crop, Generator, Translator
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.inference.preprocessing import View, grouped

EDIT = {"hair": "Blond_Hair", "Eyeglasses": True}


def pictures(count=5):
    return [picture(20 + number, 30, number) for number in range(count)]


def near(made, expected, most=1):
    """Batched sums may round otherwise."""
    assert made.size == expected.size
    assert np.abs(np.asarray(made, int) - np.asarray(expected, int)).max() <= most


# Several pictures


@pytest.mark.parametrize("size", [None, "native"])
def test_a_list_of_pictures_gives_what_each_of_them_gives(translator, size):
    given = [*pictures(3), Image.fromarray(picture(22, 30, 7)), picture(24, 30, 8)]
    for one, made in zip(given, translator(given, source=SOURCE, size=size, edits=EDIT), strict=True):
        near(made, translator(one, source=SOURCE, size=size, edits=EDIT))
    every = translator.all_edits(given, size=size)
    assert len(every) == len(given)
    for one, made in zip(given, every, strict=True):
        alone = translator.all_edits(one, size=size)
        assert list(made) == list(alone)
        for name, result in made.items():
            near(result, alone[name])


def test_edits_of_two_datasets_are_made_of_several_pictures(joint):
    known = {"hair": None, "Eyeglasses": False, "celeba.Male": True, "mood": "angry", "rafd.Male": True}
    for size in (None, "native"):
        both = joint(pictures(3), source=known, size=size, mood="sad", hair="Blond_Hair")
        for one, made in zip(pictures(3), both, strict=True):
            near(made, joint(one, source=known, size=size, mood="sad", hair="Blond_Hair"))


def test_no_picture_gives_none(translator):
    assert translator([], **EDIT) == []
    assert translator.all_edits([]) == []


def test_pictures_of_one_size_share_batches():
    probe = Probe()
    translator = with_parts(generator=probe)
    translator(pictures(40), source=SOURCE, **EDIT)
    assert [len(shown) for shown in probe.shown] == [32, 8]
    probe.shown.clear()
    translator.all_edits(pictures(9), source=SOURCE)
    assert [len(shown) for shown in probe.shown] == [32, 4]  # Whole pictures, with four edits each.
    probe.shown.clear()
    translator([picture(16, 16), picture(16, 20), picture(16, 16, 1)], source=SOURCE, size="native", **EDIT)
    assert [tuple(shown.shape[2:]) for shown in probe.shown] == [(16, 16), (16, 20)]
    assert [len(shown) for shown in probe.shown] == [2, 1]


def test_edits_of_two_datasets_share_a_batch():
    model = tiny_model(BOTH)
    sizes = []
    model.generator.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    translator = Translator(model, image_size=16, crops={"celeba": Crop(2 / 3), "rafd": Crop()})
    every = translator.all_edits(picture(24, 24))
    assert sizes == [len(every)] == [2 + 1 + 1 + 3 + 1]


def test_a_picture_that_cannot_be_read_is_named(translator, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png"):
        translator([picture(), tmp_path / "a.png"], **EDIT)


def test_a_view_stands_for_its_picture():
    translator = tiny_translator(BOTH)
    translator.crops = {"celeba": Crop(2 / 3), "rafd": Crop()}
    pixels = picture(24, 30)
    for size in (None, "native"):
        view = translator.view(pixels, size=size)
        assert translator.view(view) is view
        for edits in ({"hair": "Blond_Hair"}, {"mood": "sad"}, {"mood": "sad", "hair": "Blond_Hair"}):
            assert translator(view, edits=edits).tobytes() == translator(pixels, size=size, edits=edits).tobytes()
        for dataset in ("celeba", "rafd"):
            shown = translator.prepare(pixels, dataset=dataset, size=size)
            assert np.array_equal(translator.prepare(view, dataset=dataset), shown)
    with pytest.raises(RecipeError, match="did you mean 'rafd'"):
        translator.prepare(pixels, dataset="raft")


def test_groups_are_full_and_of_one_picture_at_least():
    views = [View({"a": picture(*size)}) for size in ((4, 4), (4, 4), (4, 5), (40, 40), (2, 2), (3, 3))]
    found = [list(group) for group in grouped(enumerate(views), 36)]
    assert found == [[0, 1], [2], [3], [4, 5]]


# Half precision


def test_half_precision_changes_pictures_by_few_grey_levels(tmp_path, translator):
    translator.save(tmp_path / "t")
    half = Translator.load(tmp_path / "t", precision="bf16")
    source = labels(translator, SOURCE, SOURCE)
    full, lower = (each.translate(real(), source, source) for each in (translator, half))
    assert lower.dtype == torch.float32
    assert 0 < (full - lower).abs().max() * 127.5 <= 6
    assert torch.equal(half.infer(real(), source), translator.infer(real(), source))


def test_precisions_that_are_not_there_are_named(tmp_path, translator):
    translator.save(tmp_path / "t")
    with pytest.raises(RecipeError, match="precision=tf32: is of NVIDIA's GPUs, and this is cpu"):
        Translator.load(tmp_path / "t", precision="tf32")
    with pytest.raises(RecipeError, match="precision=half: is fp32, tf32, bf16, or auto"):
        Translator.load(tmp_path / "t", precision="half")


# Compiled


class Small(Generator):
    """As little as has a convolution, a normalisation and planes: each layer takes seconds to compile."""

    name = "small"

    def __init__(self):
        super().__init__(SimpleNamespace(), encoder=tiny_model().encoder, image_size=16)
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3 + self.encoder.size, 4, 3, padding=1)
        self.last = torch.nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image, source, target, code=None):
        planes = self.encoder.condition(target)[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return self.last(F.group_norm(self.first(torch.cat([image, planes], 1)), 4)).tanh()


class Unlucky(Small):
    """Asks for values while it runs, which no graph can hold."""

    def forward(self, image, source, target, code=None):
        if source.sum().item() > 1000:
            raise RecipeError("no network makes this")
        return super().forward(image, source, target)


def compiled(generator):
    translator = with_parts(generator=generator)
    translator.inference.compiled = True
    return translator


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING, "mdtranslate")
    return lambda: [each.getMessage() for each in caplog.records if each.name == "mdtranslate"]


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_compiled_makes_the_same_pictures_and_no_graph_for_a_smaller_batch(lines):
    torch._dynamo.reset()
    counters.clear()
    generator = Small()
    plain, fast = with_parts(generator=generator), compiled(generator)
    # As many as the first batch, fewer, and others that are views of one, as users give them.
    for count in (3, 2, 1, 3):
        source, target = (labels(plain, row).expand(count, -1) for row in (SOURCE, {**SOURCE, **EDIT}))
        given = real(count), source, target
        apart = fast.translate(*given) - plain.translate(*given)
        assert apart.shape[0] == count and apart.abs().max() * 127.5 <= 1
    near(fast(picture(), source=SOURCE, **EDIT), plain(picture(), source=SOURCE, **EDIT))
    assert counters["stats"]["unique_graphs"] == 1
    native = {"source": SOURCE, "size": "native", **EDIT}
    assert fast(picture(20, 24), **native).tobytes() == plain(picture(20, 24), **native).tobytes()
    assert counters["stats"]["unique_graphs"] == 1  # Other sizes run as they are.
    assert fast.inference.compiled and not lines()


@inductor_config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True})
def test_without_a_compiler_one_line_says_why(lines):
    torch._dynamo.reset()
    generator = Small()
    plain, fast = with_parts(generator=generator), compiled(generator)
    for _ in range(2):
        assert fast(picture(), source=SOURCE, **EDIT).tobytes() == plain(picture(), source=SOURCE, **EDIT).tobytes()
    (line,) = lines()
    assert line.startswith("not compiled") and "no-such-compiler" in line and "\n" not in line


def test_a_generator_that_no_graph_holds_runs_as_it_is(lines):
    torch._dynamo.reset()
    generator = Unlucky()
    fast = compiled(generator)
    source = labels(fast, SOURCE)
    with pytest.raises(RecipeError, match="no network makes this"):  # Not the compiler's fault: no line.
        fast.translate(real(1), source + 1000, source)
    assert fast.inference.compiled and not lines()
    assert torch.equal(
        fast.translate(real(1), source, source), with_parts(generator=generator).translate(real(1), source, source)
    )
    assert not fast.inference.compiled and len(lines()) == 1
