"""The reference plugins fulfil the contract, by the checks that plugin authors run."""

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


def write_images(root: Path, *names: str) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 18, 3), np.uint8)).save(root / name)


def write_folder(root: Path) -> None:
    splits = ("train", "val", "test")
    write_images(root, *(f"{split}/{kind}/{n}.png" for split in splits for kind in ("cat", "dog") for n in range(3)))


def write_table(root: Path) -> None:
    write_images(root, *(f"{n}.jpg" for n in range(12)))
    rows = [f"{n}.jpg,{('train', 'val', 'test')[n % 3]},{('cat', 'dog', '')[n // 3 % 3]},{n % 2}" for n in range(12)]
    (root / "pets.csv").write_text("\n".join(["path,split,species,Young", *rows]) + "\n")


def write_aligned(root: Path) -> None:
    write_images(root, *(f"{split}/{n}.jpg" for split in ("train", "val", "test") for n in range(3)))


def write_huggingface(root: Path) -> None:
    import datasets

    write_images(root, *(f"{n}.png" for n in range(8)))
    files = [str(root / f"{n}.png") for n in range(8)]
    table = datasets.Dataset.from_dict({"image": files, "species": ["cat", "dog"] * 4})
    table = table.cast_column("image", datasets.Image())
    table = table.cast_column("species", datasets.ClassLabel(names=["cat", "dog"]))
    table.save_to_disk(str(root / "saved"))


def write_nothing(root: Path) -> None:
    """Datasets that draw their images need no files."""


DATASETS: list[tuple[Callable[[Path], None], dict[str, Any]]] = [
    (write_nothing, {"name": "avatars", "train": 8, "val": 4, "test": 4, "size": 32}),
    (write_nothing, {"name": "avatars", "train": 8, "val": 4, "test": 4, "size": 32, "style": "film"}),
    (write_celeba, {"name": "celeba", "root": "."}),
    (write_rafd, {"name": "rafd", "root": "."}),
    (write_folder, {"name": "folder", "root": "."}),
    (write_table, {"name": "table", "file": "pets.csv"}),
    (write_aligned, {"name": "aligned", "root": "."}),
    (write_huggingface, {"name": "huggingface", "path": "saved"}),
]


def choice(kind: Any, table: dict[str, Any] | str) -> Any:
    return TypeAdapter(Choice[kind]).validate_python(table)


def failures(kind: str, build: Callable[..., Any], **options: Any) -> list[str]:
    return [result.format() for result in suite(kind).results(build, **options) if result.state == "failed"]


def builder(kind: Any, table: dict[str, Any] | str) -> Callable[..., Any]:
    component = choice(kind, table)
    return lambda label_encoder, size: component.build(label_encoder=label_encoder, image_size=size)


