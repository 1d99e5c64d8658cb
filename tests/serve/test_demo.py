"""What the demo tells its page, without HTTP."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import make_run, mute, png
from tiny import BOTH, tiny_translator

from mdtranslate import Crop, Record, Translator
from mdtranslate.config.registry import registry
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.serve.demo import KEPT, Demo
from mdtranslate.serve.model_facts import card as card_of
from mdtranslate.sharing.push import push
from mdtranslate.utils.image_io import decode

ALL = {"hair": "Black_Hair", "Eyeglasses": "no", "Male": "yes"}


def pixels(address: str) -> Any:
    head, _, data = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))


@pytest.fixture(scope="module")
def plain(translator: Translator, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Of a translator that lies without a run."""
    return Demo(translator, tmp_path_factory.mktemp("none"))


def test_controls_are_named_as_on_the_command_line(plain: Demo) -> None:
    hair, glasses, male = plain.model()["controls"]
    assert hair == {
        "name": "hair",
        "values": ["none", "Black_Hair", "Blond_Hair"],
        "switch": False,
        "datasets": ["celeba"],
        "edits": ["Black_Hair", "Blond_Hair"],
    }
    assert glasses["values"] == glasses["edits"] == ["no", "yes"] and glasses["switch"] and male["name"] == "Male"


def test_what_the_page_shows_is_what_the_translator_makes(plain: Demo, translator: Translator) -> None:
    content = png()
    image = decode(BytesIO(content))
    looked = plain.look(content, {"Eyeglasses": "yes"}, None)
    assert looked["asked"] == [] and [*looked["source"]] == ["hair", "Eyeglasses", "Male"]
    assert looked["source"]["Eyeglasses"] == "yes"
    assert np.array_equal(pixels(looked["original"]), translator.prepare(image))
    made = plain.translate(content, {"hair": "Blond_Hair", "Male": "no"}, looked["source"], None)
    wanted = translator(image, source=looked["source"], hair="Blond_Hair", Male=False)
    assert np.array_equal(pixels(made["translated"]), np.asarray(wanted))
    assert np.array_equal(pixels(made["original"]), translator.prepare(image))


def test_of_several_datasets_each_edit_has_its_own_crop(tmp_path: Path) -> None:
    translator = tiny_translator(BOTH)
    translator.crops = {"celeba": Crop(), "rafd": Crop(side=0.5)}
    demo, content = Demo(translator, tmp_path), png()
    image = decode(BytesIO(content))
    model = demo.model()
    assert [each["name"] for each in model["controls"]] == ["hair", "Eyeglasses", "celeba.Male", "mood", "rafd.Male"]
    source = demo.look(content, {}, None)["source"]
    assert [*source] == ["hair", "Eyeglasses", "celeba.Male", "mood", "rafd.Male"]
    made = demo.translate(content, {"mood": "sad"}, source, None)
    assert np.array_equal(pixels(made["original"]), translator.prepare(image, dataset="rafd"))
    like = demo.translate(content, {"mood": "sad"}, source, "celeba")
    assert np.array_equal(pixels(like["original"]), translator.prepare(image, dataset="celeba"))
    assert np.array_equal(pixels(demo.look(content, {}, "rafd")["original"]), translator.prepare(image, dataset="rafd"))
    both = demo.translate(content, {"mood": "sad", "hair": "Blond_Hair"}, source, None)
    assert np.array_equal(pixels(both["original"]), translator.prepare(image, dataset="rafd"))


def test_what_no_network_tells_is_asked(tmp_path: Path) -> None:
    demo, content = Demo(mute(), tmp_path), png()
    looked = demo.look(content, {"Male": "no"}, None)
    assert looked["asked"] == ["hair", "Eyeglasses"] and looked["source"] == {"Male": "no"}
    assert demo.look(content, ALL, None)["asked"] == []
    with pytest.raises(RecipeError, match="hair, Eyeglasses: unknown of the picture"):
        demo.translate(content, {"Male": "yes"}, looked["source"], None)


