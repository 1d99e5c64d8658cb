"""The command line: output streams, imports, exit codes and messages."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import mdtranslate as mdtranslate_command

import mdtranslate
from mdtranslate.cli import main as cli
from mdtranslate.config.registry import registry
from mdtranslate.errors import DataError, MdtranslateError, Stopped

Command = Callable[..., subprocess.CompletedProcess[str]]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Runs a command in this process; returns the exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


HEAVY = "print(sorted({'torch', 'torchvision', 'timm', 'torchmetrics', 'numpy', 'mdtranslate'} & set(sys.modules)))"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plugins"],
        ["plugins", "--json"],
        ["run", "--help"],
        ["completion", "bash"],
        ["models"],
        ["models", "--json"],
    ],
)
def test_imports_neither_torch_nor_timm(command: Command, arguments: list[str]) -> None:
    watched = f"import sys, atexit\natexit.register(lambda: {HEAVY})\n"
    code = f"{watched}from mdtranslate.cli.main import main\nmain({arguments!r})"
    done = command(start=("-c", code))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['mdtranslate']"


def test_a_dry_run_does_not_import_packages_of_evaluations(command: Command) -> None:
    """Each of these takes seconds to import."""
    unwanted = "print(sorted({'timm', 'torchmetrics', 'torchvision', 'albumentations', 'scipy'} & set(sys.modules)))"
    code = f"import sys, atexit\natexit.register(lambda: {unwanted})\nfrom mdtranslate.cli.main import main\n"
    code += "main(['run', 'stargan', '--dry-run'])"
    done = command(start=("-c", code))
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stderr


def test_version(command: Command) -> None:
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mdtranslate {mdtranslate.__version__}\n", "")


@pytest.mark.parametrize("encoding", ["cp1252", "koi8-r"])
def test_characters_that_the_terminal_lacks_are_escaped(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    shown = mdtranslate_command("run", "stargan", "--dry-run", "datasets.avatars.style=\u732b", cwd=tmp_path)
    assert shown.returncode == 2 and "\\u732b" in shown.stderr and "Traceback" not in shown.stderr
    listed = mdtranslate_command("run", "stargan", "--dry-run", "train.init=\u732b", cwd=tmp_path)
    assert listed.returncode == 0 and 'train.init="\\u732b"' in listed.stdout


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    for name, summary in cli.COMMANDS.items():
        assert name in out and summary in out
        assert run(capsys, name, "--help")[0] == 0
    assert "Usage" in "".join(run(capsys)[1:])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rum"], 2, "No such command 'rum'"),
        (["run"], 2, "Missing argument 'RECIPE'"),
        (["run", "stargan", "--dri-run"], 2, "No such option"),
        (["--nonsense", "run"], 2, "No such option"),
        (["run", "stargna", "--dry-run"], 2, "'stargna': did you mean 'stargan'?"),
        (["run", "nowhere.toml"], 2, "nowhere.toml: "),
        (["run", "stargan", "--dry-run", "train.steps"], 2, "'train.steps'"),
        (["plugins", "losses"], 2, "'losses'"),
        (["plugins", "loss", "wgan"], 2, "'wgan': did you mean 'wgan-gp'?"),
        (["plugins", "recipe", "nothing"], 2, "'nothing'"),
        (["--plugin", "nowhere.py", "plugins"], 69, "plugin nowhere ("),
        (["data", "clear"], 2, "--all"),
        (["data", "clear", "nothing"], 2, "'nothing'"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        found, out, err = run(capsys, *arguments)
    finally:
        from mdtranslate.config.registry import set_plugin_files

        set_plugin_files(())
    assert (found, out) == (code, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not list(tmp_path.iterdir())


def test_each_mistake_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", "stargan", "--dry-run", "train.steps=-1", "data.batch_size=x")
    assert code == 2
    lines = err.splitlines()
    assert len(lines) == 2 and all(line.startswith("error: command line: ") for line in lines)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (each("what\nwhere"), each.exit_code)
        for each in (MdtranslateError, *MdtranslateError.__subclasses__())
        if each is not Stopped
    ]
    + [(Stopped("what", 2), 130), (Stopped("what", 15), 143), (KeyboardInterrupt(), 130)],
)
def test_every_error_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    found, out, err = run(capsys)
    assert (found, out) == (code, "")
    assert "Traceback" not in err
    assert {each.exit_code for each in MdtranslateError.__subclasses__() if each is not Stopped} == {
        2,
        65,
        69,
        70,
        74,
        75,
        76,
    }


def test_debug_prints_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DataError("no face")

    monkeypatch.setattr(cli.cli, "main", fail)
    monkeypatch.setattr("sys.argv", ["mdtranslate", "--debug"])
    code, _, err = run(capsys)
    assert code == 65
    assert "Traceback" in err and err.splitlines()[-1] == "error: no face"


def test_a_bug_asks_for_a_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.cli, "main", fail)
    code, _, err = run(capsys)
    assert code == 1
    assert "ZeroDivisionError" in err and "mdtranslate info" in err


@pytest.mark.parametrize("kind", ["dataset", "encoder", "backbone", "loss", "metric"])
def test_a_component_is_described_with_all_settings(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    for name in registry().names(kind):
        code, out, _ = run(capsys, "plugins", kind, name)
        assert code == 0
        fields = registry().component(kind, name).Config.model_fields
        for key, field in fields.items():
            assert f"\n  {key}  " in out and str(field.description) in out
        assert ("It has no settings." in out) == (not fields)


def test_the_description_of_wgan_gp(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "plugins", "loss", "wgan-gp")
    assert "  gradient_penalty  float, default 10.0, >= 0\n" in out
    assert "  reduction  'mean' | 'sum', default \"mean\"\n" in out
    assert "  weight  float | Ramp, default 1.0\n" in out
    assert out.startswith("loss wgan-gp  of plugin stargan (mdtranslate ")


def test_a_recipe_is_printed_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "plugins", "recipe", "stargan-celeba")
    assert out == registry().recipe("stargan-celeba").read_text()


def test_only_one_kind_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "plugins", "loss")
    assert "wgan-gp" in out and "mask-vector" not in out


def test_public_names() -> None:
    for name in mdtranslate.__all__:
        assert getattr(mdtranslate, name) is not None
    with pytest.raises(AttributeError):
        _ = mdtranslate.nothing
    assert issubclass(mdtranslate.MdtranslateError, Exception)


def test_an_empty_key_clears_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entry = tmp_path / "mdtranslate" / "images" / ("a" * 32)
    classifier = tmp_path / "mdtranslate" / "classifiers" / ("b" * 32)
    for folder in (entry, classifier):
        folder.mkdir(parents=True)
        (folder / "content").write_bytes(bytes(1000))
    code, _, err = run(capsys, "data", "clear", "")
    assert code == 2 and "''" in err
    assert entry.is_dir() and classifier.is_dir()
    code, out, _ = run(capsys, "data", "list")
    assert code == 0 and "1 attribute classifiers" in out
    assert run(capsys, "data", "clear", "--all")[0] == 0
    assert not entry.exists() and not classifier.exists()


def test_an_invalid_path_is_not_reported_as_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "evaluate", "./" + "x" * 300)
    assert (code, len(err.splitlines())) == (74, 1)
    assert "File name too long" in err


def test_too_little_memory_is_not_reported_as_a_bug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mdtranslate.config.registry.Registry.recipe", exhausted)
    code, _, err = run(capsys, "run", "stargan", "--dry-run")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("error: out of memory") and "data.batch_size" in line
