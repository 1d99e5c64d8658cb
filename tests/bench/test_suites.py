"""The suites of the project can be meant, each of their methods, on the datasets that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from layouts import write_celeba, write_rafd

from mdtranslate.bench.compare import plan
from mdtranslate.bench.suite import Budget, Method, Suite, cells, load
from mdtranslate.config.registry import registry

SUITES = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(file.stem for file in SUITES.glob("*.toml")))
def test_every_method_of_the_suite_can_be_run(tmp_path: Path, name: str) -> None:
    write_celeba(tmp_path / "celeba")
    write_rafd(tmp_path / "rafd")
    text = (SUITES / f"{name}.toml").read_text().replace('root="data/', f'root="{tmp_path}/')
    file = tmp_path / f"{name}.toml"
    file.write_text(text.replace('split="stargan"', 'split="official"'))  # That one takes 2,000 pictures.
    suite = load(file)
    planned = plan(file)
    lines = list(planned.lines())
    assert not planned.wrong
    assert len(lines) == len(cells(suite, tmp_path)), "a method that cannot be meant is a line of its own"
    assert {each.partition(" seed")[0] for each in lines} == {f"{b} {m}" for b in suite.budgets for m in suite.methods}
    assert all("generator" in each and ("steps" in each) for each in lines)


def test_the_documentation_has_every_key_and_a_suite_that_can_be_run(tmp_path: Path, monkeypatch: Any) -> None:
    text = (SUITES.parent / "docs/suites.md").read_text()
    for part, before in ((Suite, ""), (Method, r"methods\.NAME\."), (Budget, "")):
        for key in part.model_fields:
            assert re.search(rf"`{before}{key}(`|\.NAME)", text), key
    (tmp_path / "suite.toml").write_text(re.findall(r"```toml\n(.*?)```", text, re.S)[0])
    (tmp_path / "our-recipe.toml").write_text(registry().recipe("stargan").read_text())
    monkeypatch.chdir(tmp_path)
    planned = plan(tmp_path / "suite.toml")
    assert not planned.wrong and len(list(planned.lines())) == 12
    assert all(each in load(tmp_path / "suite.toml").columns for each in ("l1", "accuracy"))