@pytest.mark.parametrize(("write", "table"), DATASETS, ids=[*map(str, range(len(DATASETS)))])
def test_datasets(write: Callable[[Path], None], table: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "data"
    write(root)
    table = {key: str(root / value) if key in ("root", "file", "path") else value for key, value in table.items()}
    assert failures("dataset", choice(Dataset, table).build) == []


@pytest.mark.parametrize(
    "settings", [{}, {"masks": "attribute"}, {"masks": "none"}, {"exclusive_loss": "binary"}], ids=str
)
def test_label_encoders(settings: dict[str, Any]) -> None:
    component = choice(LabelEncoder, {"name": "mask-vector", **settings})
    assert failures("encoder", lambda attributes: component.build(attributes=attributes)) == []


RESNET = {"name": "resnet-generator", "channels": 4, "blocks": 1}
STARGAN = {"name": "stargan-generator", "channels": 8, "blocks": 1}
UNET = {"name": "conditional-unet", "channels": 4, "blocks": 1}
STARGAN_D = {"name": "stargan-discriminator", "channels": 8, "layers": 3}
PATCHGAN = {"name": "patchgan", "channels": 4, "layers": 1}
GENERATORS = [
    STARGAN,
    {**STARGAN, "conditioning": "norm", "output": "blend", "label": "difference", "kernel_size": 3},
    UNET,
    {**UNET, "palette": 3},
    {**UNET, "label": "target", "output": "residual", "depth": 3},
    {**UNET, "label": "none", "output": "image", "depth": 1},
    {"name": "per-pair", "member": {**UNET, "label": "none"}},
    RESNET,
    {"name": "unet-generator", "channels": 4},
    {"name": "per-pair", "member": RESNET},
    {"name": "per-target", "member": RESNET},
]
DISCRIMINATORS = [
    {"name": "multi-task-discriminator", "channels": 4, "layers": 3},
    STARGAN_D,
    {**STARGAN_D, "projection": True},
    PATCHGAN,
    {"name": "per-value", "member": PATCHGAN},
    {"name": "timm-discriminator", "model": "resnet10t"},
]


def names(table: Any) -> str:
    return table if isinstance(table, str) else " ".join(value for value in table.values() if isinstance(value, str))


@pytest.mark.parametrize("table", GENERATORS, ids=names)
def test_generators(table: dict[str, Any]) -> None:
    assert failures("generator", builder(Generator, table)) == []


@pytest.mark.parametrize("table", DISCRIMINATORS, ids=names)
def test_discriminators(table: dict[str, Any]) -> None:
    # For 32 pixels, the last feature maps of timm's networks have one pixel, which normalisation sets to zero.
    size = 64 if table["name"] == "timm-discriminator" else 32
    assert failures("discriminator", builder(Discriminator, table), size=size) == []


LOSSES = [
    "wgan-gp",
    {"name": "wgan-gp", "reduction": "sum"},
    "domain-classification",
    "cycle-reconstruction",
    "lsgan",
    {"name": "lsgan", "pool_size": 2},
    "identity",
    "gan",
    "truth-l1",
    "logistic",
    "hinge",
    "r1",
    "content",
    {"name": "content", "reference": "truth"},
    {"name": "content", "network": {"name": "timm", "model": "resnet10t"}},
]


@pytest.mark.parametrize("table", LOSSES, ids=names)
def test_losses(table: dict[str, Any] | str) -> None:
    assert failures("loss", builder(Loss, table)) == []


METRICS = [
    "edit-accuracy",
    "reconstruction",
    "counterfactual",
    "edit-magnitude",
    "perceptual-distance",
    "distribution",
    "gap-closed",
]


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name: str) -> None:
    component = choice(Metric, name)

    def build(attributes: Any, features: Any) -> Metric:
        return component.build(attributes=attributes, classifier_features=features)

    assert failures("metric", build) == []


FEATURES = [
    {"name": "timm", "model": "resnet10t"},
    {"name": "timm", "model": "vit_tiny_patch16_224"},
    {"name": "efficientnet-lite0"},
]


@pytest.mark.parametrize("table", FEATURES, ids=names)
def test_features(table: dict[str, Any]) -> None:
    assert failures("features", choice(Features, table).build) == []


IMPORTERS = ["stargan", "cyclegan", "pix2pix"]


@pytest.mark.parametrize("name", IMPORTERS)
def test_importers(name: str) -> None:
    assert failures("importer", choice(Importer, name).build) == []


def test_all_components_are_checked() -> None:
    """Components that need weights are checked in tests of their own."""
    tables = (*GENERATORS, *DISCRIMINATORS, *LOSSES, *METRICS, *FEATURES, *IMPORTERS)
    checked = {names(table).split()[0] for table in tables} | {table["name"] for _, table in DATASETS}
    shipped = {
        name
        for plugin in registry().plugins
        if plugin.distribution.startswith("mdtranslate ")
        for kind, name in plugin.provides
        if kind in ("dataset", "backbone", "loss", "metric", "features", "importer")
    }
    assert shipped - checked <= {"face-identity", "inception", "lpips"}
