"""Pytest fixtures for authors of plugins, available wherever mdtranslate is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mdtranslate.api import Component, Dataset

TINY_SETTINGS = (
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
    "train.validate_every=4",
    "train.sample_every=4",
    "train.sample_images=2",
    "train.save_every=4",
)
"""Settings with which the recipe `stargan` trains in seconds."""


@pytest.fixture
def tiny_dataset() -> Dataset:
    """A dataset of 24 drawn images of 40 x 32 pixels: `shape` is circle or square, `Bright` is yes or no."""
    from mdtranslate.testing.shapes_dataset import Shapes

    return Shapes(Shapes.Config.model_validate({}))


@pytest.fixture
def tiny_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that trains a recipe for four steps on small images and returns the folder of the run.

    `tiny_run("losses.my-loss.weight=2")` trains `stargan` with that setting. `tiny_run(recipe="my-recipe")` trains
    another recipe, without the tiny settings of its datasets and networks. If a component is replaced
    (`"generator=my-generator"`, `"datasets={pets={...}}"`), the tiny settings of the replaced one are left out.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    count = 0

    def run(*overrides: str, recipe: str = "stargan") -> Path:
        __tracebackhide__ = True
        nonlocal count
        import torch

        from mdtranslate.config.recipe_loader import resolve
        from mdtranslate.errors import MdtranslateError
        from mdtranslate.training.distributed import join_world
        from mdtranslate.training.run import start

        keys = [override.partition("=")[0] for override in overrides]
        replaced = {key.partition(".")[0] for key in keys if key.count(".") == 0 or key.endswith(".name")}
        if recipe != "stargan":
            replaced |= {"datasets", "generator", "discriminator"}
        settings = [setting for setting in TINY_SETTINGS if setting.partition(".")[0] not in replaced]
        count += 1
        folder = tmp_path / f"run-{count}"
        try:
            # A run seeds torch's generator, from which later tests may draw.
            with torch.random.fork_rng(devices=[]), join_world("cpu") as world:
                start(resolve(recipe, [*settings, *overrides]), folder, world)
        except MdtranslateError as error:
            raise error.with_traceback(None) from error.__cause__  # Pytest then shows the message alone.
        return folder

    return run


@pytest.fixture
def register() -> Iterator[Callable[..., Any]]:
    """A function that registers components or plugins during one test: `register(MyLoss)`, `register(my_plugin)`.

    A component that the registry refuses fails the test with the registry's message.
    """
    from mdtranslate.api import Component
    from mdtranslate.api.hookspecs import hookimpl
    from mdtranslate.config.plugin_validation import KINDS, kind_class
    from mdtranslate.config.registry import registry

    def add(*values: Any) -> Any:
        components = [value for value in values if isinstance(value, type) and issubclass(value, Component)]
        classes_by_hook: dict[str, list[type[Component]]] = {}
        for cls in components:
            kind = next(kind for kind in KINDS if issubclass(cls, kind_class(kind)))
            classes_by_hook.setdefault(KINDS[kind], []).append(cls)
        plugins = [value for value in values if value not in components]
        if classes_by_hook:
            hooks = {name: hookimpl(lambda classes=classes: classes) for name, classes in classes_by_hook.items()}
            plugins.append(SimpleNamespace(__name__=components[0].__module__, **hooks))
        for number, plugin in enumerate(plugins):
            added = registry().register(plugin, f"test-{len(registry().plugins)}-{number}")
            if added.errors:
                pytest.fail(f"{added}: {added.errors[0]}", pytrace=False)
        return registry()

    registry.cache_clear()
    yield add
    registry.cache_clear()


@pytest.fixture
def no_network() -> Iterator[None]:
    """Makes every network request of the test's process fail with the requested address."""
    from mdtranslate.testing.side_effects import blocked_network

    with blocked_network():
        yield
