"""Runs every code block and command of the documentation, or checks its options if it takes hours or a cluster."""

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
from blocks import PAGES, ROOT, Block, blocks, commands, inline_commands
from command_runner import run_command, tiny_settings
from layouts import write_celeba, write_rafd
from PIL import Image

from mdtranslate.cli.main import cli
from mdtranslate.config.recipe import Recipe
from mdtranslate.config.recipe_loader import resolve
from mdtranslate.config.registry import registry
from mdtranslate.config.toml_tree import toml_value
from mdtranslate.errors import RecipeError

BLOCKS = [block for page in PAGES if page.name != "plugins.md" for block in blocks(page)]
"""All blocks but those of plugins.md, which `test_walk.py` follows step by step."""
COMMANDS = list(
    {
        tuple(arguments): block for block in BLOCKS if block.kind == "commands" for arguments in commands(block.text)
    }.items()
)
"""Each different command once, with its block."""
INSTALLATION = {
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
"""Programs of an installation, which `.ci/run` runs."""
TINY_CLASSIFIER = [
    f"evaluation.classifier.{setting}" for setting in ("epochs=1", "min_images_per_epoch=64", "max_images_per_epoch=64")
]
REPLACED_ARGUMENTS = {
    "docs/images/portrait.png": "photo.png",
    "IMAGE": "photo.png",
    "PATH": "pets",
    "RUN": "runs/stargan-001",
    "FOLDER": "shared",
}


def test_blocks_of_every_kind_are_recognised() -> None:
    kinds = [block.kind for block in BLOCKS]
    assert kinds.count("commands") > 15 and kinds.count("python") >= 1 and kinds.count("toml") >= 3


@pytest.fixture(scope="module")
def project(home: Path) -> Path:
    """A folder with everything that the commands of the documentation name."""
    rng = np.random.default_rng(0)

    def save(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 40, 3), np.uint8)).save(path)

    for name in ("photo.png", "another.jpg"):
        save(home / name)
    for split in ("train", "val", "test"):
        for species in ("cat", "dog"):
            for number in range(4):
                save(home / "data" / "pets" / split / species / f"{number}.jpg")
                save(home / "pets" / split / species / f"{split}-{number}.jpg")
    rows = [
        f"pets/{split}/{species}/{split}-{number}.jpg,{split},{species}"
        for split in ("train", "val", "test")
        for species in ("cat", "dog")
        for number in range(4)
    ]
    (home / "faces.csv").write_text("\n".join(["path,split,kind", *rows]) + "\n")
    write_celeba(home / "data" / "celeba")
    write_rafd(home / "data" / "rafd")
    import datasets

    files = [str(home / row.split(",")[0]) for row in rows]
    columns = {"image": files, "species": [row.split(",")[2] for row in rows], "id": range(len(rows))}
    dataset = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    dataset.save_to_disk(str(home / "pets-saved"))
    (home / "runs").mkdir()
    (home / "whole").rename(home / "runs" / "stargan-001")
    return home