def test_mistakes_are_the_translators(plain: Demo) -> None:
    content = png()
    for call in (
        lambda: plain.look(content, {"hear": "none"}, None),
        lambda: plain.look(content, {}, "celeb"),
        lambda: plain.translate(content, {"hair": "green"}, {}, None),
        lambda: plain.translate(content, {}, {}, None),
        lambda: plain.translate(content, {"hair": "none"}, {"Male": "perhaps"}, None),
    ):
        with pytest.raises(RecipeError):
            call()
    for bad in (b"no picture", content[:200], b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        with pytest.raises(DataError, match=r"^picture: "):
            plain.look(bad, {}, None)


def test_few_pictures_are_kept(plain: Demo) -> None:
    for seed in range(KEPT + 3):
        plain.look(png(seed), ALL, None)
    assert len(plain._views) == KEPT


def test_test_pictures_of_a_run(run: Path) -> None:
    demo = Demo(Translator.load(run), run)
    samples = demo.model()["samples"]
    assert demo.missing == [] and len(samples) == len(demo.samples) == 8
    assert samples[0]["key"] == "test/000000" and {*samples[0]["known"]} == {"hair", "Eyeglasses", "Facial_Hair"}
    looked = demo.look(demo.samples[0].picture, demo.samples[0].known, None)
    assert looked["source"] == samples[0]["known"] and pixels(looked["original"]).shape == (32, 32, 3)


def test_test_pictures_that_cannot_be_read_are_passed_over(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, damaged = registry().component("dataset", "avatars"), ["test/000000", "test/000003"]
    load = source.load

    def some(self: Any, record: Record) -> Any:
        if record.key in damaged:
            raise KeyError("no such eye")
        return load(self, record)

    monkeypatch.setattr(source, "load", some)
    demo = Demo(Translator.load(run), run)
    assert demo.missing == [] and [each.key for each in demo.samples] == [f"test/{n:06d}" for n in (1, 2, 4, 5, 6, 7)]
    damaged += [f"test/{number:06d}" for number in range(8)]
    demo = Demo(Translator.load(run), run)
    line = "There are no test pictures of avatars to choose from: KeyError: 'no such eye'"
    assert demo.samples == [] and demo.missing == [line]
    monkeypatch.setattr(source, "records", lambda self, split: {}["no such list"])
    assert Demo(Translator.load(run), run).missing[0].endswith("KeyError: 'no such list'")


def test_nothing_is_asked_for_where_a_strangers_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "run")
    push(folder, str(tmp_path / "shared"), licence=None, picture=False, private=False, message=None)
    built: list[Any] = []
    monkeypatch.setattr("mdtranslate.serve.test_samples.build_sources", built.append)
    demo = Demo(Translator.load(tmp_path / "shared"), tmp_path / "shared")
    assert demo.samples == [] and built == [] and "model that was shared: no test pictures" in demo.missing[0]
    assert demo.look(png(), {}, None)["asked"] == []


def test_where_no_test_pictures_are_it_is_said(tmp_path: Path, translator: Translator) -> None:
    folder = make_run(tmp_path / "run")
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace('name = "avatars"', f'name = "folder"\nroot = "{tmp_path}/gone"'))
    for line in ("seed", "train", "val", "test", "size", "look"):
        text = (folder / "recipe.toml").read_text()
        head, rest = text.split("[encoder]", 1)
        kept = [each for each in head.splitlines() if not each.startswith(f"{line} =")]
        (folder / "recipe.toml").write_text("\n".join([*kept, "[encoder]"]) + rest)
    demo = Demo(Translator.load(folder), folder)
    assert demo.samples == [] and len(demo.missing) == 1
    assert str(tmp_path / "gone") in demo.missing[0]
    alone = Demo(translator, folder / "translator")
    assert alone.missing == [
        f"{folder / 'translator'} is a translator without its run: there are no test pictures to choose from"
    ]


def test_the_card(run: Path, plain: Demo, tmp_path: Path) -> None:
    facts = dict(plain.card["facts"])
    assert facts["Recipe"] == "tiny" and facts["Trained for"] == "7 steps" and facts["Pictures"] == "16 × 16 pixels"
    assert (
        facts["Datasets"] == "celeba" and facts["Credit"] == "Faces: nobody" and "of the generator" in facts["Weights"]
    )
    assert "without its run" in plain.card["note"]
    folder = make_run(tmp_path / "run")
    translator = Translator.load(folder)
    assert f"mdtranslate evaluate {folder}" in Demo(translator, folder).card["note"]
    (folder / "evaluation").mkdir()
    file = folder / "evaluation" / "report.json"
    result = {
        "judge": {"accuracy_on_real_pictures": {"skin": 0.5, "hair": 1.0}},
        "edited": ["hair"],
        "edits": {"hair=Black_Hair": 9},
        "left_out": [],
        "pictures": 9,
        "figures": {"edit-accuracy": {"hair/accuracy": 0.75, "skin/accuracy": float("nan")}},
    }
    own = json.loads((folder / "translator" / "translator.json").read_text())["files"]
    file.write_text(json.dumps({"weights": own, "datasets": {"avatars": result}}))
    card = Demo(translator, folder).card
    assert card["note"] == ""
    assert card["judged"] == [{"dataset": "avatars", "pictures": 9, "rows": [("hair", 1.0, 0.75), ("skin", 0.5, None)]}]
    for other in ({"weights": dict.fromkeys(own, "of an earlier step")}, {}):
        file.write_text(json.dumps({**other, "datasets": {"avatars": result}}))
        card = Demo(translator, folder).card
        assert card["judged"] == [] and "not of these weights" in card["note"]
        assert card["note"].endswith(f"mdtranslate evaluate {folder}")
    spaced = make_run(tmp_path / "my run")
    assert card_of(translator, spaced)["note"].endswith(f"mdtranslate evaluate '{spaced}'")
    for damaged in ("{", "{}", '{"datasets": {"avatars": {}}}', '{"datasets": []}', "[" * 100_000):
        file.write_text(damaged)
        card = Demo(translator, folder).card
        assert card["judged"] == [] and str(file) in card["note"] and "mdtranslate evaluate" in card["note"]
