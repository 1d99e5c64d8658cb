"""The table of realism in the report on the terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from mdtranslate.evaluation.report import DatasetResult, Report
from mdtranslate.evaluation.report_table import print_report

FIGURES = {
    "hair=Blond/gap closed (lite)": 0.62,
    "hair=Blond/gap closed low (lite)": 0.55,
    "hair=Blond/gap closed high (lite)": 0.68,
    "hair=Blond/identity gap closed (lite)": 0.04,
    "hair=Blond/own (lite)": 0.9,
    "hair=Black/own (lite)": 0.8,
    "hair/gap closed (lite)": 0.62,
    "gap closed (lite)": 0.62,
    "identity gap closed (lite)": 0.04,
    "own (lite)": 0.85,
    "fid (lite)": 12.0,
}


def printed(figures: dict[str, float], metadata: dict[str, Any]) -> str:
    result = DatasetResult(
        dataset="faces",
        num_images=3,
        left_out=(),
        digest="",
        attributes=("hair",),
        edited=("hair",),
        joint_edits=(),
        transferred={},
        classifier={},
        accuracy={"hair": 0.9},
        majority_share={"hair": 0.5},
        edits={"hair=Blond": 2, "hair=Black": 1, "hair=Black,Male=yes": 1},
        compared={},
        figures={
            "gap-closed": figures,
            "edit-accuracy": {"hair=Blond/accuracy": 0.7, "hair=Black/accuracy": 0.9},
        },
        metadata={"gap-closed": metadata},
    )
    cost = {"parameters": {}, "translator_bytes": 0, "training_seconds": None, "images_per_second": 1.0}
    text = io.StringIO()
    print_report(Report("run", "toy", "cpu", (result,), cost, {}, ()), Console(file=text, width=200))
    return text.getvalue()


def row(text: str, head: str) -> list[str]:
    """Returns the cells of the first row with this head."""
    line = next(line for line in text.splitlines() if line.startswith(f"│ {head} "))
    return [cell.strip() for cell in line.split("│")[2:-1]]


def test_realism_is_the_first_table() -> None:
    text = printed(FIGURES, {"not measured": {"hair=Black": "too few images"}})
    assert text.index("realism (lite)") < text.index("accuracy of the attribute classifier")
    assert row(text, "hair=Blond") == ["0.62", "0.55 to 0.68", "90.0%", "70.0%"]
    assert row(text, "hair=Black") == ["", "", "80.0%", "90.0%"]
    assert row(text, "mean") == ["0.62", "", "85.0%", "80.0%"]
    assert row(text, "identity") == ["0.04", "", "", ""]
    assert "hair=Black: gap-closed cannot be measured: too few images" in text
    assert "Male" not in text.partition("accuracy of the attribute classifier")[0]
    assert "fid (lite): 12" in text and "own (lite): " not in text and "gap closed (lite): " not in text


def test_every_network_has_a_table_and_hints_are_shown() -> None:
    other = {name.replace("lite", "classifier"): value for name, value in FIGURES.items()}
    text = printed({**FIGURES, **other}, {"hint": "install the extra"})
    assert "realism (lite)" in text and "realism (classifier)" in text
    assert "gap-closed: install the extra" in text
    assert "realism" not in printed({}, {})
