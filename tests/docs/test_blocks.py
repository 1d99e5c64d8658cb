"""Every code block and command of the docs is run; where it takes hours or a cluster, its parts are checked."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from blocks import PAGES, ROOT, Block, blocks, commands, in_text
from layouts import write_celeba, write_rafd
from PIL import Image
from typing_in import small, typed

from mdtranslate.cli.main import cli
from mdtranslate.config.recipes import resolve, toml_value
from mdtranslate.config.registry import registry
from mdtranslate.config.schema import Recipe
from mdtranslate.errors import RecipeError

ALL = [each for page in PAGES if page.name != "plugins.md" for each in blocks(page)]
"""All but the walk of plugins.md, which `test_walk.py` goes, step after step."""
TYPED = list({tuple(words): each for each in ALL if each.kind == "commands" for words in commands(each.text)}.items())
"""Each command once, wherever it stands."""
SETUP = {
    "python3",
    "pip",
    "pytest",
    ".venv/bin/pip",
    ".venv/bin/pytest",
    ".venv/bin/ruff",
    ".venv/bin/mypy",
    "cd",
    ".venv/bin/python",
}
"""What an installation takes: `.ci/run` does it, from nothing."""
QUICK_JUDGE = [f"evaluation.judge.{each}" for each in ("rounds=1", "least=64", "most=64")]
MEANT = {
    "docs/images/portrait.png": "picture.png",
    "PICTURE.png": "picture.png",
    "PHOTO": "picture.png",
    "PATH": "pets",
    "RUN": "runs/stargan-001",
    "FOLDER": "shared",
}


def test_there_are_blocks_of_every_kind() -> None:
    kinds = [each.kind for each in ALL]
    assert kinds.count("commands") > 15 and kinds.count("python") >= 1 and kinds.count("toml") >= 3


@pytest.fixture(scope="module")
def place(home: Path) -> Path:
    """A folder with everything that the documentation's commands name."""
    draw = np.random.default_rng(0)

    def save(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (48, 40, 3), np.uint8)).save(path)

    for name in ("picture.png", "another.jpg"):
        save(home / name)
    for split in ("train", "val", "test"):
        for kind in ("cat", "dog"):
            for number in range(4):
                save(home / "data" / "pets" / split / kind / f"{number}.jpg")
                save(home / "pets" / split / kind / f"{split}-{number}.jpg")
    rows = [
        f"pets/{split}/{kind}/{split}-{n}.jpg,{split},{kind}"
        for split in ("train", "val", "test")
        for kind in ("cat", "dog")
        for n in range(4)
    ]
    (home / "faces.csv").write_text("\n".join(["path,split,kind", *rows]) + "\n")
    write_celeba(home / "data" / "celeba")
    write_rafd(home / "data" / "rafd")
    import datasets

    files = [str(home / row.split(",")[0]) for row in rows]
    made = datasets.Dataset.from_dict(
        {"image": files, "species": [row.split(",")[2] for row in rows], "id": range(len(rows))}
    )
    made.cast_column("image", datasets.Image()).save_to_disk(str(home / "pets-saved"))
    (home / "runs").mkdir()
    (home / "whole").rename(home / "runs" / "stargan-001")
    return home


