"""Recipes and overrides: what they become, and how every mistake in them reads."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mdtranslate_stargan
import pytest
from pydantic import Field

from mdtranslate import Choice, Generator, LabelEncoder, Loss, Settings, hookimpl
from mdtranslate.errors import PluginError, RecipeError
from mdtranslate.recipes import Resolved, flat, read_toml, resolve, resolve_tree, toml_value
from mdtranslate.registry import Registry, registry


class Bank(Generator):
    """One generator inside another, as a bank of them is configured."""

    name = "test-bank"

    class Config(Settings):
        of: Choice[Generator] = Field(description="the generator inside")
        copies: int = Field(2, ge=1, description="how many")

    def forward(self, image: Any, source: Any, target: Any, code: Any = None) -> Any:
        return image


class Plain(Generator):
    """A generator whose settings are unlike StarGAN's."""

    name = "test-plain"

    class Config(Settings):
        depth: int = Field(3, ge=1, le=9, description="layers")
        kinds: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="lists by name")

    def __init__(self, config: Any, *, encoder: Any, image_size: int) -> None:
        if config.depth == 8:
            raise ValueError("8 is\nnot for pictures of 64")
        if config.depth == 9:
            raise SystemExit("gone")
        super().__init__(config, encoder=encoder, image_size=image_size)

    def forward(self, image: Any, source: Any, target: Any, code: Any = None) -> Any:
        return image


@pytest.fixture(scope="module", autouse=True)
def more_generators() -> Iterator[Registry]:
    registry.cache_clear()
    plugin = registry().register(
        SimpleNamespace(__name__="tests", register_backbones=hookimpl(lambda: [Bank, Plain])), "tests"
    )
    assert plugin.errors == []
    yield registry()
    registry.cache_clear()


BANK = 'generator={name = "test-bank", of = {name = "test-plain", depth = 5}}'


def origins(resolved: Resolved) -> dict[str, str]:
    """What `--dry-run` says of each setting: the place it came from."""
    lines = [line.rpartition("  # ") for line in resolved.explain().splitlines()]
    return {text.partition("=")[0]: origin for text, _, origin in lines}


# An override, and all that is said about it.
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
    "data.targets=random": "data.targets=\"random\": Input should be 'permute', 'one-edit' or 'other'",
    "data.load_size=32": "data: load_size 32 is smaller than image_size 64",
    "train={steps = 0}": "train.steps=0: Input should be greater than 0",
    "train=5": "train=5: Input should be",
    "train.critic_steps=3000": "train: critic_steps 3000 is more than steps 2000: no generator update",
    "train.seed=9223372036854775808": "train.seed=9223372036854775808: Input should be less than",
    "data.batch_size=1_000_000": "data.batch_size=1000000: Input should be less than or equal to 65536",
    "losses={wgan-gp = {weight = 0}}": "losses: every weight is 0, so nothing would be learned",
    "metrics.a/b=reconstruction": "metrics: 'a/b': an instance is called by letters, digits, _ and -",
    "datasets.avatars.root=\udce9": "'datasets.avatars.root=\\udce9' is not UTF-8",
    f"train.steps={'9' * 5000}": "train.steps=",
    "optimizers.generator.betas=[0.5, 2]": "optimizers.generator.betas.1=2: Input should be less than 1",
    "optimizers.generator.betas=[0.5]": "optimizers.generator.betas.1: Field required",
    "datasets.avatars.attributes=hair": 'datasets.avatars.attributes="hair": Input should be a valid tuple',
    "train.steps.more=5": "train.steps.more=5: train.steps is 2000, not a table",
    # one mistake in a union is one line
    "losses.wgan-gp.weight=heavy": 'losses.wgan-gp.weight="heavy": Input should be a valid number',
    "losses.wgan-gp.weight={start=1, end=2}": "losses.wgan-gp.weight.steps: Field required",
    "losses.wgan-gp.weight={start=1, end=2, steps=0}": "losses.wgan-gp.weight.steps=0: Input should be greater than",
    "losses.wgan-gp.weight={start=1, end=2, stpes=3, steps=4}": (
        "losses.wgan-gp.weight.stpes=3: no such key; did you mean"
    ),
    # names
    "generator=test-bnak": "generator.name=\"test-bnak\": no backbone is called 'test-bnak': did you mean 'test-bank'?",
    "generator.name=5": "generator.name=5: no name; there is ",
    "generator=5": "generator=5: a generator is a name, or a table with a name",
    "generator={channels = 4}": "generator: the name of a generator is missing; there is ",
    "generator.name=stargan-discriminator": (
        "generator.name=\"stargan-discriminator\": 'stargan-discriminator' is a backbone, but no generator"
    ),
    "losses.wgan-pg.weight=1": "losses.wgan-pg: no loss is called 'wgan-pg': did you mean 'wgan-gp'?",
    "losses.mine.name=wgan-pg": "losses.mine.name=\"wgan-pg\": no loss is called 'wgan-pg': did you mean 'wgan-gp'?",
    "losses.mine=wgan-pg": "losses.mine=\"wgan-pg\": no loss is called 'wgan-pg': did you mean 'wgan-gp'?",
    "losses={}": "losses: Dictionary should have at least 1 item",
    "losses=wgan-gp": 'losses="wgan-gp": Input should be a valid dictionary',
    # nested choices
    "generator=test-bank": "generator.of: Field required",
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
    'generator={name = "test-bank", of = {name = "test-bank"}}': "generator.of.of: Field required",
    'generator={name = "test-plain", kinds = {a = [1]}}': "generator.kinds.a.0=1: Input should be a valid string",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_on_the_command_line(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve("stargan", [override])
    (line,) = str(caught.value).splitlines()
    assert line.startswith((f"command line: {MISTAKES[override]}", f"stargan.toml: {MISTAKES[override]}")), line
    if "Field required" not in line:
        assert line.startswith("command line: ")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["train.steps", "=5", "train.=5", ".steps=5", "", "train..steps=1"])
