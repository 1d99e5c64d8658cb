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

from mdtranslate import Crop, Translator
from mdtranslate.data.images import decode
from mdtranslate.errors import DataError, RecipeError
from mdtranslate.serve.demo import KEPT, Demo

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
        "pictures": 9,
        "figures": {"edit-accuracy": {"hair/accuracy": 0.75}},
    }
    file.write_text(json.dumps({"datasets": {"avatars": result}}))
    card = Demo(translator, folder).card
    assert card["note"] == ""
    assert card["judged"] == [{"dataset": "avatars", "pictures": 9, "rows": [("hair", 1.0, 0.75), ("skin", 0.5, None)]}]
    for damaged in ("{", "{}", '{"datasets": {"avatars": {}}}', '{"datasets": []}'):
        file.write_text(damaged)
        card = Demo(translator, folder).card
        assert card["judged"] == [] and str(file) in card["note"] and "mdtranslate evaluate" in card["note"]
