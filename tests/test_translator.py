"""A translator: saving and loading, tensors, devices, arguments."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from tiny import tiny_model
from translators import SOURCE, RecordingGenerator, ScoreOnlyDiscriminator, labels, random_image, real, translator_with

from mdtranslate import Crop, DiscriminatorOutput, Translator
from mdtranslate.errors import CheckpointError, PluginError, RecipeError
from mdtranslate.utils import tensor_dir

# Saving and loading


def test_saved_and_loaded_translates_the_same(tmp_path, joint):
    joint.save(tmp_path / "translator")
    loaded = Translator.load(tmp_path / "translator")
    source = labels(joint, {"mood": "sad"}, {"mood": "happy"}, dataset=1)
    target = labels(joint, {"mood": "angry", "Male": True}, {"mood": "sad", "Male": False}, dataset=1)
    assert torch.equal(loaded.translate(real(), source, target), joint.translate(real(), source, target))
    assert torch.equal(loaded.infer(real(), source), joint.infer(real(), source))
    assert loaded.label_encoder.attributes == joint.label_encoder.attributes
    assert (loaded.image_size, loaded.crops, loaded.credit, loaded.trained) == (
        16, {"celeba": Crop(), "rafd": Crop()}, ("Faces: nobody",), {"recipe": "tiny", "step": 7}
    )  # fmt: skip


def test_loaded_networks_are_frozen(tmp_path, translator):
    translator.save(tmp_path / "t")
    model = Translator.load(str(tmp_path / "t")).model
    for network in (model.generator, model.discriminator):
        assert not any(module.training for module in network.modules())
        assert not any(each.requires_grad for each in network.parameters())


@pytest.fixture
def host():
    """What a program sets for itself is as before after the test."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    yield
    torch.set_default_dtype(dtype)
    torch.set_default_device(None if device.type == "cpu" else device)


@pytest.mark.parametrize(("dtype", "device"), [(torch.float64, "cpu"), (torch.float16, "cpu"), (torch.float32, "meta")])
def test_the_defaults_of_the_host_change_nothing(tmp_path, translator, host, dtype, device):
    translator.save(tmp_path / "t")
    expected = translator.all_edits(random_image(), source=SOURCE)
    torch.set_default_dtype(dtype)
    torch.set_default_device(device)
    loaded = Translator.load(tmp_path / "t")
    translated = loaded.all_edits(random_image(), source=SOURCE)
    assert {name: each.tobytes() for name, each in translated.items()} == {n: e.tobytes() for n, e in expected.items()}
    assert torch.get_default_dtype() == dtype and torch.get_default_device().type == device


def test_loading_leaves_random_numbers_alone(tmp_path, translator, monkeypatch):
    translator.save(tmp_path / "t")
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # Called where there is no GPU, too.
    Translator.load(tmp_path / "t")
    assert torch.equal(torch.rand(4), expected) and not seeded


def test_a_run_is_loaded_by_its_folder(tmp_path, translator):
    (tmp_path / "recipe.toml").write_text("# tiny\n[train]\nsave_every = 500\nsteps = 2000\n")
    with pytest.raises(CheckpointError, match="step 500"):
        Translator.load(tmp_path)
    translator.save(tmp_path / "translator")
    assert Translator.load(tmp_path).trained["step"] == 7


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"recipe\.toml"):
        Translator.load(tmp_path)
    with pytest.raises(CheckpointError, match="nowhere"):
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
    """Changes the metadata of a saved translator, with the digest that belongs to it."""
    tensors, metadata = tensor_dir.load(folder, "translator")
    change(metadata)
    metadata.pop("files")
    tensor_dir.save(folder, "translator", tensors, metadata)


def test_a_missing_plugin_is_named(tmp_path, translator):
    translator.save(tmp_path / "t")

    def elsewhere(metadata):
        metadata["generator"]["name"] = "martian-generator"
        metadata["plugins"] = ["plugin martian (mdtranslate-martian 2.0)"]

    rewritten(tmp_path / "t", elsewhere)
    with pytest.raises(PluginError, match=r"'martian-generator'.*mdtranslate-martian 2\.0"):
        Translator.load(tmp_path / "t")


def test_no_import_path_is_taken_from_a_file(tmp_path, translator):
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda metadata: metadata["generator"].update(name="os:system"))
    with pytest.raises(PluginError, match="os:system"):
        Translator.load(tmp_path / "t")


def test_weights_that_do_not_fit_are_named(tmp_path, translator):
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda metadata: metadata["generator"].update(channels=8))
    with pytest.raises(CheckpointError, match=r"generator: weight main\."):
        Translator.load(tmp_path / "t")


