"""Resolving recipes with overrides."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mdtranslate_stargan
import pytest
from recipe_parts import BANK, more_generators, origins  # noqa: F401

from mdtranslate import LabelEncoder, Loss
from mdtranslate.config.recipe_loader import resolve, resolve_tree
from mdtranslate.config.registry import registry
from mdtranslate.config.toml_tree import flatten, read_toml, toml_value
from mdtranslate.errors import PluginError, RecipeError


def test_windows_files_read_the_same(tmp_path: Path) -> None:
    text = registry().recipe("stargan").read_text()
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert resolve(str(tmp_path / "mine.toml")).tree == resolve("stargan").tree


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.steps=7", "train.steps", 7),
        ("train.steps=1_000", "train.steps", 1000),
        (" train.steps = 7", "train.steps", 7),
        ("data.flip=false", "data.flip", False),
        ("train.ema=0.99", "train.ema", 0.99),
        ("train.ema=1e-4", "train.ema", 1e-4),
        ("data.targets=other-domain", "data.targets", "other-domain"),
        ('data.targets="other-domain"', "data.targets", "other-domain"),
        ("train.init=runs/stargan-001", "train.init", "runs/stargan-001"),
        ("train.init=a=b # c", "train.init", "a=b # c"),
        ("train.init=2024-05-01", "train.init", "2024-05-01"),
        ("train.init=001", "train.init", "001"),
        ('train.init="7"', "train.init", "7"),
        ("optimizers.generator.betas=[0, 0.9]", "optimizers.generator.betas", [0.0, 0.9]),
        ('datasets.avatars.attributes=["hair"]', "datasets.avatars.attributes", ["hair"]),
        ("losses.cycle-reconstruction.weight=3", "losses.cycle-reconstruction.weight", 3.0),
        (
            "losses.cycle-reconstruction.weight={start=0, end=1, steps=5}",
            "losses.cycle-reconstruction.weight",
            {"start": 0.0, "end": 1.0, "steps": 5},
        ),
        ("losses.again.name=wgan-gp", "losses.again.name", "wgan-gp"),
        ("losses.again=wgan-gp", "losses.again.name", "wgan-gp"),
        ("losses.name=wgan-gp", "losses.name.name", "wgan-gp"),
        ("generator=test-plain", "generator.name", "test-plain"),
    ],
)
def test_overrides(override: str, key: str, value: Any) -> None:
    resolved = resolve("stargan", [override])
    node: Any = resolved.tree
    for part in key.split("."):
        node = node[part]
    assert node == value
    assert type(node) is type(value)
    original = resolve("stargan").tree
    # Nothing else changes, except settings of a component whose name changes.
    after = {
        name: setting
        for name, setting in flatten(resolved.tree)
        if not name.startswith(("generator.", "losses.again", "losses.name"))
    }
    before = {name: setting for name, setting in flatten(original) if not name.startswith("generator.")}
    changed = {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}
    assert all(name == key or name.startswith(f"{key}.") for name in changed)  # A ramp has several keys.
    assert origins(resolved)[key if key in origins(resolved) else f"{key}.start"] == "command line"


# Defaults of StarGAN's generator, as in the paper, that these tests do not change.
DEFAULTS = {"kernel_size": 7, "label": "target", "conditioning": "concat", "output": "image"}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["generator=test-plain", "generator.depth=5"], {"name": "test-plain", "depth": 5, "kinds": {}}),
        (["generator.name=test-plain", "generator.depth=5"], {"name": "test-plain", "depth": 5, "kinds": {}}),
        (
            ["generator=test-bank", "generator.of=test-plain", "generator.of.depth=5"],
            {"name": "test-bank", "of": {"name": "test-plain", "depth": 5, "kinds": {}}, "copies": 2},
        ),
        (
            ["generator.name=test-bank", "generator.of.name=test-plain", "generator.of.depth=5", "generator.copies=3"],
            {"name": "test-bank", "of": {"name": "test-plain", "depth": 5, "kinds": {}}, "copies": 3},
        ),
        (
            [BANK, "generator.of.depth=7"],
            {"name": "test-bank", "of": {"name": "test-plain", "depth": 7, "kinds": {}}, "copies": 2},
        ),
        (
            [BANK, "generator.of.name=stargan-generator", "generator.of.blocks=1"],
            {
                "name": "test-bank",
                "of": {"name": "stargan-generator", "channels": 64, "blocks": 1, **DEFAULTS},
                "copies": 2,
            },
        ),
        (
            ["generator=conditional-unet", "generator.blocks=3"],
            {**resolve("stargan").tree["generator"], "blocks": 3},
        ),
    ],
)
def test_a_new_name_drops_the_old_settings_whatever_the_order(
    overrides: list[str], expected: dict[str, Any], reverse: bool
) -> None:
    resolved = resolve("stargan", reversed(overrides) if reverse else overrides)
    assert resolved.tree["generator"] == expected


def test_origins_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(registry().recipe("stargan").read_text() + '\n[losses.short]\nname = "wgan-gp"\n')
    found = origins(resolve(str(file), ["losses.cycle-reconstruction.weight=5", "losses.other.name=wgan-gp"]))
    assert found["train.steps"] == "mine.toml" and found["train.seed"] == "default"
    assert found["losses.cycle-reconstruction.weight"] == "command line"
    assert found["losses.cycle-reconstruction.name"] == "mine.toml"
    assert found["losses.domain-classification.name"] == "mine.toml"
    assert found["losses.wgan-gp.weight.start"] == "mine.toml"
    assert found["losses.short.name"] == "mine.toml" and found["losses.short.weight"] == "default"
    assert found["losses.other.name"] == "command line" and found["losses.other.weight"] == "default"
    new = origins(resolve("stargan", [BANK, "metrics.again=reconstruction"]))
    assert new["generator.name"] == new["generator.of.name"] == new["generator.of.depth"] == "command line"
    assert new["generator.copies"] == new["generator.of.kinds"] == "default"
    assert new["metrics.again.name"] == "command line"
    kept = origins(resolve("stargan", ["generator=conditional-unet"]))
    assert kept["generator.name"] == "command line" and kept["generator.channels"] == "stargan.toml"
    plain = origins(resolve("stargan", ["generator=test-plain"]))
    assert plain["generator.depth"] == "default"


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(Path(mdtranslate_stargan.__file__).parent.glob("recipes/*"))]
)
def test_shipped_recipes_survive_a_round_trip(name: str) -> None:
    assert name in registry().names("recipe")
    resolved = resolve(name)
    again = resolve_tree(name, tomllib.loads(resolved.toml()), source="again")
    assert again.tree == resolved.tree and again.toml() == resolved.toml()
    assert set(origins(again).values()) == {"again"}
    # The lines of --dry-run are overrides that give the same recipe.
    lines = resolved.explain().splitlines()
    assert len(lines) == len(list(flatten(resolved.tree)))
    from_lines = resolve_tree(name, {}, lines, source="nothing")
    assert from_lines.tree == resolved.tree


def test_registered_recipes() -> None:
    assert set(registry().names("recipe")) >= {"stargan", "stargan-avatars", "stargan-celeba"}


def test_round_trip_of_nested_choices_and_odd_strings() -> None:
    overrides = [BANK, 'generator.of.kinds={a = ["x\\ny", "\\"", "é"], "b c" = []}', "train.init='C:\\dir'"]
    resolved = resolve("stargan", overrides)
    assert resolved.tree["generator"]["of"]["kinds"] == {"a": ["x\ny", '"', "é"], "b c": []}
    assert resolve_tree("x", tomllib.loads(resolved.toml()), source="x").tree == resolved.tree
    assert tomllib.loads(f"x = {toml_value(resolved.tree['generator'])}")["x"] == resolved.tree["generator"]


def test_the_tree_is_not_modified() -> None:
    tree = read_toml(registry().recipe("stargan"))
    before = deepcopy(tree)
    resolve_tree("x", tree, ["train.steps=5", "generator=test-plain", "losses.x=wgan-gp"], source="x")
    assert tree == before


def test_stargan_celeba_has_the_settings_of_the_paper() -> None:
    recipe = resolve("stargan-celeba").recipe
    assert recipe.generator.dump() == {"name": "stargan-generator", "channels": 64, "blocks": 6, **DEFAULTS}
    expected = {"name": "stargan-discriminator", "channels": 64, "layers": 6, "projection": False}
    assert recipe.discriminator.dump() == expected
    assert (recipe.data.image_size, recipe.data.batch_size, recipe.data.flip, recipe.data.targets) == (
        128,
        16,
        True,
        "permute",
    )
    # 20 epochs of all images but 2,000, where the released code holds out 1,999.
    assert (recipe.train.steps, recipe.train.critic_steps) == (20 * (202_599 - 1_999) // 16, 5)
    for optimizer in (recipe.optimizers.generator, recipe.optimizers.discriminator):
        assert (optimizer.learning_rate, optimizer.betas) == (1e-4, (0.5, 0.999))
        assert optimizer.rate(0, 200_000) == optimizer.rate(100_000, 200_000) == 1e-4
        assert optimizer.rate(150_000, 200_000) == pytest.approx(5e-5)
        assert optimizer.rate(199_999, 200_000) == pytest.approx(1e-9) and optimizer.rate(200_000, 200_000) == 0
    weights = {name: choice.config.weight for name, choice in recipe.losses.items()}  # type: ignore[attr-defined]
    assert weights == {"wgan-gp": 1.0, "domain-classification": 1.0, "cycle-reconstruction": 10.0}


def test_differences_of_the_released_code() -> None:
    paper, released = resolve("stargan-celeba"), resolve("stargan-celeba-released")
    before, after = dict(flatten(paper.tree)), dict(flatten(released.tree))
    assert {key: value for key, value in after.items() if before.get(key) != value} == {
        "losses.wgan-gp.reduction": "sum",
        "train.steps": 200_000,
        "optimizers.generator.decay_from": 1.0,
        "optimizers.discriminator.decay_from": 1.0,
    }
    assert released.recipe.optimizers.generator.rate(199_999, 200_000) == 1e-4


def test_the_papers_length_on_rafd() -> None:
    assert resolve("stargan-rafd").recipe.train.steps == 200 * 4_824 * 9 // 10 // 16


def test_a_component_that_refuses_its_settings_is_a_recipe_error() -> None:
    def build(depth: int) -> None:
        resolve("stargan", ["generator=test-plain", f"generator.depth={depth}"]).recipe.generator.build(
            label_encoder=None, image_size=64
        )

    build(1)
    with pytest.raises(RecipeError, match=r"^backbone 'test-plain' of plugin tests .*: 8 is not for"):
        build(8)
    with pytest.raises(PluginError, match=r"^backbone 'test-plain' of plugin tests .*: SystemExit: gone$"):
        build(9)


def test_ramps() -> None:
    class Nothing(Loss):
        name = "nothing"

    def weight(value: Any, step: int) -> float:
        label_encoder: LabelEncoder = SimpleNamespace()  # type: ignore[assignment]
        return Nothing(Nothing.Config(weight=value), label_encoder=label_encoder, image_size=8).weight(step)

    ramp = {"start": 1, "end": 3, "steps": 4}
    assert [weight(ramp, step) for step in range(6)] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]
    assert weight(2, 99) == 2.0


@pytest.mark.parametrize("word", ["2024", "007", "1e3", "2024.10", "2024-01-01"])
def test_a_folder_name_may_look_like_a_number(word: str) -> None:
    tree = 'datasets={pets={name="folder", root="x"}}'
    recipe = resolve("stargan", [tree, f"datasets.pets.root={word}"]).recipe
    assert str(recipe.datasets["pets"].config.root) == word
    assert resolve("stargan", ["train.steps=2024"]).recipe.train.steps == 2024
