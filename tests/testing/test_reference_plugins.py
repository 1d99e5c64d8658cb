"""The reference plugins keep the contract, by the checks that authors run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import write_celeba, write_rafd
from PIL import Image
from pydantic import TypeAdapter

from mdtranslate import Choice, Dataset, Discriminator, Features, Generator, Importer, LabelEncoder, Loss, Metric
from mdtranslate.config.registry import registry
from mdtranslate.testing import suite


def pictures(root: Path, *names: str) -> None:
    draw = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (20, 18, 3), np.uint8)).save(root / name)


def write_folder(root: Path) -> None:
    splits = ("train", "val", "test")
    pictures(root, *(f"{split}/{kind}/{n}.png" for split in splits for kind in ("cat", "dog") for n in range(3)))


def write_table(root: Path) -> None:
    pictures(root, *(f"{n}.jpg" for n in range(12)))
    rows = [f"{n}.jpg,{('train', 'val', 'test')[n % 3]},{('cat', 'dog', '')[n // 3 % 3]},{n % 2}" for n in range(12)]
    (root / "pets.csv").write_text("\n".join(["path,split,species,Young", *rows]) + "\n")


def write_aligned(root: Path) -> None:
    pictures(root, *(f"{split}/{n}.jpg" for split in ("train", "val", "test") for n in range(3)))


def write_huggingface(root: Path) -> None:
    import datasets

    pictures(root, *(f"{n}.png" for n in range(8)))
    files = [str(root / f"{n}.png") for n in range(8)]
    made = datasets.Dataset.from_dict({"image": files, "species": ["cat", "dog"] * 4})
    made = made.cast_column("image", datasets.Image()).cast_column("species", datasets.ClassLabel(names=["cat", "dog"]))
    made.save_to_disk(str(root / "saved"))


def nothing(root: Path) -> None:
    """It draws its own."""


DATASETS: list[tuple[Callable[[Path], None], dict[str, Any]]] = [
    (nothing, {"name": "avatars", "train": 8, "val": 4, "test": 4, "size": 32}),
    (nothing, {"name": "avatars", "train": 8, "val": 4, "test": 4, "size": 32, "look": "film"}),
    (write_celeba, {"name": "celeba", "root": "."}),
    (write_rafd, {"name": "rafd", "root": "."}),
    (write_folder, {"name": "folder", "root": "."}),
    (write_table, {"name": "table", "file": "pets.csv"}),
    (write_aligned, {"name": "aligned", "root": "."}),
    (write_huggingface, {"name": "huggingface", "path": "saved"}),
]


def choice(kind: Any, table: dict[str, Any] | str) -> Any:
    return TypeAdapter(Choice[kind]).validate_python(table)


def failures(kind: str, given: Any, **more: Any) -> list[str]:
    return [each.text() for each in suite(kind).results(given, **more) if each.state == "failed"]


@pytest.mark.parametrize(("write", "table"), DATASETS, ids=[*map(str, range(len(DATASETS)))])
def test_datasets(write: Callable[[Path], None], table: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "data"
    write(root)
    table = {key: str(root / value) if key in ("root", "file", "path") else value for key, value in table.items()}
    made = choice(Dataset, table)
    assert failures("dataset", made.build) == []


@pytest.mark.parametrize("settings", [{}, {"masks": "attribute"}, {"masks": "none"}, {"exclusive": "binary"}], ids=str)
def test_the_encoder(settings: dict[str, Any]) -> None:
    made = choice(LabelEncoder, {"name": "mask-vector", **settings})
    assert failures("encoder", lambda attributes: made.build(attributes=attributes)) == []


RESNET = {"name": "resnet-generator", "channels": 4, "blocks": 1}
STARGAN = {"name": "stargan-generator", "channels": 8, "blocks": 1}
UNET = {"name": "conditional-unet", "channels": 4, "blocks": 1}
CRITIC = {"name": "stargan-discriminator", "channels": 8, "layers": 3}
PATCH = {"name": "patchgan", "channels": 4, "layers": 1}
GENERATORS = [
    STARGAN,
    {**STARGAN, "condition": "norms", "output": "blend", "label": "difference", "kernel": 3},
    UNET,
    {**UNET, "label": "target", "output": "residual", "depth": 3},
    {**UNET, "label": "none", "output": "picture", "depth": 1},
    {"name": "per-pair", "of": {**UNET, "label": "none"}},
    RESNET,
    {"name": "unet-generator", "channels": 4},
    {"name": "per-pair", "of": RESNET},
    {"name": "per-target", "of": RESNET},
]
DISCRIMINATORS = [
    CRITIC,
    {**CRITIC, "projection": True},
    PATCH,
    {"name": "per-value", "of": PATCH},
    {"name": "timm-discriminator", "model": "resnet10t"},
]


def names(table: Any) -> str:
    return table if isinstance(table, str) else " ".join(str(each) for each in table.values() if isinstance(each, str))


@pytest.mark.parametrize("table", GENERATORS, ids=names)
def test_generators(table: dict[str, Any]) -> None:
    made = choice(Generator, table)
    assert failures("generator", lambda encoder, size: made.build(encoder=encoder, image_size=size)) == []


@pytest.mark.parametrize("table", DISCRIMINATORS, ids=names)
def test_discriminators(table: dict[str, Any]) -> None:
    made = choice(Discriminator, table)
    # At 32 pixels the last layers of a network of timm have one pixel, which normalisation takes away.
    size = 64 if table["name"] == "timm-discriminator" else 32
    assert (
        failures("discriminator", lambda encoder, size: made.build(encoder=encoder, image_size=size), size=size) == []
    )


LOSSES = [
    "wgan-gp",
    {"name": "wgan-gp", "penalised": "sum"},
    "domain-classification",
    "cycle-reconstruction",
    "lsgan",
    {"name": "lsgan", "pool": 2},
    "identity",
    "gan",
    "truth-l1",
    "content",
    {"name": "content", "to": "truth"},
    {"name": "content", "network": {"name": "timm", "model": "resnet10t"}},
]


@pytest.mark.parametrize("table", LOSSES, ids=names)
def test_losses(table: dict[str, Any] | str) -> None:
    made = choice(Loss, table)
    assert failures("loss", lambda encoder, size: made.build(encoder=encoder, image_size=size)) == []


METRICS = ["edit-accuracy", "reconstruction", "counterfactual", "edit-magnitude", "perceptual-distance", "distribution"]


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name: str) -> None:
    made = choice(Metric, name)
    assert failures("metric", lambda attributes, judge: made.build(attributes=attributes, judge=judge)) == []


FEATURES = [{"name": "timm", "model": "resnet10t"}, {"name": "timm", "model": "vit_tiny_patch16_224"}]


@pytest.mark.parametrize("table", FEATURES, ids=names)
def test_features(table: dict[str, Any]) -> None:
    assert failures("features", choice(Features, table).build) == []


IMPORTERS = ["stargan", "cyclegan", "pix2pix"]


@pytest.mark.parametrize("name", IMPORTERS)
def test_importers(name: str) -> None:
    assert failures("importer", choice(Importer, name).build) == []


def test_nothing_that_ships_is_left_out() -> None:
    """Named here or, where it wants weights or pairs of pictures, in its own tests."""
    tables = (*GENERATORS, *DISCRIMINATORS, *LOSSES, *METRICS, *FEATURES, *IMPORTERS)
    checked = {names(each).split()[0] for each in tables} | {table["name"] for _, table in DATASETS}
    shipped = {
        name
        for plugin in registry().plugins
        if plugin.distribution.startswith("mdtranslate ")
        for kind, name in plugin.provides
        if kind in ("dataset", "backbone", "loss", "metric", "features", "importer")
    }
    assert shipped - checked <= {"face-identity", "inception"}