def test_no_override(text: str) -> None:
    with pytest.raises(RecipeError, match="is no override: write key=value"):
        resolve("stargan", [text])


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[train]\nsteps = -1\nstpes = 2\n[data]\nbatch_size = "x"\n[generator]\nname = "test-plain"\ndepth = 99\n'
    )
    with pytest.raises(RecipeError) as caught:
        resolve(str(file))
    lines = str(caught.value).splitlines()
    assert all(line.startswith("mine.toml: ") for line in lines)
    for said in (
        "train.steps=-1: ",
        "train.stpes=2: ",
        'data.batch_size="x": ',
        "generator.depth=99: ",
        "datasets: Field required",
        "encoder: Field required",
        "discriminator: Field required",
        "losses: Field required",
    ):
        assert sum(said in line for line in lines) == 1, said
    assert len(lines) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[train\nsteps = 5", "is not TOML: "),
        (b"\xff\xfe\x00\x01", "cannot be read: "),
        (b"x = " + b"[" * 9999, "is not TOML: "),
        (b"a = 1\na = 2", "is not TOML: "),
        (None, "there is no such file"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, content: bytes | None, message: str) -> None:
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


def test_a_recipe_is_called_by_what_can_be_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "my\nown, recipe.toml"
    path.write_text(registry().recipe("stargan").read_text())
    assert resolve(str(path)).name == "my_own_recipe"


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(RecipeError, match="cannot be read"):
        resolve(str(tmp_path / "a.toml"))


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
        ("data.targets=other", "data.targets", "other"),
        ('data.targets="other"', "data.targets", "other"),
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
    found: Any = resolved.tree
    for part in key.split("."):
        found = found[part]
    assert found == value
    assert type(found) is type(value)
    plain = resolve("stargan").tree
    # Nothing else changes, but for a component of another name.
    ours = {
        each: one
        for each, one in flat(resolved.tree)
        if not each.startswith(("generator.", "losses.again", "losses.name"))
    }
    theirs = {each: one for each, one in flat(plain) if not each.startswith("generator.")}
    assert {each for each in ours.keys() | theirs.keys() if ours.get(each) != theirs.get(each)} <= {
        each for each, _ in flat({key: value})
    } | {key}
    assert origins(resolved)[key if key in origins(resolved) else f"{key}.start"] == "command line"


# Settings of StarGAN's generator that these tests do not touch, at their defaults, which are the paper's.
REST = {"kernel": 7, "label": "target", "condition": "planes", "output": "picture"}


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
                "of": {"name": "stargan-generator", "channels": 64, "blocks": 1, **REST},
                "copies": 2,
            },
        ),
        (
            ["generator=stargan-generator", "generator.blocks=3"],
            {**resolve("stargan").tree["generator"], "blocks": 3},
        ),
    ],
)
def test_a_new_name_drops_the_old_settings_whatever_the_order(
    overrides: list[str], expected: dict[str, Any], reverse: bool
) -> None:
    resolved = resolve("stargan", reversed(overrides) if reverse else overrides)
    assert resolved.tree["generator"] == expected


