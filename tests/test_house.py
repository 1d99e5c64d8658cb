"""Conventions of command lines: completion, information for bug reports, JSON, colors; and the citation."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from test_cli import run as typed

import mdtranslate
from mdtranslate.bench.results import read_results
from mdtranslate.bench.suite import Suite
from mdtranslate.cli import main as cli
from mdtranslate.config.registry import registry, set_plugin_files

Capture = pytest.CaptureFixture[str]
Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def completed(words: str) -> list[str]:
    """Returns the completions that bash gets for the last of `words`."""
    code = "import sys, atexit\n"
    code += "atexit.register(lambda: print('heavy', sorted({'torch', 'numpy'} & set(sys.modules))))\n"
    code += "from mdtranslate.cli.main import main\nmain()"
    asked = {"_MDTRANSLATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    *completions, imported = done.stdout.splitlines()
    assert imported == "heavy []", "completion must be fast"
    return completions


def test_recipes_are_completed() -> None:
    wanted = [f"plain,{name}" for name in registry().names("recipe") if name.startswith("stargan-")]
    assert len(wanted) > 3
    for name in ("run", "doctor"):
        assert completed(f"mdtranslate {name} stargan-") == wanted
    assert completed("mdtranslate run ./my") == ["file,./my"]


def test_commands_options_and_files_are_completed() -> None:
    assert completed("mdtranslate pl") == ["plain,plugins"]
    assert "plain,--dry-run" in completed("mdtranslate run --d")
    assert completed("mdtranslate translate ru") == ["file,ru"]


@pytest.mark.parametrize(("shell", "begin"), [("bash", "complete "), ("zsh", "compdef "), ("fish", "complete ")])
def test_a_script_for_each_shell(capsys: Capture, shell: str, begin: str) -> None:
    code, out, _ = typed(capsys, "completion", shell)
    assert code == 0 and f"_MDTRANSLATE_COMPLETE={shell}_complete" in out and begin in out
    code, out, err = typed(capsys, "completion", "tcsh")
    assert code == 2 and out == "" and "'tcsh' is not one of 'bash', 'zsh', 'fish'" in err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_script(capsys: Capture, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "mdtranslate"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom mdtranslate.cli.main import main\nmain()\n")
    program.chmod(0o755)
    ask = "COMP_WORDS=(mdtranslate run stargan-av); COMP_CWORD=2; _mdtranslate_completion mdtranslate; "
    script = typed(capsys, "completion", "bash")[1] + ask + 'echo "${COMPREPLY[*]}"'
    path = {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, **path}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["stargan-avatars", "stargan-avatars-joint"], done.stderr


def test_info_is_complete_and_hides_the_user_name(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ann" / "cache"))
    entry = tmp_path / "ann" / "cache" / "mdtranslate" / "images" / "x"
    entry.mkdir(parents=True)
    (entry / "pixels.npy").write_bytes(bytes(2_000_000))
    plugin = tmp_path / "ann" / "pets.py"
    plugin.write_text("import mdtranslate\n@mdtranslate.hookimpl\ndef register_datasets():\n    return []\n")
    try:
        code, out, err = typed(capsys, "--plugin", str(plugin), "info", "--json")
        shown, text, _ = typed(capsys, "--plugin", str(plugin), "info")
    finally:
        set_plugin_files(())
    assert (code, shown, err) == (0, 0, "")
    found = json.loads(out)
    assert found["mdtranslate"] == mdtranslate.__version__
    assert found["packages"]["torch"].count(".") == 2 and found["packages"]["huggingface-hub"]
    assert found["cache"] == {"folder": "~/cache/mdtranslate", "bytes": 2_000_000}
    assert "register_datasets" in found["hooks"] and found["devices"][0]["cores"] >= 1
    plugins = {each["name"]: each for each in found["plugins"]}
    assert plugins["pets"]["distribution"] == "~/pets.py"
    own = plugins["stargan"]
    assert own["distribution"] == f"mdtranslate {mdtranslate.__version__}" and own["provides"] > 5
    for word in (mdtranslate.__version__, found["packages"]["torch"], "~/cache/mdtranslate, 2.0 MB", "plugin "):
        assert word in text
    assert "ann" not in re.split(r"\W+", out + text)


def test_info_works_without_torch(command: Command, site: Path) -> None:
    (site / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')")
    done = command("info")
    assert done.returncode == 0, done.stderr
    assert "device       torch is broken: OSError: libcudart.so.12: cannot open" in done.stdout


def test_info_lists_broken_plugins(command: Command, install: Callable[..., Path]) -> None:
    install("broken", "raise ImportError('no such module')")
    done = command("info", "--json")
    assert done.returncode == 0, done.stderr
    (broken,) = [plugin for plugin in json.loads(done.stdout)["plugins"] if plugin["name"] == "broken"]
    assert broken["distribution"] == "broken-dist 1.0" and "no such module" in broken["errors"][0]


LISTS = {
    "plugins": "provides",
    "plugins loss": "provides",
    "data list": "key",
    "data verify": "intact",
    "run stargan --dry-run": "origin",
}
DESCRIBES = {
    "plugins loss wgan-gp": "settings",
    "plugins recipe stargan": "datasets",
    "info": "packages",
    f"bench {ROOT / 'benchmarks' / 'quick.toml'} --dry-run": "cells",
}


@pytest.mark.parametrize("words", [*LISTS, *DESCRIBES])
def test_json_is_an_array_for_lists_and_else_an_object(capsys: Capture, words: str, tmp_path: Path) -> None:
    if words.startswith("data"):
        entry = tmp_path / "cache" / "mdtranslate" / "images" / ("a" * 32)
        entry.mkdir(parents=True)
        (entry / "meta.json").write_text("{}")
    code, out, err = typed(capsys, *words.split(), "--json")
    found = json.loads(out)
    if words == "data verify":  # An incomplete entry is an error, but it is listed too.
        assert code == 65 and "1 of 1" in err and found[0]["complete"] is False
    else:
        assert (code, err) == (0, "")
    if words in LISTS:
        assert isinstance(found, list) and found and all(LISTS[words] in each for each in found)
    else:
        assert isinstance(found, dict) and DESCRIBES[words] in found


def test_every_command_that_lists_or_evaluates_has_json() -> None:
    context = click.Context(cli.cli)
    silent = {"translate", "serve", "import", "export", "push", "pull", "new", "completion", "clear"}
    for name in cli.COMMANDS:
        command = cli.cli.get_command(context, name)
        parts = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for each in parts:
            assert each is not None and each.name is not None
            has = any("--json" in option.opts for option in each.params)
            assert has != (each.name in silent), each.name


def test_settings_as_json(capsys: Capture) -> None:
    words = ["run", "stargan", "--dry-run", "data.batch_size=4"]
    found = {each["key"]: each for each in json.loads(typed(capsys, *words, "--json")[1])}
    assert found["data.batch_size"] == {"key": "data.batch_size", "value": 4, "origin": "command line"}
    assert len(found) == len(typed(capsys, *words)[1].splitlines())
    code, out, err = typed(capsys, "run", "stargan", "--json")
    assert code == 2 and out == "" and err.startswith("error: --json") and "--dry-run" in err


def test_results_of_a_suite_as_json(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = ROOT / "benchmarks" / "results" / "quick" / "results.json"
    monkeypatch.setattr(
        "mdtranslate.bench.compare.compare", lambda *_: replace(read_results(file), gaps=("one is missing",))
    )
    code, out, err = typed(capsys, "bench", "quick.toml", "--json", "--out", str(tmp_path))
    assert (code, err) == (1, "")
    expected = {**json.loads(file.read_text()), "gaps": ["one is missing"]}
    # Settings that are newer than the file are printed with their defaults.
    expected["suite"] = Suite.model_validate(expected["suite"]).model_dump(mode="json")
    assert json.loads(out) == expected


def test_non_finite_numbers_are_null(capsys: Capture) -> None:
    from mdtranslate.cli.json_output import print_json

    print_json({"a": [float("nan"), float("inf"), 1.5], "b": "caf\udce9"})
    out, _ = capsys.readouterr()
    assert json.loads(out) == {"a": [None, None, 1.5], "b": "caf\udce9"} and out.isascii()


COLOR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10\d)(?:;\d+)*m")
SHOWN = {
    "an error": "from mdtranslate.cli.main import main\nmain(['run', 'stargna'])",
    "a list": (
        "from mdtranslate.cli.main import main\nfrom mdtranslate.config.registry import registry\n"
        "registry().plugins[0].errors.append('it is')\nmain(['plugins'])"
    ),
    "a bar": (
        "from mdtranslate.utils.console import ProgressDisplay\n"
        "with ProgressDisplay() as progress:\n"
        "    progress.training(1, 2, {'loss': 1.0})\n    progress.say('warning', style='yellow')"
    ),
    "a report": (
        "from pathlib import Path\nfrom rich.console import Console\n"
        "from mdtranslate.doctor.findings import Finding, Rank\n"
        "from mdtranslate.doctor.inspection import Report, print_report\n"
        "print_report(Report((Finding('other', Rank.ERROR, 'what', 'cure'),), {}, {}, ()), Console(highlight=False))"
    ),
}


@pytest.mark.parametrize("what", SHOWN)
def test_no_color_is_respected(what: str) -> None:
    shown = {}
    for setting in ({}, {"NO_COLOR": ""}, {"NO_COLOR": "1"}):
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
        near, far = pty.openpty()  # Colors are for terminals only.
        process = subprocess.Popen(
            [sys.executable, "-c", SHOWN[what]],
            env={**clean, "TERM": "xterm-256color", **setting},
            stdin=far,
            stdout=far,
            stderr=far,
        )
        os.close(far)
        output = b""
        while True:
            try:
                part = os.read(near, 4096)
            except OSError:  # Linux raises at the end of the output.
                break
            if not part:
                break
            output += part
        os.close(near)
        process.wait(timeout=60)
        assert output
        shown[str(setting)] = output.decode()
    plain, empty, without = shown.values()
    assert COLOR.search(plain) and COLOR.search(empty)
    assert not COLOR.search(without)


def test_the_citation_is_of_this_version() -> None:
    cited: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["authors"] == [{"name": "The mdtranslate developers"}]
    assert cited["version"] == mdtranslate.__version__ and cited["license"] == "MIT"
    (paper,) = cited["references"]
    assert paper["year"] == 2018 and paper["authors"][0] == {"family-names": "Choi", "given-names": "Yunjey"}
    assert paper["identifiers"][0]["value"] == "arXiv:1711.09020"


def test_the_changelog_begins_with_this_version() -> None:
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heads[0].startswith(mdtranslate.__version__) or heads[0] == "Unreleased"
