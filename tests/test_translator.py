from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import BOTH, CELEBA, tiny_model, tiny_translator

from mdtranslate import Crop, Discriminator, Generator, Translator, Verdict, checkpoint
from mdtranslate.data.batches import normalise, to_pixels
from mdtranslate.data.prepare import Preparation
from mdtranslate.errors import CheckpointError, DataError, PluginError, RecipeError
from mdtranslate.grid import _shown, draw_grid, sample_grid
from mdtranslate.model import Model

SOURCE = {"hair": "Black_Hair", "Eyeglasses": False, "Male": True}


@pytest.fixture(scope="module")
def translator():
    return tiny_translator()


@pytest.fixture(scope="module")
def joint():
    return tiny_translator(BOTH)


def picture(height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def real(count=2, height=16, width=16):
    return normalise(torch.from_numpy(np.stack([picture(height, width, seed) for seed in range(count)])))


def labels(translator, *rows, dataset=0):
    return torch.stack([translator.encoder.encode(row, dataset) for row in rows])


class Probe(Generator):
    """Gives back what it is shown, and remembers it."""

    name = "probe"

    def __init__(self, multiple=4):
        super().__init__(SimpleNamespace(), encoder=tiny_model().encoder, image_size=16)
        self.multiple = multiple
        self.dropout = torch.nn.Dropout(0.5)
        self.shown = []

    def forward(self, image, source, target, code=None):
        self.shown.append(image.clone())
        return self.dropout(image) * 2


class Mute(Discriminator):
    """Judges realness only."""

    name = "mute"

    def forward(self, image, label, made_from=None):
        return Verdict(image.mean((1, 2, 3)), None)


def with_parts(**parts):
    model = tiny_model()
    parts = {"generator": model.generator, "discriminator": model.discriminator, **parts}
    return Translator(Model(model.encoder, **parts), image_size=16, crops={"celeba": Crop()})


# Saving and loading


def test_saved_and_loaded_translates_the_same(tmp_path, joint):
    joint.save(tmp_path / "translator")
    loaded = Translator.load(tmp_path / "translator")
    source = labels(joint, {"mood": "sad"}, {"mood": "happy"}, dataset=1)
    target = labels(joint, {"mood": "angry", "Male": True}, {"mood": "sad", "Male": False}, dataset=1)
    assert torch.equal(loaded.translate(real(), source, target), joint.translate(real(), source, target))
    assert torch.equal(loaded.infer(real(), source), joint.infer(real(), source))
    assert loaded.encoder.attributes == joint.encoder.attributes
    assert (loaded.image_size, loaded.crops, loaded.credit, loaded.trained) == (
        16, {"celeba": Crop(), "rafd": Crop()}, ("Faces: nobody",), {"recipe": "tiny", "step": 7}
    )  # fmt: skip


def test_loaded_networks_are_frozen(tmp_path, translator):
    translator.save(tmp_path / "t")
    model = Translator.load(str(tmp_path / "t")).model
    for network in (model.generator, model.discriminator):
        assert not any(module.training for module in network.modules())
        assert not any(each.requires_grad for each in network.parameters())


def test_loading_leaves_random_numbers_alone(tmp_path, translator):
    translator.save(tmp_path / "t")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Translator.load(tmp_path / "t")
    assert torch.equal(torch.rand(4), expected)


def test_a_run_is_loaded_by_its_folder(tmp_path, translator):
    (tmp_path / "recipe.toml").write_text("# tiny\n[train]\nsave_every = 500\nsteps = 2000\n")
    with pytest.raises(CheckpointError, match="no translator yet; the first is saved at step 500"):
        Translator.load(tmp_path)
    translator.save(tmp_path / "translator")
    assert Translator.load(tmp_path).trained["step"] == 7


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="neither a run"):
        Translator.load(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        Translator.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["weights.safetensors", "translator.json"])
def test_one_changed_byte_is_noticed(tmp_path, translator, name):
    translator.save(tmp_path / "t")
    file = tmp_path / "t" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=name) as caught:
        Translator.load(tmp_path / "t")
    assert "\n" not in str(caught.value)


def rewritten(folder, change):
    """A saved translator whose facts were changed by somebody who knows how to write them."""
    tensors, facts = checkpoint.load(folder, "translator")
    change(facts)
    facts.pop("files")
    checkpoint.save(folder, "translator", tensors, facts)


def test_a_missing_plugin_is_named(tmp_path, translator):
    translator.save(tmp_path / "t")

    def elsewhere(facts):
        facts["generator"]["name"] = "martian-generator"
        facts["plugins"] = ["plugin martian (mdtranslate-martian 2.0)"]

    rewritten(tmp_path / "t", elsewhere)
    with pytest.raises(PluginError, match=r"'martian-generator'.*mdtranslate-martian 2\.0"):
        Translator.load(tmp_path / "t")


