"""Components for any recipe: datasets of image files, banks, losses, metrics, and Inception features."""

from __future__ import annotations

from collections.abc import Mapping

from mdtranslate import hookimpl


@hookimpl
def register_datasets() -> Mapping[str, str]:
    return {
        "folder": "mdtranslate_basics.folder:Folder",
        "table": "mdtranslate_basics.table:Table",
        "huggingface": "mdtranslate_basics.huggingface:HuggingFace",
    }


@hookimpl
def register_backbones() -> Mapping[str, str]:
    return {
        "per-pair": "mdtranslate_basics.banks:PerPair",
        "per-target": "mdtranslate_basics.banks:PerTarget",
        "per-value": "mdtranslate_basics.banks:PerValue",
    }


@hookimpl
def register_losses() -> Mapping[str, str]:
    return {
        "content": "mdtranslate_basics.content_loss:Content",
        "hinge": "mdtranslate_basics.adversarial_losses:Hinge",
        "logistic": "mdtranslate_basics.adversarial_losses:Logistic",
        "r1": "mdtranslate_basics.adversarial_losses:R1",
    }


@hookimpl
def register_features() -> Mapping[str, str]:
    return {"inception": "mdtranslate_basics.inception:Inception"}


@hookimpl
def register_metrics() -> Mapping[str, str]:
    return {
        "edit-accuracy": "mdtranslate_basics.metrics:EditAccuracy",
        "reconstruction": "mdtranslate_basics.metrics:Reconstruction",
        "counterfactual": "mdtranslate_basics.metrics:Counterfactual",
        "distribution": "mdtranslate_basics.distribution:Distribution",
        "gap-closed": "mdtranslate_basics.gap_closed:GapClosedMetric",
        "edit-magnitude": "mdtranslate_basics.image_differences:EditMagnitude",
        "perceptual-distance": "mdtranslate_basics.image_differences:PerceptualDistance",
        "face-identity": "mdtranslate_basics.image_differences:FaceIdentity",
        "lpips": "mdtranslate_basics.lpips:LPIPS",
    }