def test_where_each_value_came_from(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(registry().recipe("stargan").read_text() + '\n[losses.short]\nname = "wgan-gp"\n')
    found = origins(resolve(str(file), ["losses.cycle-reconstruction.weight=5", "losses.other.name=wgan-gp"]))
    assert found["train.steps"] == "mine.toml" and found["train.seed"] == "default"
    assert found["losses.cycle-reconstruction.weight"] == "command line"
    assert found["losses.cycle-reconstruction.name"] == "mine.toml"
    assert found["losses.domain-classification.name"] == "mine.toml"
    assert found["losses.domain-classification.weight"] == "default"
    assert found["losses.short.name"] == "mine.toml" and found["losses.short.weight"] == "default"
    assert found["losses.other.name"] == "command line" and found["losses.other.weight"] == "default"
    new = origins(resolve("stargan", [BANK, "metrics.again=reconstruction"]))
    assert new["generator.name"] == new["generator.of.name"] == new["generator.of.depth"] == "command line"
    assert new["generator.copies"] == new["generator.of.kinds"] == "default"
    assert new["metrics.again.name"] == "command line"
    kept = origins(resolve("stargan", ["generator=stargan-generator"]))
    assert kept["generator.name"] == "command line" and kept["generator.channels"] == "stargan.toml"
    plain = origins(resolve("stargan", ["generator=test-plain"]))
    assert plain["generator.depth"] == "default"


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(Path(mdtranslate_stargan.__file__).parent.glob("recipes/*"))]
)
def test_shipped_recipes_say_all_they_are_and_read_back(name: str) -> None:
    assert name in registry().names("recipe")
    resolved = resolve(name)
    again = resolve_tree(name, tomllib.loads(resolved.toml()), source="again")
    assert again.tree == resolved.tree and again.toml() == resolved.toml()
    assert set(origins(again).values()) == {"again"}
    # Every line of --dry-run is itself an override that gives the same.
    lines = resolved.explain().splitlines()
    assert len(lines) == len(list(flat(resolved.tree)))
    from_lines = resolve_tree(name, {}, lines, source="nothing")
    assert from_lines.tree == resolved.tree


def test_a_registered_recipe_is_known() -> None:
    assert set(registry().names("recipe")) >= {"stargan", "stargan-avatars", "stargan-celeba"}


def test_round_trip_of_nested_choices_and_odd_strings() -> None:
    overrides = [BANK, 'generator.of.kinds={a = ["x\\ny", "\\"", "é"], "b c" = []}', "train.init='C:\\dir'"]
    resolved = resolve("stargan", overrides)
    assert resolved.tree["generator"]["of"]["kinds"] == {"a": ["x\ny", '"', "é"], "b c": []}
    assert resolve_tree("x", tomllib.loads(resolved.toml()), source="x").tree == resolved.tree
    assert tomllib.loads(f"x = {toml_value(resolved.tree['generator'])}")["x"] == resolved.tree["generator"]


def test_the_given_tree_stays_as_it_is() -> None:
    tree = read_toml(registry().recipe("stargan"))
    before = deepcopy(tree)
    resolve_tree("x", tree, ["train.steps=5", "generator=test-plain", "losses.x=wgan-gp"], source="x")
    assert tree == before


