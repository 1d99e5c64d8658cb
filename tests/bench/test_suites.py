"""The suites of the project can be meant, each of their methods, on the datasets that they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from layouts import write_celeba, write_rafd

from mdtranslate.bench.compare import plan
from mdtranslate.bench.suite import cells, load

SUITES = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(file.stem for file in SUITES.glob("*.toml")))
def test_every_method_of_the_suite_can_be_run(tmp_path: Path, name: str) -> None:
    write_celeba(tmp_path / "celeba")
    write_rafd(tmp_path / "rafd")
    text = (SUITES / f"{name}.toml").read_text().replace('root="data/', f'root="{tmp_path}/')
    file = tmp_path / f"{name}.toml"
    file.write_text(text.replace('split="stargan"', 'split="official"'))  # That one takes 2,000 pictures.
    suite = load(file)
    lines = plan(file).splitlines()
    assert len(lines) == len(cells(suite, tmp_path)), "a method that cannot be meant is a line of its own"
    assert {each.partition(" seed")[0] for each in lines} == {f"{b} {m}" for b in suite.budgets for m in suite.methods}
    assert all("generator" in each and ("steps" in each) for each in lines)