def test_no_import_path_is_taken_from_a_file(tmp_path, translator):
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda facts: facts["generator"].update(name="os:system"))
    with pytest.raises(PluginError, match="no backbone is called 'os:system'"):
        Translator.load(tmp_path / "t")


def test_weights_that_do_not_fit_are_named(tmp_path, translator):
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda facts: facts["generator"].update(channels=8))
    with pytest.raises(CheckpointError, match=r"generator: weight main\."):
        Translator.load(tmp_path / "t")


def test_settings_and_layouts_that_do_not_fit_are_refused(tmp_path, translator):
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda facts: facts["generator"].update(blocks=-1))
    with pytest.raises(CheckpointError, match=r"generator\.blocks"):
        Translator.load(tmp_path / "t")
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda facts: facts["layout"].reverse())
    with pytest.raises(CheckpointError, match="lays labels out otherwise"):
        Translator.load(tmp_path / "t")


def test_the_file_says_what_the_networks_and_labels_are(tmp_path, translator):
    translator.save(tmp_path / "t")
    facts = json.loads((tmp_path / "t" / "translator.json").read_text())
    generator = translator.model.generator
    assert facts["generator"] == {"name": "stargan-generator", **generator.config.model_dump()}
    assert (facts["generator"]["channels"], facts["generator"]["blocks"]) == (4, 1)
    assert facts["layout"] == ["hair=Black_Hair", "hair=Blond_Hair", "Eyeglasses", "Male"]
    assert facts["attributes"]["celeba"][0] == {
        "name": "hair", "values": ["Black_Hair", "Blond_Hair"], "optional": True
    }  # fmt: skip


# Tensors


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (1, 1), (1, 21), (6, 5), (3, 64)])
def test_any_size_comes_back_in_its_size(translator, size):
    source = labels(translator, SOURCE)
    fake = translator.translate(real(1, *size), source, source)
    assert fake.shape == (1, 3, *size)
    assert fake.abs().max() <= 1
    assert torch.isfinite(fake).all()


def test_padding_reflects_and_is_cut_back():
    probe = Probe()
    translator = with_parts(generator=probe)
    image, source = real(1, 13, 18) / 2, labels(translator, SOURCE)
    fake = translator.translate(image, source, source)
    (shown,) = probe.shown
    assert shown.shape == (1, 3, 16, 20)
    assert torch.equal(shown[:, :, :13, :18], image)
    assert torch.equal(shown[:, :, 13:, :18], image[:, :, 9:12].flip(2))
    assert torch.equal(shown[:, :, :13, 18:], image[:, :, :, 15:17].flip(3))
    assert torch.equal(fake, (image * 2).clamp(-1, 1))


def test_a_size_that_fits_is_not_padded():
    probe = Probe(multiple=16)
    translator = with_parts(generator=probe)
    source = labels(translator, SOURCE)
    translator.translate(real(1), source, source)
    assert torch.equal(probe.shown[0], real(1))


def test_results_stay_in_range_and_a_training_network_stays_so():
    probe = Probe().train()
    translator = with_parts(generator=probe)
    source = labels(translator, SOURCE)
    fake = translator.translate(real(1), source, source)
    assert fake.min() == -1  # Clamped: twice the input is out of range. Dropout, of training mode, would give zeros.
    assert torch.equal(fake, (real(1) * 2).clamp(-1, 1))
    assert probe.training
    assert probe.dropout.training


def test_known_labels_are_kept_without_a_pass():
    model = tiny_model()
    passes = []
    model.discriminator.register_forward_hook(lambda *_: passes.append(1))
    translator = with_parts(discriminator=model.discriminator)
    full = labels(translator, SOURCE)
    assert torch.equal(translator.infer(real(1), full), full)
    assert not passes
    guess = translator.infer(real(1), labels(translator, {"Male": True}))
    assert len(passes) == 1
    assert translator.encoder.decode(guess[0])["Male"] is True


def test_what_is_unknown_is_what_the_classifier_says():
    model = tiny_model()
    logits = torch.tensor([[-3.0, 2.0, -1.0, 5.0]])
    sizes = []

    def answer(_, arguments, verdict):
        sizes.append(arguments[0].shape)
        return Verdict(verdict.score, logits)

    model.discriminator.register_forward_hook(answer)
    translator = with_parts(discriminator=model.discriminator)
    guess = translator.infer(real(1, 40, 25), labels(translator, {"Male": False}))
    assert translator.encoder.decode(guess[0]) == {"hair": "Blond_Hair", "Eyeglasses": False, "Male": False}
    assert sizes == [(1, 3, 16, 16)]