@pytest.mark.parametrize(
    ("command", "block"), COMMANDS, ids=[f"{block} {' '.join(command)[:60]}" for command, block in COMMANDS]
)
def test_commands_work(command: tuple[str, ...], block: Block, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    arguments = list(command)
    if arguments[0] in INSTALLATION or arguments[:2] == ["python3", "-m"]:
        return
    check_options(arguments)
    if arguments[0] == "python" or block.page.parent.parent.name == "examples" or "import" in arguments:
        return  # Benchmarks take hours; examples and published checkpoints have tests of their own.
    arguments = [REPLACED_ARGUMENTS.get(word, word) for word in arguments]
    arguments = arguments[arguments.index("mdtranslate") + 1 :] if "mdtranslate" in arguments else arguments[1:]
    if arguments[0] == "bench":
        files = [str(ROOT / word) if word.endswith(".toml") else word for word in arguments]
        result = run_command(*files, "--dry-run")
    elif "torchrun" in block.text:
        result = run_command(*arguments, "datasets.celeba.root=data/celeba", "--dry-run")
    elif {"run", "doctor"} & {*arguments}:
        out = ["--out", f"out-{block.line}-{len(list(project.glob('out-*')))}"] if "run" in arguments else []
        result = run_command(*arguments, *tiny_settings(arguments), *out)
    elif arguments[0] == "evaluate":
        result = run_command(*arguments, *TINY_CLASSIFIER)
    else:
        shutil.rmtree(project / "translated", ignore_errors=True)  # Existing translations are not overwritten.
        result = run_command(*arguments)
    expected = {0, 1} if "doctor" in arguments else {0}  # Nobody can predict the labels of random images.
    assert result.exit_code in expected, f"{result.exception!r}\n{result.output[-2000:]}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "script"], ids=str)
def test_scripts_are_valid_bash_with_valid_commands(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    lines = [arguments for arguments in commands(block.text) if "mdtranslate" in arguments]
    assert lines
    for arguments in lines:
        check_options(arguments[arguments.index("mdtranslate") :])


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "toml"], ids=str)
def test_toml_is_a_suite_or_part_of_a_recipe(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tomllib.loads(block.text)
    if "methods" not in tree:
        resolve("stargan", [f"{key}={toml_value(value)}" for key, value in tree.items()])
        return
    monkeypatch.chdir(tmp_path)
    Path("our-recipe.toml").write_text(registry().recipe("stargan").read_text("utf-8"), "utf-8")
    Path("suite.toml").write_text(block.text, "utf-8")
    result = run_command("bench", "suite.toml", "--dry-run")
    assert result.exit_code == 0, f"{result.exception!r}\n{result.output}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "python"], ids=str)
def test_python_runs(block: Block, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    if "mdtranslate_pets" in block.text:
        compile(block.text, str(block), "exec")  # A test of a package; `mdtranslate new` writes one that runs.
        return
    torch.manual_seed(0)
    exec(compile(block.text, str(block), "exec"), {"__name__": "block"})


RECIPES = ("stargan", "stargan-avatars-joint", "stargan-celeba", "cyclegan", "pix2pix", "diat")
PROJECT_PAGES = [page for page in PAGES if "examples" not in page.parts]
"""Pages about components that are installed here, unlike those of the examples."""
RECIPE_KEY = re.compile(rf"({'|'.join(Recipe.model_fields)})\.")


@pytest.mark.parametrize("page", PROJECT_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_in_the_text_are_valid(page: Path) -> None:
    for text in re.findall(r"`([^`\n]+=[^`\n]+)`", page.read_text("utf-8")):
        # Several settings as on the command line, or a single one, which may contain spaces.
        settings = shlex.split(text) if " " in text else [text]
        if all(RECIPE_KEY.match(setting) and "=" in setting for setting in settings):
            assert any(map(partial(_accepts, settings), RECIPES)), f"no recipe accepts {text}"


def _accepts(settings: list[str], recipe: str) -> bool:
    try:
        resolve(recipe, settings)
    except RecipeError:
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_are_valid(page: Path) -> None:
    for arguments in inline_commands(page):
        check_options(arguments)
        if arguments[1] in ("run", "doctor") and arguments[2] in registry().names("recipe"):
            resolve(arguments[2], [word for word in arguments if RECIPE_KEY.match(word) and "=" in word])


def check_options(arguments: list[str]) -> None:
    """Checks that a command and its options exist."""
    if arguments[0] == "python":
        text = (ROOT / arguments[1]).read_text("utf-8")
        for option in (word for word in arguments if word.startswith("--")):
            assert f'"{option.partition("=")[0]}"' in text, f"{arguments[1]} has no {option}"
        return
    arguments = arguments[arguments.index("mdtranslate") + 1 :] if "mdtranslate" in arguments else arguments[1:]
    while arguments and arguments[0] in ("--plugin", "--debug"):
        arguments = arguments[2 if arguments[0] == "--plugin" else 1 :]
    if not arguments or arguments[0].startswith("--") or arguments[0] == "COMMAND":
        return
    command: Any = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None, f"there is no command {arguments[0]}"
    if isinstance(command, click.Group) and len(arguments) > 1:
        assert arguments[1] in command.commands, arguments
        command = command.commands[arguments[1]]
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help", "-h"}
    for word in arguments:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"{arguments[0]} has no {word}"
