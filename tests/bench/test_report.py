"""docs/benchmarks.md agrees with the results, and the results with the suites."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mdtranslate.bench.results import Results, Row
from mdtranslate.bench.suite import Suite, load_suite

ROOT = Path(__file__).parents[2]
REPORT = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))


def test_page_agrees_with_the_results() -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text() == REPORT["render_page"](), "python benchmarks/report.py"


@pytest.mark.parametrize("folder", sorted((ROOT / "benchmarks" / "results").iterdir()), ids=lambda path: path.name)
def test_results_belong_to_the_current_suite(folder: Path) -> None:
    """Metrics and columns may be added to a suite before its methods are evaluated again."""
    measured = Suite.model_validate(json.loads((folder / "results.json").read_text())["suite"])
    suite = load_suite(ROOT / "benchmarks" / f"{folder.name}.toml")
    assert measured.metrics.items() <= suite.metrics.items() and {*measured.columns} <= {*suite.columns}
    same = suite.model_copy(update={"metrics": measured.metrics, "columns": measured.columns})
    assert same == measured, "run the suite again"


@pytest.mark.parametrize(
    ("accuracy", "gain", "expected"),
    [
        (0.9, 2.0, "StarGAN is best in every column."),
        (0.4, 2.0, "accuracy (40.0%; Other 50.0%)."),
        (0.4, 0.5, "accuracy (40.0%; Other 50.0%), psnr gain (+0.50; Other +1.00)."),
    ],
)
def test_columns_in_which_stargan_is_not_best(accuracy: float, gain: float, expected: str) -> None:
    methods = {"stargan": {"recipe": "a", "title": "StarGAN"}, "other": {"recipe": "b", "title": "Other"}}
    columns = ("accuracy", "psnr gain", "Male/change")
    suite = Suite.model_validate({"title": "x", "methods": methods, "budgets": {"b": {"total": 1}}, "columns": columns})
    costs = {"size": [1.0], "minutes": [9.0], "images/s": [1.0], "Male/change": [3.0]}  # Costs are not ranked.
    stargan = Row("b", "stargan", "StarGAN", {"accuracy": [accuracy], "psnr gain": [gain], **costs}, None, {})
    other = Row(
        "b",
        "other",
        "Other",
        {
            "accuracy": [0.5],
            "psnr gain": [1.0],
            "steps": [2.0],
            "minutes": [1.0],
            "images/s": [2.0],
            "Male/change": [4.0],
        },
        None,
        {},
    )
    (line,) = REPORT["list_losses"](Results(suite, (stargan, other), {}, {}, ()))
    assert line.endswith(expected)
