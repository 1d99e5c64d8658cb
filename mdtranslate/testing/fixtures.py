"""Fixtures of pytest for the authors of plugins; pytest finds them wherever mdtranslate is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mdtranslate.api import Component, Dataset

TINY = (
    "datasets.avatars.train=24",
    "datasets.avatars.val=4",
    "datasets.avatars.test=8",
    "datasets.avatars.size=32",
    "generator.channels=4",
    "generator.blocks=1",
    "discriminator.channels=4",
    "discriminator.layers=4",
    "data.image_size=32",
    "data.batch_size=4",
    "data.workers=0",
    "train.steps=4",
    "train.critic_steps=2",
    "train.log_every=2",
    "train.check_every=4",
    "train.sample_every=4",
    "train.sample_pictures=2",
    "train.save_every=4",
)
"""Settings by which the recipe `stargan` trains in seconds."""


@pytest.fixture
def tiny_dataset() -> Dataset:
    """A dataset of 24 drawn pictures, 40 x 32 pixels: `shape` is circle or square, `Bright` is yes or no."""
    from mdtranslate.testing.shapes_dataset import Shapes

    return Shapes(Shapes.Config.model_validate({}))


@pytest.fixture
def tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Trains a recipe for four steps on small pictures, with a cache of its own, and gives the folder of the run.

    `tiny_run("losses.mine.weight=2")` is `mdtranslate run stargan` with that setting; `tiny_run(recipe="my-recipe")`
    takes another recipe, and only those tiny settings that it has. Where a component is replaced
    (`"generator=my-generator"`, `"datasets={pets={...}}"`), the tiny settings of the old one are left out.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    count = 0

    def run(*overrides: str, recipe: str = "stargan") -> Path:
        __tracebackhide__ = True
        nonlocal count
        import torch

        from mdtranslate.config.recipes import resolve
        from mdtranslate.errors import MdtranslateError
        from mdtranslate.training.distributed import joined
        from mdtranslate.training.run import start

        keys = [each.partition("=")[0] for each in overrides]
        replaced = {key.partition(".")[0] for key in keys if key.count(".") == 0 or key.endswith(".name")}
        if recipe != "stargan":
            replaced |= {"datasets", "generator", "discriminator"}
        tiny = [each for each in TINY if each.partition(".")[0] not in replaced]
        count += 1
        folder = tmp_path / f"run-{count}"
        try:
            with torch.random.fork_rng(devices=[]), joined("cpu") as world:  # A run seeds it, and later tests draw.
                start(resolve(recipe, [*tiny, *overrides]), folder, world)
        except MdtranslateError as error:
            raise error.with_traceback(None) from error.__cause__  # It says all; what it came from stays with it.
        return folder

    return run


@pytest.fixture
def register() -> Iterator[Callable[..., Any]]:
    """Registers components or a plugin for this test alone: `register(MyLoss, MyDataset)`, `register(my_plugin)`.

    A component goes by its `name`. What cannot be registered fails the test, with the registry's own words.
    """
    from mdtranslate.api import Component
    from mdtranslate.api.hookspecs import hookimpl
    from mdtranslate.config.plugin_validation import KINDS, kind_class
    from mdtranslate.config.registry import registry

    def add(*given: Any) -> Any:
        components = [each for each in given if isinstance(each, type) and issubclass(each, Component)]
        hooks: dict[str, list[type[Component]]] = {}
        for each in components:
            kind = next(kind for kind in KINDS if issubclass(each, kind_class(kind)))
            hooks.setdefault(KINDS[kind], []).append(each)
        plugins = [each for each in given if each not in components]
        if hooks:
            home = components[0].__module__
            implemented = {name: hookimpl(lambda own=own: own) for name, own in hooks.items()}
            plugins.append(SimpleNamespace(__name__=home, **implemented))
        for number, each in enumerate(plugins):
            added = registry().register(each, f"test-{len(registry().plugins)}-{number}")
            if added.errors:
                pytest.fail(f"{added}: {added.errors[0]}", pytrace=False)
        return registry()

    registry.cache_clear()
    yield add
    registry.cache_clear()


@pytest.fixture
def no_network() -> Iterator[None]:
    """Whatever asks the network in this test's process fails, with the address that it asked for."""
    from mdtranslate.testing.side_effects import offline

    with offline():
        yield
