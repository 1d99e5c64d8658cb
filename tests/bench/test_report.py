"""The page of benchmarks in the documentation is what the results say."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mdtranslate.bench.results import Results, Row
from mdtranslate.bench.suite import Suite, load

ROOT = Path(__file__).parents[2]
REPORT = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))


def test_the_page_is_made_of_the_results() -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text() == REPORT["text"](), "python benchmarks/report.py"


@pytest.mark.parametrize("folder", sorted((ROOT / "benchmarks" / "results").iterdir()), ids=lambda path: path.name)
def test_results_are_those_of_the_suite_as_it_is(folder: Path) -> None:
    suite = json.loads((folder / "results.json").read_text())["suite"]
    assert suite == load(ROOT / "benchmarks" / f"{folder.name}.toml").model_dump(mode="json"), "bench it again"


@pytest.mark.parametrize(
    ("accuracy", "gain", "said"),
    [
        (0.9, 2.0, "StarGAN loses nothing."),
        (0.4, 2.0, "StarGAN loses accuracy to Other (40.0% against 50.0%)."),
        (0.4, 0.5, "loses accuracy to Other (40.0% against 50.0%); psnr gain to Other (+0.50 against +1.00)."),
    ],
)
def test_where_stargan_loses_is_said(accuracy: float, gain: float, said: str) -> None:
    methods = {"stargan": {"recipe": "a", "title": "StarGAN"}, "other": {"recipe": "b", "title": "Other"}}
    columns = ("accuracy", "psnr gain", "Male/change")
    suite = Suite.model_validate({"title": "x", "methods": methods, "budgets": {"b": {"total": 1}}, "columns": columns})
    cheap = {"size": [1.0], "minutes": [9.0], "pictures/s": [1.0], "Male/change": [3.0]}  # Costs are stated, not lost.
    own = Row("b", "stargan", "StarGAN", {"accuracy": [accuracy], "psnr gain": [gain], **cheap}, None, {})
    other = Row(
        "b",
        "other",
        "Other",
        {
            "accuracy": [0.5],
            "psnr gain": [1.0],
            "steps": [2.0],
            "minutes": [1.0],
            "pictures/s": [2.0],
            "Male/change": [4.0],
        },
        None,
        {},
    )
    (line,) = REPORT["losses"](Results(suite, (own, other), {}, {}, ()))
    assert line.endswith(said)
