"""How a trained generator is run: batches of images, half precision, compiled."""

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
from translators import SOURCE, RecordingGenerator, labels, random_image, real, translator_with

from mdtranslate import Crop, Generator, Translator
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.inference.preprocessing import PreparedImage, chunk_by_pixels

EDIT = {"hair": "Blond_Hair", "Eyeglasses": True}


def random_images(count=5):
    return [random_image(20 + number, 30, number) for number in range(count)]


def near(translated, expected, most=1):
    """Batched sums may round otherwise."""
    assert translated.size == expected.size
    assert np.abs(np.asarray(translated, int) - np.asarray(expected, int)).max() <= most


# Several images


@pytest.mark.parametrize("size", [None, "native"])
def test_a_list_gives_the_same_results_as_single_images(translator, size):
    inputs = [*random_images(3), Image.fromarray(random_image(22, 30, 7)), random_image(24, 30, 8)]
    for one, translated in zip(inputs, translator(inputs, source=SOURCE, size=size, edits=EDIT), strict=True):
        near(translated, translator(one, source=SOURCE, size=size, edits=EDIT))
    every = translator.all_edits(inputs, size=size)
    assert len(every) == len(inputs)
    for one, translated in zip(inputs, every, strict=True):
        alone = translator.all_edits(one, size=size)
        assert list(translated) == list(alone)
        for name, result in translated.items():
            near(result, alone[name])


def test_edits_of_two_datasets_apply_to_a_list(joint):
    known = {"hair": None, "Eyeglasses": False, "celeba.Male": True, "mood": "angry", "rafd.Male": True}
    for size in (None, "native"):
        both = joint(random_images(3), source=known, size=size, mood="sad", hair="Blond_Hair")
        for one, translated in zip(random_images(3), both, strict=True):
            near(translated, joint(one, source=known, size=size, mood="sad", hair="Blond_Hair"))


def test_an_empty_list_gives_an_empty_list(translator):
    assert translator([], **EDIT) == []
    assert translator.all_edits([]) == []


def test_images_of_one_size_share_batches():
    probe = RecordingGenerator()
    translator = translator_with(generator=probe)
    translator(random_images(40), source=SOURCE, **EDIT)
    assert [len(shown) for shown in probe.inputs] == [32, 8]
    probe.inputs.clear()
    translator.all_edits(random_images(9), source=SOURCE)
    assert [len(shown) for shown in probe.inputs] == [32, 4]  # Whole images, with four edits each.
    probe.inputs.clear()
    translator(
        [random_image(16, 16), random_image(16, 20), random_image(16, 16, 1)], source=SOURCE, size="native", **EDIT
    )
    assert [tuple(shown.shape[2:]) for shown in probe.inputs] == [(16, 16), (16, 20)]
    assert [len(shown) for shown in probe.inputs] == [2, 1]


def test_edits_of_two_datasets_share_a_batch():
    model = tiny_model(BOTH)
    sizes = []
    model.generator.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    translator = Translator(model, image_size=16, crops={"celeba": Crop(2 / 3), "rafd": Crop()})
    every = translator.all_edits(random_image(24, 24))
    assert sizes == [len(every)] == [2 + 1 + 1 + 3 + 1]


