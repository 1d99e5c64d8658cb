"""The folder of a run: where everything lies, how it is made, found again and read.

::

    recipe.toml        the whole recipe, every setting written out
    environment.json   versions, hardware, command; an entry for each time the run began or went on
    log.jsonl          losses by step, and looks: the same whenever the run is repeated (looks: with the same judge)
    timing.jsonl       speed and memory by step: not the same
    samples/           grids: a row per picture, a column per target
    checkpoints/       what `mdtranslate run FOLDER` goes on from
    translator/        the trained model, what every other command reads
    left_out.txt       where some are: pictures that cannot be read, and why
    status.json        running, done, stopped or failed, and at which step
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mdtranslate._version import __version__
from mdtranslate.config.recipes import Resolved, read_toml, resolve_tree
from mdtranslate.config.registry import registry
from mdtranslate.config.resume_policy import ALLOWED, fixed, learning_changes
from mdtranslate.errors import PluginError, RecipeError, StorageError
from mdtranslate.utils.files import disk, read_json, sweep, write_json, write_text


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.timing = path / "timing.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.translator = path / "translator"

    @classmethod
    def create(cls, name: str, out: Path | None) -> RunFolder:
        """A new folder: `out`, or the next number below `runs/`. Raises `RecipeError` where `out` is taken."""
        if out is not None:
            refuse_taken(out)
            with disk(out):
                out.mkdir(parents=True, exist_ok=True)
            return cls(out)
        runs = Path("runs")
        with disk(runs):
            runs.mkdir(exist_ok=True)
        number = 1
        while True:
            path = runs / f"{name}-{number:03d}"
            try:
                with disk(path):
                    path.mkdir()
                return cls(path)
            except StorageError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
                number += 1

    def begin(self, resolved: Resolved, hardware: Mapping[str, Any]) -> None:
        """Writes what a run is made of, and where it begins. What ends it halfway leaves no folder."""
        try:
            for folder in (self.samples, self.checkpoints):
                with disk(folder):
                    folder.mkdir(exist_ok=True)
            self.add_environment(hardware)
            # Last: a folder that holds it is a run, and can be gone on with.
            self.write_recipe(resolved)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def go_on(self, resolved: Resolved, hardware: Mapping[str, Any], step: int) -> None:
        """Writes where the run goes on, from which step, and what of its recipe is otherwise from there."""
        changed = learning_changes(self.written().recipe, resolved.recipe)
        self.add_environment(hardware, step=step, **({"changed": changed} if changed else {}))
        self.write_recipe(resolved)

    def write_recipe(self, resolved: Resolved) -> None:
        """The recipe as it now is: `train.steps` and what concerns logging may change when a run goes on."""
        write_text(self.path / "recipe.toml", f"# {resolved.name}, every setting written out.\n{resolved.toml()}")

    def add_environment(self, hardware: Mapping[str, Any], **facts: Any) -> None:
        """Adds where the run begins or goes on to `environment.json`: an entry for each time, with `facts`."""
        file = self.path / "environment.json"
        try:
            before = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):  # There is none yet, or somebody changed it: it is for people.
            before = []
        write_json(file, [*(before if isinstance(before, list) else []), {**environment(hardware), **facts}])

    def list_left_out(self, reasons: Sequence[str]) -> Path | None:
        """Writes which pictures are left out, and why; None where none is."""
        file = self.path / "left_out.txt"
        if not reasons:
            return None
        write_text(file, "".join(f"{each}\n" for each in reasons))
        return file

    def written(self, overrides: Iterable[str] = ()) -> Resolved:
        """The recipe as it stands in the folder, with overrides.

        Raises `RecipeError` for a mistake, `PluginError` where a plugin that it was trained with is not installed here.
        """
        file = self.path / "recipe.toml"
        try:
            return resolve_tree(self.name, read_toml(file), overrides, source=str(file))
        except RecipeError:
            there = {f"plugin {each.name}" for each in registry().plugins if not each.errors}
            if lacking := [each for each in self.strangers if each.partition(" (")[0] not in there]:
                files = "; --plugin names one that is a file" if any(each.endswith(".py)") for each in lacking) else ""
                raise PluginError(f"{file}: wants {', '.join(lacking)}, not installed here{files}") from None
            raise

    @property
    def strangers(self) -> list[str]:
        """The plugins that it was trained with and that are not ours, as the translator tells; none before there is."""
        trained = read_json(self.translator / "translator.json").get("trained")
        found = trained.get("plugins") if isinstance(trained, dict) else None
        told = [" ".join(each.split()) for each in found if isinstance(each, str)] if isinstance(found, list) else []
        return [each for each in told if " (mdtranslate " not in each]

    def resolve(self, overrides: tuple[str, ...]) -> Resolved:
        """The recipe of this run, to go on with. Raises `RecipeError` for a change that `resume_policy` refuses."""
        before = self.written()
        after = self.written(overrides)
        old, new = fixed(before.recipe), fixed(after.recipe)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                raise RecipeError(
                    f"{key}: is {old.get(key, 'not set')} in {self.path}, and stays so when the run goes on; what may "
                    f"change: {ALLOWED}. Start a new run for anything else (train.init takes over weights)"
                )
        return after

    def with_defaults(self, saved: Mapping[str, str]) -> dict[str, str]:
        """The fixed ones of the settings that a checkpoint has, with the defaults of settings that there were not yet.

        Raises `RecipeError` where a setting that was saved does not exist any more.
        """
        tree: dict[str, Any] = {}
        for key, value in saved.items():
            *tables, last = key.split(".")
            table = tree
            for name in tables:
                table = table.setdefault(name, {})
            table[last] = tomllib.loads(f"value = {value}")["value"]
        return fixed(resolve_tree("saved", tree, source=f"{self.path}: a checkpoint").recipe)

    @property
    def name(self) -> str:
        """The recipe's name, from the first line of `recipe.toml`."""
        with disk(self.path / "recipe.toml"), (self.path / "recipe.toml").open(encoding="utf-8") as file:
            return file.readline().removeprefix("# ").partition(",")[0].strip()

    def sweep(self) -> None:
        """Removes what a killed process left half-written. For who holds the folder."""
        for folder in (self.path, self.samples, self.checkpoints):
            sweep(folder)

    def status(self, state: str, step: int, steps: int, message: str = "") -> None:
        """Replaces `status.json`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        fields = {"state": state, "step": step, "steps": steps, "message": message, "updated": now}
        write_json(self.path / "status.json", fields)

    def append(self, path: Path, line: Mapping[str, Any]) -> None:
        """Adds a line to `log` or `timing`."""
        with disk(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def cut_log(self, size: int, say: Callable[[str], None]) -> None:
        """Takes back the lines that were logged after the checkpoint from which the run goes on.

        A log that has lost lines costs no more than those: the weights do not depend on it.
        """
        with disk(self.log), self.log.open("ab+") as file:
            if file.tell() < size:
                say(f"warning: {self.log}: is shorter than when the run was saved; the lines that it lost stay lost")
                file.seek(0)
                size = file.read().rfind(b"\n") + 1  # Half a line would spoil the next one.
            file.truncate(size)


def is_run(path: Path) -> bool:
    """Whether a folder is a run's."""
    return (path / "recipe.toml").is_file()


def refuse_taken(out: Path, option: str = "--out ") -> None:
    """Raises `RecipeError` where something is at `out` already, which `option` named."""
    with disk(out):
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if taken:
        raise RecipeError(f"{option}{out}: is there already, and nothing is ever written over; choose another")


def environment(hardware: Mapping[str, Any]) -> dict[str, Any]:
    """What a result depends on besides the recipe."""
    packages = ("torch", "torchvision", "timm", "numpy", "pillow", "pydantic", "pluggy", "safetensors")
    return {
        "mdtranslate": __version__,
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": platform.platform(),
        "hardware": dict(hardware),
        "git": _git(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git() -> str | None:
    """The commit of the folder that the command was typed in, where it is a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


@contextmanager
def tensorboard(folder: Path, step: int, wanted: bool) -> Iterator[Any]:
    """TensorBoard's writer, or None. What was logged after `step`, from which the run goes on, is taken back."""
    if not wanted:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step + 1) as board:
        yield board
