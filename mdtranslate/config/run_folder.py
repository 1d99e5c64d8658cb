"""The folder of a run, its files, and how its recipe is saved and read.

::

    recipe.toml        the whole recipe with every setting
    environment.json   versions, hardware and command; one entry for each start and resume
    log.jsonl          losses by step, and validations; the same when the run is repeated (with the same classifier)
    timing.jsonl       speed and memory by step
    samples/           sample grids: a row per image, a column per target
    checkpoints/       state for resuming with `mdtranslate run FOLDER`
    translator/        the trained model, which all other commands read
    left_out.txt       images that cannot be read, with the reasons; only if there are any
    status.json        running, done, stopped or failed, and at which step
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mdtranslate.config.recipe_loader import ResolvedRecipe, resolve_tree
from mdtranslate.config.registry import registry
from mdtranslate.config.resume_policy import ALLOWED, fixed_settings
from mdtranslate.config.run_environment import describe_environment
from mdtranslate.config.toml_tree import Tree, read_toml
from mdtranslate.errors import PluginError, RecipeError, StorageError
from mdtranslate.utils.files import read_json, storage_errors, sweep, write_json, write_text


class RunFolder:
    """Paths and small files of one run.

    Attributes:
        path: The folder.
        log: `log.jsonl`.
        timing: `timing.jsonl`.
        samples: Folder of sample grids.
        checkpoints: Folder of checkpoints.
        translator: Folder of the trained model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.timing = path / "timing.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.translator = path / "translator"

    @classmethod
    def create(cls, name: str, out: Path | None) -> RunFolder:
        """Creates the folder of a new run.

        Args:
            name: Name of the recipe.
            out: The folder; None for `runs/NAME-NUMBER` with the next free number.

        Raises:
            RecipeError: `out` exists and is not an empty folder.
            StorageError: The folder cannot be created.
        """
        if out is not None:
            refuse_existing(out)
            with storage_errors(out):
                out.mkdir(parents=True, exist_ok=True)
            return cls(out)
        runs = Path("runs")
        with storage_errors(runs):
            runs.mkdir(exist_ok=True)
        number = 1
        while True:
            path = runs / f"{name}-{number:03d}"
            try:
                with storage_errors(path):
                    path.mkdir()
                return cls(path)
            except StorageError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
                number += 1

    def record_start(self, resolved: ResolvedRecipe, hardware: Mapping[str, Any]) -> None:
        """Writes recipe and environment of a new run; removes the folder if that is interrupted.

        Args:
            resolved: The recipe.
            hardware: Description of the devices.
        """
        try:
            for folder in (self.samples, self.checkpoints):
                with storage_errors(folder):
                    folder.mkdir(exist_ok=True)
            self.add_environment(hardware)
            self.write_recipe(resolved)  # Last: a folder with a recipe counts as a run and can be resumed.
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def record_resume(self, resolved: ResolvedRecipe, hardware: Mapping[str, Any], step: int, changed: Tree) -> None:
        """Writes recipe and environment of a resumed run.

        Args:
            resolved: The recipe from now on.
            hardware: Description of the devices.
            step: The step from which the run is resumed.
            changed: For each recorded setting that changes, its TOML values before and from now on.
        """
        self.add_environment(hardware, step=step, **({"changed": changed} if changed else {}))
        self.write_recipe(resolved)

    def write_recipe(self, resolved: ResolvedRecipe) -> None:
        """Replaces `recipe.toml`; some settings may change when a run is resumed."""
        write_text(self.path / "recipe.toml", f"# {resolved.name}, every setting written out.\n{resolved.toml()}")

    def add_environment(self, hardware: Mapping[str, Any], **metadata: Any) -> None:
        """Appends an entry to `environment.json`.

        Args:
            hardware: Description of the devices.
            metadata: Other fields of the entry.
        """
        file = self.path / "environment.json"
        try:
            entries = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):  # Missing, or edited by hand: no program depends on it.
            entries = []
        entry = {**describe_environment(hardware), **metadata}
        write_json(file, [*(entries if isinstance(entries, list) else []), entry])

    def write_left_out(self, reasons: Sequence[str]) -> Path | None:
        """Writes `left_out.txt`.

        Args:
            reasons: A line for each image that cannot be read.

        Returns:
            The file, or None if there are no such images.
        """
        file = self.path / "left_out.txt"
        if not reasons:
            return None
        write_text(file, "".join(f"{reason}\n" for reason in reasons))
        return file

    def saved_recipe(self, overrides: Iterable[str] = ()) -> ResolvedRecipe:
        """Reads `recipe.toml` and applies overrides.

        Args:
            overrides: `key=value` texts.

        Raises:
            RecipeError: A setting is invalid.
            PluginError: A plugin that the run was trained with is not installed.
        """
        file = self.path / "recipe.toml"
        try:
            return resolve_tree(self.name, read_toml(file), overrides, source=str(file))
        except RecipeError:
            installed = {f"plugin {plugin.name}" for plugin in registry().plugins if not plugin.errors}
            missing = [label for label in self.third_party_plugins if label.partition(" (")[0] not in installed]
            if missing:
                is_file = any(label.endswith(".py)") for label in missing)
                remedy = "; load plugins that are files with --plugin" if is_file else ""
                raise PluginError(f"{file}: needs {', '.join(missing)}, not installed here{remedy}") from None
            raise

    @property
    def third_party_plugins(self) -> list[str]:
        """Plugins outside mdtranslate that the run was trained with, from `translator.json`; empty before it exists."""
        trained = read_json(self.translator / "translator.json").get("trained")
        plugins = trained.get("plugins") if isinstance(trained, dict) else None
        labels = [label for label in plugins if isinstance(label, str)] if isinstance(plugins, list) else []
        return [label for label in (" ".join(label.split()) for label in labels) if " (mdtranslate " not in label]

    def resolve_for_resume(self, overrides: tuple[str, ...]) -> ResolvedRecipe:
        """Reads the recipe to resume the run with.

        Args:
            overrides: `key=value` texts.

        Raises:
            RecipeError: An override changes a setting that the resume policy fixes.
        """
        saved = self.saved_recipe()
        resolved = self.saved_recipe(overrides)
        before, after = fixed_settings(saved.recipe), fixed_settings(resolved.recipe)
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                raise RecipeError(
                    f"{key}: is {before.get(key, 'not set')} in {self.path} and cannot change when the run is resumed; "
                    f"settings that may change: {ALLOWED}. For anything else start a new run (train.init loads weights)"
                )
        return resolved

    def complete_fixed_settings(self, saved: Mapping[str, str]) -> dict[str, str]:
        """Returns the fixed settings of a checkpoint, with defaults for settings that did not exist when it was saved.

        Args:
            saved: TOML values by dotted key, from the checkpoint.

        Raises:
            RecipeError: A saved setting does not exist any more.
        """
        tree: dict[str, Any] = {}
        for key, value in saved.items():
            *tables, last = key.split(".")
            table = tree
            for name in tables:
                table = table.setdefault(name, {})
            table[last] = tomllib.loads(f"value = {value}")["value"]
        return fixed_settings(resolve_tree("saved", tree, source=f"{self.path}: a checkpoint").recipe)

    @property
    def name(self) -> str:
        """The recipe's name, from the first line of `recipe.toml`."""
        with storage_errors(self.path / "recipe.toml"), (self.path / "recipe.toml").open(encoding="utf-8") as file:
            return file.readline().removeprefix("# ").partition(",")[0].strip()

    def remove_leftovers(self) -> None:
        """Removes half-written files of killed processes; only call it while holding the folder's lock."""
        for folder in (self.path, self.samples, self.checkpoints):
            sweep(folder)

    def write_status(self, state: str, step: int, steps: int, message: str = "") -> None:
        """Replaces `status.json`.

        Args:
            state: `running`, `done`, `stopped` or `failed`.
            step: Steps done.
            steps: Steps in all.
            message: Why the run ended.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        fields = {"state": state, "step": step, "steps": steps, "message": message, "updated": now}
        write_json(self.path / "status.json", fields)

    def append_line(self, path: Path, line: Mapping[str, Any]) -> None:
        """Appends a JSON line to `log` or `timing`."""
        with storage_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def truncate_log(self, size: int, say: Callable[[str], None]) -> None:
        """Removes log lines that were written after the checkpoint from which the run is resumed.

        Args:
            size: Size of `log` when the checkpoint was saved, in bytes.
            say: Prints a warning if the log is shorter than that; weights do not depend on it.
        """
        with storage_errors(self.log), self.log.open("ab+") as file:
            if file.tell() < size:
                say(f"warning: {self.log}: is shorter than when the checkpoint was saved; some lines are lost")
                file.seek(0)
                size = file.read().rfind(b"\n") + 1  # An incomplete line would corrupt the next one.
            file.truncate(size)


def is_run(path: Path) -> bool:
    """Whether a folder is the folder of a run."""
    return (path / "recipe.toml").is_file()


def refuse_existing(out: Path, option: str = "--out ") -> None:
    """Raises `RecipeError` if a path exists and is not an empty folder.

    Args:
        out: The path.
        option: The command-line option that set it, for the message.
    """
    with storage_errors(out):
        exists = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if exists:
        raise RecipeError(f"{option}{out}: exists already and is never overwritten; choose another path")


@contextmanager
def tensorboard_writer(folder: Path, step: int, enabled: bool) -> Iterator[Any]:
    """Opens TensorBoard's writer; events after `step`, from which the run is resumed, are discarded.

    Args:
        folder: Folder of the event files.
        step: Steps done.
        enabled: Whether to write at all.

    Yields:
        A `SummaryWriter`, or None.
    """
    if not enabled:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step + 1) as writer:
        yield writer