def test_the_paper_is_the_default_of_stargan_celeba() -> None:
    recipe = resolve("stargan-celeba").recipe
    assert recipe.generator.dump() == {"name": "stargan-generator", "channels": 64, "blocks": 6, **REST}
    expected = {"name": "stargan-discriminator", "channels": 64, "layers": 6, "projection": False}
    assert recipe.discriminator.dump() == expected
    assert (recipe.data.image_size, recipe.data.batch_size, recipe.data.flip, recipe.data.targets) == (
        128,
        16,
        True,
        "permute",
    )
    # 20 epochs of all but 2,000 pictures, of which the released code keeps back 1,999.
    assert (recipe.train.steps, recipe.train.critic_steps) == (20 * (202_599 - 1_999) // 16, 5)
    for optimizer in (recipe.optimizers.generator, recipe.optimizers.discriminator):
        assert (optimizer.learning_rate, optimizer.betas) == (1e-4, (0.5, 0.999))
        assert optimizer.rate(0, 200_000) == optimizer.rate(100_000, 200_000) == 1e-4
        assert optimizer.rate(150_000, 200_000) == pytest.approx(5e-5)
        assert optimizer.rate(199_999, 200_000) == pytest.approx(1e-9) and optimizer.rate(200_000, 200_000) == 0
    weights = {name: choice.config.weight for name, choice in recipe.losses.items()}  # type: ignore[attr-defined]
    assert weights == {"wgan-gp": 1.0, "domain-classification": 1.0, "cycle-reconstruction": 10.0}


def test_what_the_released_code_does_otherwise() -> None:
    paper, released = resolve("stargan-celeba"), resolve("stargan-celeba-released")
    ours, theirs = dict(flat(paper.tree)), dict(flat(released.tree))
    assert {key: value for key, value in theirs.items() if ours.get(key) != value} == {
        "losses.wgan-gp.penalised": "sum",
        "train.steps": 200_000,
        "optimizers.generator.decay_from": 1.0,
        "optimizers.discriminator.decay_from": 1.0,
    }
    assert released.recipe.optimizers.generator.rate(199_999, 200_000) == 1e-4


def test_the_papers_length_on_rafd() -> None:
    assert resolve("stargan-rafd").recipe.train.steps == 200 * 4_824 * 9 // 10 // 16


def test_a_component_that_refuses_its_settings_is_a_mistake_of_the_recipe() -> None:
    def build(depth: int) -> None:
        resolve("stargan", ["generator=test-plain", f"generator.depth={depth}"]).recipe.generator.build(
            encoder=None, image_size=64
        )

    build(1)
    with pytest.raises(
        RecipeError, match=r"^backbone 'test-plain' of plugin tests .* refuses its settings: 8 is not for"
    ):
        build(8)
    with pytest.raises(PluginError, match=r"^backbone 'test-plain' of plugin tests .* failed: SystemExit: gone$"):
        build(9)


def test_ramps() -> None:
    class Nothing(Loss):
        name = "nothing"

    def weight(value: Any, step: int) -> float:
        encoder: LabelEncoder = SimpleNamespace()  # type: ignore[assignment]
        return Nothing(Nothing.Config(weight=value), encoder=encoder, image_size=8).weight(step)

    ramp = {"start": 1, "end": 3, "steps": 4}
    assert [weight(ramp, step) for step in range(6)] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]
    assert weight(2, 99) == 2.0


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
    """Changes one thing somewhere: a value, a key, or what is there at all. None takes it away."""
    node = tree
    while True:
        key = draw.choice([*node, "name", "zzz"])
        inner = node.get(key)
        if isinstance(inner, dict) and inner and draw.random() < 0.7:
            node = inner
            continue
        value = deepcopy(draw.choice(ODD))
        if value is None:
            node.pop(key, None)
        elif draw.random() < 0.2 and key in node:
            node[key[::-1]] = node.pop(key)
        else:
            node[key] = value
        return


def test_whatever_a_recipe_holds_it_is_right_or_a_recipe_error() -> None:
    draw = random.Random(0)
    keys = [key for key, _ in flat(resolve("stargan").tree)]
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
            # Every line says where: a file or the command line, a key, and what is wrong.
            assert all(line.count(": ") >= 2 for line in str(error).splitlines()), str(error)
        else:
            outcomes[True] += 1
            assert resolve_tree("x", tomllib.loads(resolved.toml()), source="x").tree == resolved.tree
            assert set(origins(resolved).values()) <= {"x", "command line", "default"}
    assert min(outcomes.values()) > 30, outcomes
