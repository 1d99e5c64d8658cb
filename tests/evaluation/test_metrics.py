"""Metrics on batches whose figures are computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mdtranslate.api import Attribute, EditBatch, Metric
from mdtranslate.config.registry import registry

ATTRIBUTES = (Attribute("hair", ("black", "blond")), Attribute("Male"), Attribute("beard", ("full",), optional=True))


def metric(name: str) -> Metric:
    cls = registry().component("metric", name)
    assert issubclass(cls, Metric)
    return cls(cls.Config(), attributes=ATTRIBUTES, classifier_features=None)


def edited(
    edit, source_attributes=(), predicted_attributes=(), *, real=0.0, fake=0.0, reconstruction=0.0, truth=None, size=16
) -> EditBatch:
    """Returns a batch of images of one grey value each."""
    count = max(len(source_attributes), 1)
    grey = lambda value: torch.full((count, 3, size, size), value)  # noqa: E731
    return EditBatch(
        edit,
        grey(real),
        grey(fake),
        grey(reconstruction),
        None if truth is None else grey(truth),
        source_attributes,
        predicted_attributes,
    )


def test_edit_accuracy_by_edit_and_matrix() -> None:
    one = metric("edit-accuracy")
    one.update(
        edited(
            {"hair": "blond"},
            source_attributes=[
                {"hair": "black", "Male": True, "beard": None},
                {"hair": "black", "Male": False, "beard": "full"},
                {"hair": "black", "beard": "full"},  # Male is unknown: no part of hair/preserves/Male
                {"hair": "black", "Male": False, "beard": None},
            ],
            predicted_attributes=[
                {"hair": "blond", "Male": True, "beard": None},
                {"hair": "black", "Male": True, "beard": "full"},
                {"hair": "blond", "Male": True, "beard": None},
                {"hair": "blond", "Male": False, "beard": None},
            ],
        )
    )
    seen = {"hair": "blond", "Male": True, "beard": None}
    one.update(edited({"hair": "black"}, [{"hair": "blond", "Male": True}], [seen]))
    assert one.compute() == pytest.approx(
        {
            "hair/accuracy": 3 / 5,
            "hair=blond/accuracy": 3 / 4,
            "hair=black/accuracy": 0,
            "hair=blond/predicted/black": 1 / 4,
            "hair=blond/predicted/blond": 3 / 4,
            "hair=black/predicted/black": 0,
            "hair=black/predicted/blond": 1,
            "hair/preserves/Male": 3 / 4,
            "hair/preserves/beard": 3 / 4,
            "preservation": 3 / 4,
            "classification error": 2 / 5,
        }
    )


def test_edit_to_no_and_other_attribute_never_known() -> None:
    one = metric("edit-accuracy")
    one.update(edited({"Male": False}, [{"Male": True}], [{"hair": "black", "Male": False, "beard": None}]))
    figures = one.compute()
    assert figures["Male=no/accuracy"] == 1
    assert figures["Male=no/predicted/yes"] == 0
    assert not [name for name in figures if "preserv" in name]


def test_preservation_weighs_cells_of_the_matrix_equally() -> None:
    one = metric("edit-accuracy")
    seen = {"hair": "black", "Male": False, "beard": None}
    one.update(edited({"Male": False}, [{"hair": "black"}] * 3, [seen] * 3))
    one.update(edited({"hair": "black"}, [{"Male": True}], [seen]))
    assert one.compute()["preservation"] == pytest.approx((1 + 0) / 2)


def test_reconstruction_is_the_mean_difference() -> None:
    one = metric("reconstruction")
    one.update(edited({"hair": "blond"}, [{}] * 3, real=0.5, reconstruction=0.25))
    one.update(edited({"Male": True}, [{}], real=-1.0, reconstruction=1.0))
    figures = {name: value for name, value in one.compute().items() if name.endswith("l1")}
    assert figures == pytest.approx({"hair/l1": 0.25, "Male/l1": 2.0, "l1": (3 * 0.25 + 2) / 4})


def test_psnr_and_ssim_of_a_better_image() -> None:
    one = metric("counterfactual")
    # On [0, 1]: truth 0.6, ours off by 0.1, the source off by 0.2.
    one.update(edited({"hair": "blond"}, [{}] * 2, real=-0.2, fake=0.0, truth=0.2))
    figures = one.compute()
    for scope in ("hair", "hair=blond"):
        assert figures[f"{scope}/psnr"] == pytest.approx(20, abs=1e-3)
        assert figures[f"{scope}/psnr of the identity baseline"] == pytest.approx(-20 * math.log10(0.2), abs=1e-3)
        assert figures[f"{scope}/psnr gain"] == pytest.approx(20 * math.log10(2), abs=1e-3)
    # Of two flat images only the luminance term differs from 1.
    luminance = lambda a, b: (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)  # noqa: E731
    assert figures["hair/ssim"] == pytest.approx(luminance(0.5, 0.6), abs=1e-3)
    assert figures["hair/ssim of the identity baseline"] == pytest.approx(luminance(0.4, 0.6), abs=1e-3)


def test_psnr_is_averaged_over_images() -> None:
    one = metric("counterfactual")
    for fake in (0.2, 0.02):  # 20 and 40 dB
        one.update(edited({"Male": True}, [{}], real=0.0, fake=fake, truth=0.0))
    assert one.compute()["Male/psnr"] == pytest.approx(30, abs=1e-3)


def test_identity_gains_nothing() -> None:
    one = metric("counterfactual")
    real, truth = torch.rand(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one.update(EditBatch({"hair": "blond"}, real, real, real, truth, [{}] * 4, [{}] * 4))
    figures = one.compute()
    assert figures["hair/psnr gain"] == figures["hair/ssim gain"] == 0
    assert figures["hair/psnr"] < 12 and figures["hair/ssim"] < 0.5


def test_perfect_image_is_finite_and_small_ones_have_no_ssim() -> None:
    one = metric("counterfactual")
    one.update(edited({"hair": "blond"}, [{}], truth=0.0, size=8))
    figures = one.compute()
    assert figures["hair/psnr"] == pytest.approx(58.92, abs=0.01)
    assert not [name for name in figures if "ssim" in name]


def test_unknown_truth_gives_no_figure() -> None:
    one = metric("counterfactual")
    one.update(edited({"hair": "blond"}, [{}]))
    assert one.compute() == {}
