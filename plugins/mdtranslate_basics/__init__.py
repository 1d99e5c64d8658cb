"""What every run can use: the metrics of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping

from mdtranslate import hookimpl


@hookimpl
def register_metrics() -> Mapping[str, str]:
    return {
        "edit-accuracy": "mdtranslate_basics.metrics:EditAccuracy",
        "reconstruction": "mdtranslate_basics.metrics:Reconstruction",
        "counterfactual": "mdtranslate_basics.metrics:Counterfactual",
    }
