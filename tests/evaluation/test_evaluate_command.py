"""The command `mdtranslate evaluate`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from toys import toy_run

from mdtranslate.cli import main as cli
from mdtranslate.cli.evaluate import command
from mdtranslate.config.run_folder import RunFolder
from mdtranslate.data.recipe_datasets import RecipeDataset
from mdtranslate.errors import RecipeError, StorageError
from mdtranslate.evaluation import evaluate as evaluation


@pytest.fixture
def run(tmp_path: Path, squares: RecipeDataset) -> RunFolder:
    return toy_run(tmp_path, 'datasets.squares = { attributes = ["colour", "framed"] }')


def test_command_prints_json(run: RunFolder, pixel_classifier: None, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(run.path), "--device", "cpu", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["datasets"]["squares"]["images"] == 20
    done = CliRunner().invoke(command, [str(run.path), "--device", "cpu"], catch_exceptions=False)
    assert "reconstruction L1" in done.stdout
    with pytest.raises(RecipeError, match="nothing"):
        CliRunner().invoke(command, [str(tmp_path / "nothing")], catch_exceptions=False)


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Runs `mdtranslate evaluate ...` in this process; returns exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["evaluate", *arguments, "--device", "cpu"])
    return (caught.value.code, *capsys.readouterr())  # type: ignore[return-value]


def test_report_in_another_folder(run: RunFolder, pixel_classifier: None, capsys, tmp_path: Path) -> None:
    code, out, _ = run_command(capsys, str(run.path), "--out", str(tmp_path / "new" / "folder"))
    assert code == 0 and str(tmp_path / "new" / "folder") in out
    assert {file.name for file in (tmp_path / "new" / "folder").iterdir()} == {"report.json", "edits.png"}


def test_nothing_is_measured_if_the_report_cannot_be_written(run: RunFolder, capsys, monkeypatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode, **more: not mode & os.W_OK)
    monkeypatch.setattr(evaluation, "measure", lambda *args, **more: pytest.fail("measured"))
    code, _, err = run_command(capsys, str(run.path))
    assert code == 74 and "--out" in err and str(run.path) in err


def test_figures_are_printed_before_they_are_written(
    run: RunFolder, pixel_classifier: None, capsys, monkeypatch
) -> None:
    def full(*args: object) -> None:
        raise StorageError("evaluation: cannot be written: no space left on device")

    monkeypatch.setattr("mdtranslate.evaluation.report.write_report", full)
    code, out, err = run_command(capsys, str(run.path))
    assert code == 74 and "no space left" in err
    assert "colour" in out and "%" in out
