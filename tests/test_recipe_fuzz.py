"""Random recipes are either valid or refused with a RecipeError that names each mistake."""

from __future__ import annotations

import random
import tomllib
from copy import deepcopy
from typing import Any

from recipe_parts import more_generators, origins  # noqa: F401

from mdtranslate.config.recipe_loader import resolve, resolve_tree
from mdtranslate.config.registry import registry
from mdtranslate.config.toml_tree import flatten, read_toml, toml_value
from mdtranslate.errors import RecipeError

ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    3,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "wgan-gp",
    "test-bank",
    "test-plain",
    [],
    [1],
    ["x", {}],
    {},
    {"name": "x"},
    {"name": "test-bank", "of": {"name": 3}},
    {"name": ["x"]},
    {"": {"": 1}},
    {"name": {}},
]


def mutate(tree: dict[str, Any], draw: random.Random) -> None:
    """Changes or removes a random value, or renames a random key."""
    node = tree
    while True:
        key = draw.choice([*node, "name", "zzz"])
        child = node.get(key)
        if isinstance(child, dict) and child and draw.random() < 0.7:
            node = child
            continue
        value = deepcopy(draw.choice(ODD))
        if value is None:
            node.pop(key, None)
        elif draw.random() < 0.2 and key in node:
            node[key[::-1]] = node.pop(key)
        else:
            node[key] = value
        return


def test_random_recipes_are_valid_or_a_recipe_error() -> None:
    draw = random.Random(0)
    keys = [key for key, _ in flatten(resolve("stargan").tree)]
    outcomes = {True: 0, False: 0}
    for _ in range(300):
        tree = read_toml(registry().recipe("stargan"))
        for _ in range(draw.randint(0, 3)):
            mutate(tree, draw)
        key = draw.choice(keys)
        place = draw.choice([key, key.rpartition(".")[0], f"{key}.more", key[:-1], f"{key}.name"])
        overrides = [f"{place}={toml_value(draw.choice(ODD[1:]))}"] if draw.random() < 0.5 else []
        try:
            resolved = resolve_tree("x", tree, overrides, source="x")
        except RecipeError as error:
            outcomes[False] += 1
            assert str(error).strip()
            # Each line has an origin, a key and what is wrong.
            assert all(line.count(": ") >= 2 for line in str(error).splitlines()), str(error)
        else:
            outcomes[True] += 1
            assert resolve_tree("x", tomllib.loads(resolved.toml()), source="x").tree == resolved.tree
            assert set(origins(resolved).values()) <= {"x", "command line", "default"}
    assert min(outcomes.values()) > 30, outcomes