def test_an_unreadable_image_is_named(translator, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png"):
        translator([random_image(), tmp_path / "a.png"], **EDIT)


def test_a_prepared_image_replaces_its_image():
    translator = tiny_translator(BOTH)
    translator.crops = {"celeba": Crop(2 / 3), "rafd": Crop()}
    pixels = random_image(24, 30)
    for size in (None, "native"):
        view = translator.prepare_image(pixels, size=size)
        assert translator.prepare_image(view) is view
        for edits in ({"hair": "Blond_Hair"}, {"mood": "sad"}, {"mood": "sad", "hair": "Blond_Hair"}):
            assert translator(view, edits=edits).tobytes() == translator(pixels, size=size, edits=edits).tobytes()
        for dataset in ("celeba", "rafd"):
            shown = translator.generator_input(pixels, dataset=dataset, size=size)
            assert np.array_equal(translator.generator_input(view, dataset=dataset), shown)
    with pytest.raises(RecipeError, match="did you mean 'rafd'"):
        translator.generator_input(pixels, dataset="raft")


def test_chunks_are_full_and_not_empty():
    views = [PreparedImage({"a": random_image(*size)}) for size in ((4, 4), (4, 4), (4, 5), (40, 40), (2, 2), (3, 3))]
    groups = [list(group) for group in chunk_by_pixels(enumerate(views), 36)]
    assert groups == [[0, 1], [2], [3], [4, 5]]


# Half precision


def test_half_precision_changes_images_by_few_grey_levels(tmp_path, translator):
    translator.save(tmp_path / "t")
    half = Translator.load(tmp_path / "t", precision="bf16")
    source = labels(translator, SOURCE, SOURCE)
    full, in_bfloat16 = (each.translate(real(), source, source) for each in (translator, half))
    assert in_bfloat16.dtype == torch.float32
    assert 0 < (full - in_bfloat16).abs().max() * 127.5 <= 6
    assert torch.equal(half.infer(real(), source), translator.infer(real(), source))


def test_unavailable_precisions_are_named(tmp_path, translator):
    translator.save(tmp_path / "t")
    with pytest.raises(RecipeError, match=r"precision=tf32: .*cpu"):
        Translator.load(tmp_path / "t", precision="tf32")
    with pytest.raises(RecipeError, match=r"precision=half: .*fp32, tf32, bf16"):
        Translator.load(tmp_path / "t", precision="half")


# Compiled


class Small(Generator):
    """As little as has a convolution, a normalisation and planes: each layer takes seconds to compile."""

    name = "small"

    def __init__(self):
        super().__init__(SimpleNamespace(), label_encoder=tiny_model().label_encoder, image_size=16)
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3 + self.label_encoder.condition_size, 4, 3, padding=1)
        self.last = torch.nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image, source, target, code=None):
        planes = self.label_encoder.condition(target)[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return self.last(F.group_norm(self.first(torch.cat([image, planes], 1)), 4)).tanh()


class Unlucky(Small):
    """Asks for values while it runs, which no graph can hold."""

    def forward(self, image, source, target, code=None):
        if source.sum().item() > 1000:
            raise RecipeError("no network makes this")
        return super().forward(image, source, target)


def compiled(generator):
    translator = translator_with(generator=generator)
    translator.runner.compiled = True
    return translator


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING, "mdtranslate")
    return lambda: [each.getMessage() for each in caplog.records if each.name == "mdtranslate"]


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_compiled_gives_the_same_images_without_a_graph_for_a_smaller_batch(lines):
    torch._dynamo.reset()
    counters.clear()
    generator = Small()
    plain, fast = translator_with(generator=generator), compiled(generator)
    # As many as the first batch, fewer, and others that are views of one, as users give them.
    for count in (3, 2, 1, 3):
        source, target = (labels(plain, row).expand(count, -1) for row in (SOURCE, {**SOURCE, **EDIT}))
        inputs = real(count), source, target
        apart = fast.translate(*inputs) - plain.translate(*inputs)
        assert apart.shape[0] == count and apart.abs().max() * 127.5 <= 1
    near(fast(random_image(), source=SOURCE, **EDIT), plain(random_image(), source=SOURCE, **EDIT))
    assert counters["stats"]["unique_graphs"] == 1
    native = {"source": SOURCE, "size": "native", **EDIT}
    assert fast(random_image(20, 24), **native).tobytes() == plain(random_image(20, 24), **native).tobytes()
    assert counters["stats"]["unique_graphs"] == 1  # Other sizes run as they are.
    assert fast.runner.compiled and not lines()


@inductor_config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True})
def test_without_a_compiler_one_line_says_why(lines):
    torch._dynamo.reset()
    generator = Small()
    plain, fast = translator_with(generator=generator), compiled(generator)
    for _ in range(2):
        assert (
            fast(random_image(), source=SOURCE, **EDIT).tobytes()
            == plain(random_image(), source=SOURCE, **EDIT).tobytes()
        )
    (line,) = lines()
    assert "compiled" in line and "no-such-compiler" in line and "\n" not in line


def test_a_generator_that_no_graph_holds_runs_as_it_is(lines):
    torch._dynamo.reset()
    generator = Unlucky()
    fast = compiled(generator)
    source = labels(fast, SOURCE)
    with pytest.raises(RecipeError, match="no network makes this"):  # Not the compiler's fault: no line.
        fast.translate(real(1), source + 1000, source)
    assert fast.runner.compiled and not lines()
    assert torch.equal(
        fast.translate(real(1), source, source), translator_with(generator=generator).translate(real(1), source, source)
    )
    assert not fast.runner.compiled and len(lines()) == 1