def test_without_a_classifier_what_is_missing_is_named():
    mute = Mute(SimpleNamespace(), encoder=tiny_model().encoder, image_size=16)
    translator = with_parts(discriminator=mute)
    with pytest.raises(RecipeError, match=r"hair, Eyeglasses: unknown of the picture.*'mute'.*--from hair"):
        translator(picture(), source={"Male": True}, Male=False)
    assert translator(picture(), source=SOURCE, Male=False).size == (16, 16)


# Pictures


def test_a_picture_is_translated_as_its_tensor_is(translator):
    pixels = picture(30, 50)
    made = translator(pixels, source=SOURCE, hair="Blond_Hair", Eyeglasses=True)
    small = normalise(torch.from_numpy(Preparation(Crop(), 16)(pixels))[None])
    target = labels(translator, {"hair": "Blond_Hair", "Eyeglasses": True, "Male": True})
    expected = to_pixels(translator.translate(small, labels(translator, SOURCE), target))[0]
    assert np.array_equal(np.asarray(made), expected)


def test_the_crop_is_that_of_the_dataset():
    translator = tiny_translator(BOTH)
    translator.crops = {"celeba": Crop(2 / 3), "rafd": Crop()}
    pixels = picture(30, 50)
    assert np.array_equal(translator.prepare(pixels), Preparation(Crop(), 16)(pixels[5:25, 15:35]))
    assert np.array_equal(translator.prepare(pixels, dataset="rafd"), Preparation(Crop(), 16)(pixels))
    assert np.array_equal(translator.prepare(pixels, size="native"), pixels)


def test_native_keeps_the_size_and_every_edit_equals_its_own_call(translator):
    pixels = picture(21, 34)
    every = translator.all_edits(pixels, source=SOURCE, size="native")
    assert list(every) == ["hair=Black_Hair", "hair=Blond_Hair", "Eyeglasses=yes", "Male=no"]
    for text, made in every.items():
        name, _, value = text.partition("=")
        alone = translator(pixels, source=SOURCE, size="native", edits={name: value})
        assert made.size == alone.size == (34, 21)
        assert np.abs(np.asarray(made, int) - np.asarray(alone, int)).max() <= 1  # Batched sums may round otherwise.


def test_large_pictures_are_split_over_batches():
    probe = Probe()
    translator = with_parts(generator=probe)
    every = translator.all_edits(picture(64, 64), source=SOURCE, size="native")
    assert [len(shown) for shown in probe.shown] == [2, 2]
    assert len(every) == 4


def test_files_images_and_arrays_are_the_same_picture(tmp_path, translator):
    pixels = picture(20, 20)
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file)
    made = [translator(each, Male=True).tobytes() for each in (file, str(file), Image.open(file), pixels)]
    assert len(set(made)) == 1
    grey = Image.fromarray(pixels).convert("LA")
    assert translator(grey, Male=True).mode == "RGB"


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(translator, bad):
    with pytest.raises(DataError, match="is no picture"):
        translator(bad, Male=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hiar": "Blond_Hair"}, "did you mean 'hair'"),
        ({"hair": "Blond"}, "'Blond' is no value of hair; it has none, Black_Hair, Blond_Hair"),
        ({"hair": True}, "True is no value of hair"),
        ({"Male": None}, "None is no value of Male; it has no, yes"),
        ({"celeba.hair": "none", "hair": None}, "hair is given twice"),
        ({}, r"nothing to change; what can be set: hair=none\|Black_Hair\|Blond_Hair, Eyeglasses=no\|yes"),
    ],
)
def test_what_cannot_be_set_is_named(translator, given, message):
    with pytest.raises(RecipeError, match=message):
        translator(picture(), edits=given)


def test_a_wrong_size_word_is_refused(translator):
    with pytest.raises(RecipeError, match="'native'"):
        translator(picture(), size="huge", Male=True)


@pytest.mark.parametrize("size", [None, "native"])
def test_edits_of_two_datasets_are_made_one_after_the_other(joint, size):
    known = {"hair": None, "Eyeglasses": False, "celeba.Male": True, "mood": "angry", "rafd.Male": True}
    both = joint(picture(24, 24), source=known, size=size, edits={"mood": "sad", "hair": "Blond_Hair"})
    rest = {name: value for name, value in known.items() if name not in ("mood", "rafd.Male")}
    first = joint(picture(24, 24), source={"mood": "angry", "rafd.Male": True}, size=size, mood="sad")
    then = joint(np.asarray(first), source=rest, size="native", hair="Blond_Hair")
    assert both.size == ((16, 16) if size is None else (24, 24))
    assert np.array_equal(np.asarray(both), np.asarray(then))