def test_settings_and_layouts_that_do_not_fit_are_refused(tmp_path, translator):
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda metadata: metadata["generator"].update(blocks=-1))
    with pytest.raises(CheckpointError, match=r"generator\.blocks"):
        Translator.load(tmp_path / "t")
    translator.save(tmp_path / "t")
    rewritten(tmp_path / "t", lambda metadata: metadata["channel_names"].reverse())
    with pytest.raises(CheckpointError, match="channel_names"):
        Translator.load(tmp_path / "t")


def test_the_file_says_what_the_networks_and_labels_are(tmp_path, translator):
    translator.save(tmp_path / "t")
    metadata = json.loads((tmp_path / "t" / "translator.json").read_text())
    generator = translator.model.generator
    assert metadata["generator"] == {"name": "stargan-generator", **generator.config.model_dump()}
    assert (metadata["generator"]["channels"], metadata["generator"]["blocks"]) == (4, 1)
    assert metadata["channel_names"] == ["hair=Black_Hair", "hair=Blond_Hair", "Eyeglasses", "Male"]
    assert metadata["attributes"]["celeba"][0] == {
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
    probe = RecordingGenerator()
    translator = translator_with(generator=probe)
    image, source = real(1, 13, 18) / 2, labels(translator, SOURCE)
    fake = translator.translate(image, source, source)
    (shown,) = probe.inputs
    assert shown.shape == (1, 3, 16, 20)
    assert torch.equal(shown[:, :, :13, :18], image)
    assert torch.equal(shown[:, :, 13:, :18], image[:, :, 9:12].flip(2))
    assert torch.equal(shown[:, :, :13, 18:], image[:, :, :, 15:17].flip(3))
    assert torch.equal(fake, (image * 2).clamp(-1, 1))


def test_a_size_that_fits_is_not_padded():
    probe = RecordingGenerator(size_multiple=16)
    translator = translator_with(generator=probe)
    source = labels(translator, SOURCE)
    translator.translate(real(1), source, source)
    assert torch.equal(probe.inputs[0], real(1))


def test_results_stay_in_range_and_a_training_network_stays_so():
    probe = RecordingGenerator().train()
    translator = translator_with(generator=probe)
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
    translator = translator_with(discriminator=model.discriminator)
    full = labels(translator, SOURCE)
    assert torch.equal(translator.infer(real(1), full), full)
    assert not passes
    guess = translator.infer(real(1), labels(translator, {"Male": True}))
    assert len(passes) == 1
    assert translator.label_encoder.decode(guess[0])["Male"] is True


def test_what_is_unknown_is_what_the_classifier_says():
    model = tiny_model()
    logits = torch.tensor([[-3.0, 2.0, -1.0, 5.0]])
    sizes = []

    def answer(_, arguments, output):
        sizes.append(arguments[0].shape)
        return DiscriminatorOutput(output.score, logits)

    model.discriminator.register_forward_hook(answer)
    translator = translator_with(discriminator=model.discriminator)
    guess = translator.infer(real(1, 40, 25), labels(translator, {"Male": False}))
    assert translator.label_encoder.decode(guess[0]) == {"hair": "Blond_Hair", "Eyeglasses": False, "Male": False}
    assert sizes == [(1, 3, 16, 16)]


def test_without_a_classifier_what_is_missing_is_named():
    mute = ScoreOnlyDiscriminator(SimpleNamespace(), label_encoder=tiny_model().label_encoder, image_size=16)
    translator = translator_with(discriminator=mute)
    with pytest.raises(RecipeError, match=r"hair, Eyeglasses: unknown.*'score-only'.*--from hair"):
        translator(random_image(), source={"Male": True}, Male=False)
    assert translator(random_image(), source=SOURCE, Male=False).size == (16, 16)


def test_a_device_is_named_as_on_the_command_line(tmp_path, translator):
    translator.save(tmp_path / "saved")
    assert Translator.load(tmp_path / "saved", "auto").device.type in ("cpu", "cuda", "mps")
    assert Translator.load(tmp_path / "saved", torch.device("cpu")).device.type == "cpu"
    with pytest.raises(RecipeError, match=r"tpu.*cpu"):
        Translator.load(tmp_path / "saved", "tpu")


@pytest.mark.parametrize("argument", ["dataset", "source", "size", "edits"])
def test_an_attribute_that_is_called_like_an_argument_is_an_edit(translator, argument):
    with pytest.raises(RecipeError, match=rf"{argument} must be .*not True.*edits={{'{argument}': \.\.\.}}"):
        translator(random_image(), **{argument: True})
    with pytest.raises(RecipeError, match="image"):
        translator(random_image(), image="red")
