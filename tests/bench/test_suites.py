"""Every method of the suites in benchmarks/ can be run on the datasets that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from layouts import write_celeba, write_rafd

from mdtranslate.bench.compare import plan_suite
from mdtranslate.bench.suite import Budget, Method, Suite, list_cells, load_suite
from mdtranslate.config.registry import registry

SUITES = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(file.stem for file in SUITES.glob("*.toml")))
def test_every_method_of_the_suite_can_be_run(tmp_path: Path, name: str) -> None:
    write_celeba(tmp_path / "celeba")
    write_rafd(tmp_path / "rafd")
    text = (SUITES / f"{name}.toml").read_text().replace('root="data/', f'root="{tmp_path}/')
    file = tmp_path / f"{name}.toml"
    file.write_text(text.replace('split="stargan"', 'split="official"'))  # The other split needs 2,000 images.
    suite = load_suite(file)
    planned = plan_suite(file)
    lines = list(planned.lines())
    assert not planned.invalid
    assert len(lines) == len(list_cells(suite, tmp_path)), "an invalid method is a line of its own"
    assert {line.partition(" seed")[0] for line in lines} == {f"{b} {m}" for b in suite.budgets for m in suite.methods}
    assert all("generator" in line and "steps" in line for line in lines)


def test_documentation_has_every_key_and_a_valid_suite(tmp_path: Path, monkeypatch: Any) -> None:
    text = (SUITES.parent / "docs/suites.md").read_text()
    for model, prefix in ((Suite, ""), (Method, r"methods\.NAME\."), (Budget, "")):
        for key in model.model_fields:
            assert re.search(rf"`{prefix}{key}(`|\.NAME)", text), key
    (tmp_path / "suite.toml").write_text(re.findall(r"```toml\n(.*?)```", text, re.S)[0])
    (tmp_path / "our-recipe.toml").write_text(registry().recipe("stargan").read_text())
    monkeypatch.chdir(tmp_path)
    planned = plan_suite(tmp_path / "suite.toml")
    assert not planned.invalid and len(list(planned.lines())) == 12
    assert {"l1", "accuracy"} <= {*load_suite(tmp_path / "suite.toml").columns}