def test_datasets_are_told_apart(joint):
    assert joint.edits() == {
        "hair": ("none", "Black_Hair", "Blond_Hair"),
        "Eyeglasses": ("no", "yes"),
        "celeba.Male": ("no", "yes"),
        "mood": ("happy", "angry", "sad"),
        "rafd.Male": ("no", "yes"),
    }
    assert joint.words.read({"mood": "sad"}) == {1: {"mood": "sad"}}
    assert joint.words.read({"rafd.Male": "yes"}) == joint.words.read({"Male": True}, "rafd") == {1: {"Male": True}}
    for call, message in [
        (lambda: joint(picture(), Male=True), r"celeba\.Male and rafd\.Male"),
        (lambda: joint(picture(), dataset="rafd", hair=None), "no attribute of rafd is called 'hair'"),
        (lambda: joint(picture(), dataset="raft", hair=None), "did you mean 'rafd'"),
        (lambda: joint(picture(), dataset="rafd", edits={"celeba.Male": True}), r"celeba\.Male: is not of rafd"),
        (lambda: joint(picture(), source={"mood": "sad"}, hair=None), "no attribute of celeba is called 'mood'"),
    ]:
        with pytest.raises(RecipeError, match=message):
            call()
    every = joint.all_edits(picture(), source={"rafd.Male": "no", "celeba.Male": "yes"})
    assert [text for text in every if "Male" in text] == ["celeba.Male=no", "rafd.Male=yes"]
    assert list(joint.all_edits(picture(), dataset="rafd"))[:3] == ["mood=happy", "mood=angry", "mood=sad"]


# Grids


def cell(grid, row, column, side=96, gap=4):
    """A cell of a grid of square pictures; the rows stand at its lower end, so count from there."""
    pixels = np.asarray(grid)
    left = gap + column * (side + gap)
    return pixels[pixels.shape[0] - (row + 1) * (side + gap) :][:side, left : left + side]


def test_a_grid_shows_each_picture_in_its_place():
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    rows = np.broadcast_to(colours[:, :, None, None], (2, 2, 16, 16, 3))
    grid = draw_grid(rows, ["source", "hair=Blond_Hair"])
    for row in range(2):
        for column in range(2):
            assert (cell(grid, 1 - row, column) == colours[row, column]).all()
    assert draw_grid(rows, ["", ""], footer="Faces: nobody").height > draw_grid(rows, ["", ""]).height
    with pytest.raises(ValueError, match="1 titles for 2 columns"):
        draw_grid(rows, ["source"])


def test_long_titles_keep_to_their_columns():
    rows = np.zeros((1, 3, 96, 96, 3), np.uint8)
    titles = ["x", "W" * 60 + "=" + "W_" * 40, "x"]
    grid = np.asarray(draw_grid(rows, titles))
    top = grid[: grid.shape[0] - 104]
    dark = np.flatnonzero((top < 128).any((0, 2)))
    middle = dark[(dark > 60) & (dark < 240)]
    assert middle.min() >= 104
    assert middle.max() < 200


@pytest.mark.parametrize(
    ("given", "shown"), [((16, 16), (96, 96)), ((128, 128), (128, 128)), ((4000, 2000), (512, 256))]
)
def test_pictures_in_grids_are_neither_tiny_nor_huge(given, shown):
    assert _shown(*given) == shown


def test_a_sample_grid_has_a_column_per_edit_and_leaves_others_white(joint):
    pictures = np.stack([picture(seed=1), picture(seed=2)])
    rows = torch.stack([joint.encoder.encode({**SOURCE}, 0), joint.encoder.encode({"mood": "sad", "Male": False}, 1)])
    before = copy.deepcopy(joint.model.generator.state_dict())
    grid = sample_grid(joint, pictures, rows)
    # source, hair (2), Eyeglasses, Male (of both), mood (3)
    assert grid.width == 4 + 8 * 100
    lower = [bool((cell(grid.crop((0, 0, grid.width, _foot(grid))), 0, each) == 255).all()) for each in range(8)]
    upper = [bool((cell(grid.crop((0, 0, grid.width, _foot(grid))), 1, each) == 255).all()) for each in range(8)]
    assert lower == [False, True, True, True, False, False, False, False]
    assert upper == [False, False, False, False, False, True, True, True]
    assert all(torch.equal(value, before[key]) for key, value in joint.model.generator.state_dict().items())


def _foot(grid):
    """Where the footer of one line begins."""
    return grid.height - 14 - 4


def test_a_sample_grid_shows_the_translations(translator):
    pictures = np.stack([picture(96, 96)])
    translator = tiny_translator(CELEBA)
    grid = sample_grid(translator, pictures, labels(translator, SOURCE))
    body = grid.crop((0, 0, grid.width, _foot(grid)))
    assert np.array_equal(cell(body, 0, 0), pictures[0])
    target = labels(translator, {**SOURCE, "Male": False})
    made = to_pixels(translator.translate(normalise(torch.from_numpy(pictures)), labels(translator, SOURCE), target))[0]
    assert np.abs(cell(body, 0, 4).astype(int) - made).max() <= 1