@pytest.mark.parametrize(("given", "block"), TYPED, ids=[f"{block} {' '.join(words)[:60]}" for words, block in TYPED])
def test_a_command_can_be_typed(
    given: tuple[str, ...], block: Block, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    words = list(given)
    if words[0] in SETUP or words[:2] == ["python3", "-m"]:
        return
    known_options(words)
    if words[0] == "python" or block.page.parent.parent.name == "examples" or "import" in words:
        return  # Benchmarks take hours; examples are trained by their own tests, published files read by ours.
    words = [MEANT.get(word, word) for word in words]
    words = words[words.index("mdtranslate") + 1 :] if "mdtranslate" in words else words[1:]
    if words[0] == "bench":
        done = typed(*(str(ROOT / word) if word.endswith(".toml") else word for word in words), "--dry-run")
    elif "torchrun" in block.text:
        done = typed(*words, "datasets.celeba.root=data/celeba", "--dry-run")
    elif {"run", "doctor"} & {*words}:
        out = ["--out", f"out-{block.line}-{len(list(place.glob('out-*')))}"] if "run" in words else []
        done = typed(*words, *small(words), *out)
    elif words[0] == "evaluate":
        done = typed(*words, *QUICK_JUDGE)
    else:
        shutil.rmtree(place / "translated", ignore_errors=True)  # Of the command before: nothing is written over.
        done = typed(*words)
    right = {0, 1} if "doctor" in words else {0}  # Pictures of noise have labels that nobody can predict.
    assert done.exit_code in right, f"{done.exception!r}\n{done.output[-2000:]}"


@pytest.mark.parametrize("block", [each for each in ALL if each.kind == "script"], ids=str)
def test_scripts_are_bash_and_their_commands_there(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    lines = [each for each in commands(block.text) if "mdtranslate" in each]
    assert lines
    for words in lines:
        known_options(words[words.index("mdtranslate") :])


@pytest.mark.parametrize("block", [each for each in ALL if each.kind == "toml"], ids=str)
def test_toml_is_a_suite_or_part_of_a_recipe(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tomllib.loads(block.text)
    if "methods" not in tree:
        resolve("stargan", [f"{key}={toml_value(value)}" for key, value in tree.items()])
        return
    monkeypatch.chdir(tmp_path)
    Path("our-recipe.toml").write_text(registry().recipe("stargan").read_text("utf-8"), "utf-8")
    Path("suite.toml").write_text(block.text, "utf-8")
    done = typed("bench", "suite.toml", "--dry-run")
    assert done.exit_code == 0, f"{done.exception!r}\n{done.output}"


@pytest.mark.parametrize("block", [each for each in ALL if each.kind == "python"], ids=str)
def test_python_runs(block: Block, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    if "mdtranslate_pets" in block.text:
        compile(block.text, str(block), "exec")  # A test file of a package: `mdtranslate new` writes one that runs.
        return
    torch.manual_seed(0)
    exec(compile(block.text, str(block), "exec"), {"__name__": "block"})


RECIPES = ("stargan", "stargan-avatars-joint", "stargan-celeba", "cyclegan", "pix2pix", "diat")
OURS = [page for page in PAGES if "examples" not in page.parts]
"""Those of examples speak of components that are not installed here."""
OF_A_RECIPE = re.compile(rf"({'|'.join(Recipe.model_fields)})\.")


@pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_in_the_text_are_those_that_there_are(page: Path) -> None:
    for text in re.findall(r"`([^`\n]+=[^`\n]+)`", page.read_text("utf-8")):
        # Several as on the command line, or one as it is.
        words = shlex.split(text) if " " in text else [text]
        if all(OF_A_RECIPE.match(word) and "=" in word for word in words):
            assert any(map(partial(_means_something, words), RECIPES)), f"no recipe takes {text}"


def _means_something(words: list[str], recipe: str) -> bool:
    try:
        resolve(recipe, words)
    except RecipeError:
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_are_those_that_there_are(page: Path) -> None:
    for words in in_text(page):
        known_options(words)
        if words[1] in ("run", "doctor") and words[2] in registry().names("recipe"):
            resolve(words[2], [word for word in words if OF_A_RECIPE.match(word) and "=" in word])


def known_options(words: list[str]) -> None:
    """That a command, its options and its settings are there."""
    if words[0] == "python":
        script = ROOT / words[1]
        text = script.read_text("utf-8")
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option.partition("=")[0]}"' in text, f"{words[1]} has no {option}"
        return
    words = words[words.index("mdtranslate") + 1 :] if "mdtranslate" in words else words[1:]
    while words and words[0] in ("--plugin", "--debug"):
        words = words[2 if words[0] == "--plugin" else 1 :]
    if not words or words[0].startswith("--") or words[0] == "COMMAND":
        return
    command: Any = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"there is no command {words[0]}"
    if isinstance(command, click.Group) and len(words) > 1:
        assert words[1] in command.commands, words
        command = command.commands[words[1]]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"{words[0]} has no {word}"
