"""Mistakes in recipes and overrides: the message names the key, the value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_parts import more_generators  # noqa: F401

from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.registry import registry
from mdtranslate.errors import RecipeError

STEPS = resolve("stargan").recipe.train.steps

# How the message of an override begins, after its origin.
MISTAKES = {
    # unknown keys
    "train.stpes=5": "train.stpes=5: no such key; did you mean 'steps'?",
    "trian.steps=5": "trian: no such key; did you mean 'train'?",
    "generator.chanels=5": "generator.chanels=5: no such key; did you mean 'channels'?",
    "losses.wgan-gp.gradient_penalti=1": (
        "losses.wgan-gp.gradient_penalti=1: no such key; did you mean 'gradient_penalty'?"
    ),
    "optimizers.generator.lr=1": "optimizers.generator.lr=1: no such key; there is betas, decay_from, learning_rate",
    # types and bounds
    "train.steps=many": 'train.steps="many": Input should be a valid integer',
    "train.steps=0": "train.steps=0: Input should be greater than 0",
    "train.steps=1.5": "train.steps=1.5: Input should be a valid integer",
    "train.steps=[1]": "train.steps=[1]: Input should be a valid integer",
    "train.ema=1": "train.ema=1: Input should be less than 1",
    "train.ema=nan": "train.ema=nan: Input should be a finite number",
    "data.flip=maybe": 'data.flip="maybe": Input should be a valid boolean',
    "data.targets=random": "data.targets=\"random\": Input should be 'permute', 'one-edit', 'other-domain'",
    "data.load_size=32": "data: load_size 32 ",
    "train={steps = 0}": "train.steps=0: Input should be greater than 0",
    "train=5": "train=5: should be a table",
    "train.critic_steps=300000": f"train: critic_steps 300000 is more than steps {STEPS}",
    "train.gradient_accumulation=3": "train: gradient_accumulation 3 does not divide data.batch_size=8",
    "train.seed=9223372036854775808": "train.seed=9223372036854775808: Input should be less than",
    "data.batch_size=1_000_000": "data.batch_size=1000000: Input should be less than or equal to 65536",
    "losses={wgan-gp = {weight = 0}}": "losses: all weights are 0",
    "metrics.a/b=reconstruction": "metrics: 'a/b': ",
    "datasets.avatars.root=\udce9": "'datasets.avatars.root=\\udce9' is not UTF-8",
    f"train.steps={'9' * 5000}": "train.steps=",
    "optimizers.generator.betas=[0.5, 2]": "optimizers.generator.betas.1=2: Input should be less than 1",
    "optimizers.generator.betas=[0.5]": "optimizers.generator.betas.1: is missing",
    "datasets.avatars.attributes=hair": 'datasets.avatars.attributes="hair": should be a list',
    "datasets.avatars.attributes=[1]": "datasets.avatars.attributes.0=1: Input should be a valid string",
    "train.steps.more=5": f"train.steps.more=5: train.steps is {STEPS}, not a table",
    # one mistake in a union is one line
    "losses.wgan-gp.weight=heavy": 'losses.wgan-gp.weight="heavy": Input should be a valid number',
    "losses.wgan-gp.weight={start=1, end=2}": "losses.wgan-gp.weight.steps: is missing",
    "losses.wgan-gp.weight={start=1, end=2, steps=0}": "losses.wgan-gp.weight.steps=0: Input should be greater than",
    "losses.wgan-gp.weight={start=1, end=2, stpes=3, steps=4}": (
        "losses.wgan-gp.weight.stpes=3: no such key; did you mean"
    ),
    # names
    "generator=test-bnak": "generator.name=\"test-bnak\": no backbone is called 'test-bnak': did you mean 'test-bank'?",
    "generator.name=5": "generator.name=5: ",
    "generator=5": "generator=5: ",
    "generator={channels = 4}": "generator: the name of a generator is missing; there is ",
    "generator.name=stargan-discriminator": (
        "generator.name=\"stargan-discriminator\": 'stargan-discriminator' is a backbone"
    ),
    "losses.wgan-pg.weight=1": "losses.wgan-pg: no loss is called 'wgan-pg': did you mean 'wgan-gp'?",
    "losses.mine.name=wgan-pg": "losses.mine.name=\"wgan-pg\": no loss is called 'wgan-pg': did you mean 'wgan-gp'?",
    "losses.mine=wgan-pg": "losses.mine=\"wgan-pg\": no loss is called 'wgan-pg': did you mean 'wgan-gp'?",
    "losses={}": "losses: Dictionary should have at least 1 item",
    "losses=wgan-gp": 'losses="wgan-gp": should be a table',
    # tables of a shell
    "datasets={pets={name='folder', attribute='kind'}}": "datasets.pets.root: is missing",
    "datasets={folder={}}": "datasets.folder.root: is missing",
    "datasets={folder={root=data/pets}}": "'datasets={folder={root=data/pets}}': is not valid TOML: Invalid value; ",
    "train={steps=10": "'train={steps=10': is not valid TOML: ",
    "losses.wgan-gp.weight=-1": "losses.wgan-gp.weight=-1: is negative",
    "losses.wgan-gp.weight={start=1, end=-1, steps=9}": "losses.wgan-gp.weight: is negative",
    "data.cross_dataset=0.5": "data: cross_dataset=0.5 needs several datasets",
    # nested choices
    "generator=test-bank": "generator.of: is missing",
    'generator={name = "test-bank", of = "test-plan"}': (
        "generator.of=\"test-plan\": no backbone is called 'test-plan': did"
    ),
    'generator={name = "test-bank", of = {name = "test-plain", depth = 10}}': (
        "generator.of.depth=10: Input should be less"
    ),
    'generator={name = "test-bank", of = {name = "test-plain", dept = 5}}': (
        "generator.of.dept=5: no such key; did you mean"
    ),
    'generator={name = "test-bank", of = {name = "test-bank", of = {name = "test-plain", depth = 0}}}': (
        "generator.of.of.depth=0: Input should be greater than or equal to 1"
    ),
    'generator={name = "test-bank", of = {name = "test-bank"}}': "generator.of.of: is missing",
    'generator={name = "test-plain", kinds = {a = [1]}}': "generator.kinds.a.0=1: Input should be a valid string",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_on_the_command_line(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve("stargan", [override])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"command line: {MISTAKES[override]}"), line
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["train.steps", "=5", "train.=5", ".steps=5", "", "train..steps=1"])
def test_overrides_without_key_or_value(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve("stargan", [text])
    assert repr(text) in str(caught.value) and "key=value" in str(caught.value)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[train]\nsteps = -1\nstpes = 2\n[data]\nbatch_size = "x"\n[generator]\nname = "test-plain"\ndepth = 99\n'
    )
    with pytest.raises(RecipeError) as caught:
        resolve(str(file))
    lines = str(caught.value).splitlines()
    assert all(line.startswith("mine.toml: ") for line in lines)
    for expected in (
        "train.steps=-1: ",
        "train.stpes=2: ",
        'data.batch_size="x": ',
        "generator.depth=99: ",
        "datasets: is missing",
        "label_encoder: is missing",
        "discriminator: is missing",
        "losses: is missing",
    ):
        assert sum(expected in line for line in lines) == 1, expected
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[train\nsteps = 5", "is not valid TOML: "),
        (b"\xff\xfe\x00\x01", "cannot be read: "),
        (b"x = " + b"[" * 9999, "is not valid TOML: "),
        (b"a = 1\na = 2", "is not valid TOML: "),
        (None, "there is no such file"),
    ],
)
def test_files_that_are_not_recipes(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RecipeError) as caught:
        resolve(str(file))
    assert str(caught.value).startswith(f"{file}: {message}") and "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_tables_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(f"[{'.'.join('a' * 3000)}]\n")
    with pytest.raises(RecipeError, match=r"deep\.toml"):
        resolve(str(path))


def test_a_recipe_name_is_usable_as_a_folder_name(tmp_path: Path) -> None:
    path = tmp_path / "my\nown, recipe.toml"
    path.write_text(registry().recipe("stargan").read_text())
    assert resolve(str(path)).name == "my_own_recipe"


def test_a_folder_is_not_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(RecipeError, match=r"a\.toml"):
        resolve(str(tmp_path / "a.toml"))
