"""A dataset of squares: red, green or blue, bright or dark, with a frame or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch

from mdtranslate import hookimpl
from mdtranslate.api import Attribute, Dataset, Record, Split
from mdtranslate.api.attribute import format_value
from mdtranslate.config.registry import registry
from mdtranslate.data.recipe_datasets import RecipeDataset
from mdtranslate.evaluation import evaluate as evaluation
from mdtranslate.evaluation.attribute_classifier import AttributeClassifier
from mdtranslate.evaluation.classified_attributes import ClassifiedAttributes

SIZE = 16


class Squares(Dataset):
    """Images of squares; `framed` is unknown for every fifth."""

    name = "squares"
    attributes = (Attribute("colour", ("red", "green", "blue")), Attribute("framed"), Attribute("bright"))

    def records(self, split: Split) -> Iterator[Record]:
        for number in range(48 if split is Split.TRAIN else 20):
            colour = ("red", "green", "blue")[number % 3]
            values = {"colour": colour, "framed": number % 2 == 0, "bright": number % 4 < 2}
            known = {name: value for name, value in values.items() if name != "framed" or number % 5}
            drawn = "&".join(f"{name}={format_value(value)}" for name, value in values.items())
            yield Record(f"{split.value}/{number}?{drawn}", None, known)

    def load(self, record: Record) -> np.ndarray:
        drawn = dict(re.findall(r"(\w+)=(\w+)", record.key))
        rng = np.random.default_rng(int(re.findall(r"/(\d+)", record.key)[0]))
        image = rng.integers(0, 30, (SIZE, SIZE, 3), dtype=np.uint8)
        image[3:-3, 3:-3, ("red", "green", "blue").index(drawn["colour"])] += 220 if drawn["bright"] == "yes" else 110
        if drawn["framed"] == "yes":
            image[[0, -1]] = image[:, [0, -1]] = 255
        return image

    def counterfactual(self, record: Record, attributes: Mapping[str, object]) -> Record | None:
        if record.key.startswith("test/1?"):
            return None  # The ground truth of one image is unknown.
        key = record.key
        for name, value in attributes.items():
            key = re.sub(rf"{name}=\w+", f"{name}={format_value(value)}", key)
        return Record(key, None, {**record.attributes, **attributes})


class _Plugin:
    @staticmethod
    @hookimpl
    def register_datasets() -> list[type[Dataset]]:
        return [Squares]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def squares() -> RecipeDataset:
    if "squares" not in registry().names("dataset"):
        plugin = SimpleNamespace(register_datasets=_Plugin.register_datasets, __name__="squares_plugin")
        assert not registry().register(plugin, "squares-plugin").errors
    dataset = Squares(Squares.Config())
    return RecipeDataset("squares", 0, dataset, dataset.attributes[:2])


@pytest.fixture
def pixel_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the classifier by one that needs no training: it reads the pixels that an attribute paints."""

    class PixelClassifier(AttributeClassifier):
        def predict(self, real: torch.Tensor) -> list[dict]:
            inside = real[:, :, 3:-3, 3:-3].mean((2, 3))
            return [
                {
                    "colour": ("red", "green", "blue")[int(colours.argmax())],
                    "framed": bool(image[:, 0].mean() > 0.5),
                    "bright": bool(colours.max() > 0.3),
                }
                for image, colours in zip(real, inside, strict=True)
            ]

    network = timm.create_model("test_resnet").eval()

    def load(datasets: list[RecipeDataset], size: int, device: torch.device, *rest: object) -> AttributeClassifier:
        accuracy = {dataset.name: {"colour": 0.75} for dataset in datasets}
        metadata = {"network": "pixels", "key": "k"}
        return PixelClassifier(ClassifiedAttributes(datasets).attributes, network, device, metadata, accuracy)

    monkeypatch.setattr(evaluation, "load_or_train_classifier", load)
