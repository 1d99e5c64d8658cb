"""Gap closed, against an independent computation, and on cases whose result is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from mdtranslate_basics import gap_closed
from mdtranslate_basics.gap_closed import GapClosedMetric, nearest_source_share
from torch import Tensor

from mdtranslate import (
    Attribute,
    EditBatch,
    Features,
    GapMeasure,
    LabelledFeatures,
    NotMeasurable,
    Settings,
    Value,
    realism_network,
)
from mdtranslate.errors import PluginError
from mdtranslate.evaluation import gap_closed as computation

Known = Mapping[str, Value]


class Pixels(Features):
    """The mean colours of the two halves of an image: six features."""

    name = display_name = fingerprint = "pixels"

    def forward(self, image: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(image, (1, 2)).flatten(1)

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        return [image]


def people(count: int, seed: int, **share: float) -> list[dict[str, Value]]:
    """Returns attributes of people: `blond` and `male`, true for a share of them; some do not know `male`."""
    draw = np.random.default_rng(seed)
    shares = {"blond": 0.5, "male": 0.5, **share}
    rows = [{name: bool(draw.random() < value) for name, value in shares.items()} for _ in range(count)]
    return [{name: value for name, value in row.items() if name == "blond" or n % 10} for n, row in enumerate(rows)]


def drawn(known: Sequence[Known], seed: int, width: int = 6) -> Tensor:
    """Returns features of people: noise, shifted along one direction if blond, and along another if male."""
    noise = torch.randn(len(known), width, generator=torch.Generator().manual_seed(seed))
    for row, values in zip(noise, known, strict=True):
        row[0] += 2.0 * bool(values["blond"])
        row[1] += 3.0 * bool(values.get("male"))
    return noise


def kernel(x: Any, y: Any) -> float:
    return float((np.dot(x, y) / len(x) + 1) ** 3)


def discrepancy(images: Any, weights: Any, others: Any, other_weights: Any) -> float:
    """The definition, pair by pair."""

    def within(features: Any, w: Any) -> float:
        pairs = [(i, j) for i, j in product(range(len(features)), repeat=2) if i != j]
        total = sum(w[i] * w[j] * kernel(features[i], features[j]) for i, j in pairs)
        return total / sum(w[i] * w[j] for i, j in pairs)

    between = sum(
        w * v * kernel(x, y)
        for x, w in zip(images, weights, strict=True)
        for y, v in zip(others, other_weights, strict=True)
    )
    return 1_000 * (within(images, weights) + within(others, other_weights) - 2 * between)


def shares(known: Sequence[Known], like: Sequence[Known]) -> list[float]:
    """Weights of images by which `male`, or that it is unknown, is distributed as in others."""
    keys, wanted = [row.get("male", "?") for row in known], [row.get("male", "?") for row in like]
    weights = [wanted.count(key) / len(wanted) / keys.count(key) for key in keys]
    return [weight / sum(weights) for weight in weights]


def measured(
    test_known: Sequence[Known], train_known: Sequence[Known], labelled: Sequence[str] = ("blond", "male")
) -> tuple[GapMeasure, Tensor, list[int]]:
    """Returns the gap of making people blond, the features of the test images, and the indices of the sources."""
    test, reference = drawn(test_known, 1), drawn(train_known, 2)
    rows = [row for row, known in enumerate(test_known) if not known["blond"]]
    gap = GapMeasure(
        "blond", True, rows, LabelledFeatures(test, test_known), LabelledFeatures(reference, train_known), labelled
    )
    return gap, test, rows


def test_the_measure_is_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computation, "CHUNK_SIZE", 7)  # The matrices are computed in several parts.
    test_known, train_known = people(60, 0), people(80, 1, male=0.2)
    gap, test, rows = measured(test_known, train_known)
    edits = test[rows] + torch.tensor([1.0, 0, 0, 0, 0, 0])
    result = gap.measure(edits)

    sources_known = [test_known[row] for row in rows]
    even = [1 / len(rows)] * len(rows)
    targets = [row for row, known in enumerate(test_known) if known["blond"]]
    train_targets = [row for row, known in enumerate(train_known) if known["blond"]]
    floor_weights = shares([test_known[row] for row in targets], sources_known)
    weights = shares([train_known[row] for row in train_targets], sources_known)
    reference = drawn(train_known, 2)[train_targets].double().numpy()

    def distance(features: Tensor, w: Sequence[float]) -> float:
        return discrepancy(features.double().numpy(), w, reference, weights)

    sources, after, floor = distance(test[rows], even), distance(edits, even), distance(test[targets], floor_weights)
    assert gap.sources == pytest.approx(sources) and gap.floor == pytest.approx(floor)
    assert result.discrepancy == pytest.approx(after)
    assert result.value == pytest.approx((sources - after) / (sources - floor))
    assert 0.2 < result.value < 0.95
    assert result.low < result.value < result.high
    assert gap.counts["effective reference"] == pytest.approx(1 / np.square(weights).sum())
    assert gap.counts["reference"] == len(train_targets) and gap.counts["sources"] == len(rows)


def test_the_interval_covers_repeated_samples() -> None:
    """The spread of the measure over samples of sources is that of its interval."""
    train_known, values, widths = people(400, 1), [], []
    for seed in range(12):
        test_known = people(400, seed + 10)
        test, reference = drawn(test_known, seed + 50), drawn(train_known, 2)
        rows = [row for row, known in enumerate(test_known) if not known["blond"]]
        gap = GapMeasure(
            "blond",
            True,
            rows,
            LabelledFeatures(test, test_known),
            LabelledFeatures(reference, train_known),
            ("male", "blond"),
        )
        result = gap.measure(test[rows] + torch.tensor([1.0, 0, 0, 0, 0, 0]))
        values.append(result.value)
        widths.append(result.high - result.low)
    spread = 2 * 1.645 * float(np.std(values, ddof=1))
    assert 0.4 * spread < float(np.mean(widths)) < 2.5 * spread


def test_perfect_edits_reach_1_the_identity_0_and_wrong_edits_less() -> None:
    gap, test, rows = measured(people(800, 0), people(800, 1))
    shift = torch.tensor([2.0, 0, 0, 0, 0, 0])
    assert gap.measure(test[rows]).value == 0
    assert gap.measure(test[rows] + shift).value == pytest.approx(1, abs=0.1)
    half = torch.arange(len(rows))[:, None] % 2 * shift
    assert gap.measure(test[rows] + half).value == pytest.approx(0.75, abs=0.1), "the discrepancy is squared"
    assert gap.measure(test[rows] - shift).value < -1


def test_other_labels_are_weighted_as_those_of_the_sources() -> None:
    """Blond people are rarely male here. An edit that changes hair alone is right, although it keeps men."""
    test_known = [
        {"blond": blond, "male": male}
        for blond, male, count in ((True, True, 40), (True, False, 360), (False, True, 200), (False, False, 200))
        for _ in range(count)
    ]
    shift = torch.tensor([2.0, 0, 0, 0, 0, 0])
    weighted, test, rows = measured(test_known, test_known)
    unweighted, _, _ = measured(test_known, test_known, labelled=("blond",))
    assert weighted.measure(test[rows] + shift).value == pytest.approx(1, abs=0.1)
    assert unweighted.measure(test[rows] + shift).value < 0.6
    assert weighted.counts["effective reference"] < 0.5 * weighted.counts["reference"]


@pytest.mark.parametrize(
    ("test_known", "train_known", "reason"),
    [
        ([{"blond": True}] * 30, people(50, 0), "no test image is known to have another value"),
        ([{"blond": False}] * 30, people(50, 0), "no real test image"),
        (people(50, 0), [{"blond": False}] * 30, "no real training image"),
        (people(50, 0), people(15, 1), "too few images: effective reference"),
        (people(16, 3), people(200, 1), "too few images: sources"),
        (people(50, 0), [{"blond": True, "male": "other"}] * 40, "only 0 of"),
    ],
)
def test_what_cannot_be_measured_says_why(test_known: list[Known], train_known: list[Known], reason: str) -> None:
    with pytest.raises(NotMeasurable, match=reason):
        measured(test_known, train_known)


def test_a_gap_within_its_uncertainty_is_not_measured() -> None:
    known = people(100, 0)
    features = LabelledFeatures(torch.randn(100, 6, generator=torch.Generator().manual_seed(0)), known)
    other = LabelledFeatures(torch.randn(100, 6, generator=torch.Generator().manual_seed(1)), known)
    rows = [row for row, values in enumerate(known) if not values["blond"]]
    with pytest.raises(NotMeasurable, match="is not larger than its uncertainty"):
        GapMeasure("blond", True, rows, features, other, ("blond", "male"))


def test_sources_without_counterpart_are_left_out() -> None:
    test_known = [{**known, "old": n % 10 == 3 and not known["blond"]} for n, known in enumerate(people(200, 0))]
    train_known = [{**known, "old": False} for known in people(300, 1)]
    gap, test, rows = measured(test_known, train_known, ("blond", "male", "old"))
    old = [position for position, row in enumerate(rows) if test_known[row]["old"]]
    assert old and gap.counts["sources without counterpart"] == len(old) and not {*old} & {*gap.positions}
    edits = test[rows].clone()
    before = gap.measure(edits)
    edits[old] = 100.0
    assert gap.measure(edits) == before


def test_share_of_edits_nearest_to_their_source() -> None:
    test = torch.eye(4)
    assert nearest_source_share(test * 0.9, test, [0, 1, 2, 3]) == 1
    assert nearest_source_share(test[[1, 1, 2, 3]], test, [0, 1, 2, 3]) == 0.75
    assert nearest_source_share(test[[0]], test[[0, 0]], [1]) == 1, "equal images are equally near"


def images(features: Tensor) -> Tensor:
    """Returns images with these six features."""
    return features.view(-1, 3, 1, 2).repeat_interleave(4, 2).repeat_interleave(2, 3)


def gap_metric(**settings: Any) -> GapClosedMetric:
    config = GapClosedMetric.Config.model_validate(settings)
    return GapClosedMetric(config, attributes=(Attribute("blond"),), classifier_features=Pixels(Settings()))


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Features:
        raise PluginError("install the extra")

    monkeypatch.setattr(gap_closed, "realism_network", missing)


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize("batch", [400, 33])
def test_figures_and_metadata_of_the_metric(batch: int) -> None:
    metric, test_known, train_known = gap_metric(), people(300, 0), people(300, 1)
    test, train = images(drawn(test_known, 1)), images(drawn(train_known, 2))
    shift = images(torch.tensor([[1.0, 0, 0, 0, 0, 0]]))
    for start in range(0, 300, batch):
        rows = slice(start, start + batch)
        metric.update_reference(train[rows], train_known[rows], ("blond", "male"))
    for start in range(0, 300, batch):
        rows = slice(start, start + batch)
        metric.update_real(test[rows], test_known[rows], test[rows] + 0.01)
    for value in (True, False):
        sources = [row for row, known in enumerate(test_known) if known["blond"] is not value]
        for start in range(0, len(sources), batch):
            rows = sources[start : start + batch]
            known = [test_known[row] for row in rows]
            real = test[rows]
            metric.update(EditBatch({"blond": value}, real, real + shift, real, None, known, known))
            metric.update(EditBatch({"blond": value, "male": True}, real, real, real, None, known, known))
    figures, metadata = metric.compute(), metric.metadata()

    gap, features, rows = measured(test_known, train_known)
    expected = gap.measure(features[rows] + torch.tensor([1.0, 0, 0, 0, 0, 0]))
    assert figures["blond=yes/gap closed (pixels)"] == pytest.approx(expected.value, abs=1e-5)
    assert figures["blond=yes/gap closed low (pixels)"] == pytest.approx(expected.low, abs=1e-5)
    assert figures["blond=yes/gap closed high (pixels)"] == pytest.approx(expected.high, abs=1e-5)
    assert figures["blond=yes/identity gap closed (pixels)"] == pytest.approx(0, abs=0.05)
    assert figures["blond=no/gap closed (pixels)"] < 0, "this edit goes the wrong way"
    mean = (figures["blond=yes/gap closed (pixels)"] + figures["blond=no/gap closed (pixels)"]) / 2
    assert figures["gap closed (pixels)"] == figures["blond/gap closed (pixels)"] == pytest.approx(mean)
    assert 0 < figures["own (pixels)"] < 1 and "gap closed low (pixels)" not in figures
    assert metadata["network"] == "pixels" and metadata["hint"] == "install the extra"
    assert metadata["edits"]["blond=yes"]["discrepancy"]["floor"] == pytest.approx(gap.floor, abs=1e-3)
    assert metadata["edits"]["blond=yes"]["counts"] == pytest.approx(gap.counts)
    assert [*metadata["edits"]] == ["blond=yes", "blond=no"] and not metadata["not measured"]


@pytest.mark.usefixtures("without_weights")
def test_an_edit_that_cannot_be_measured_has_a_reason_instead_of_a_figure() -> None:
    metric, known = gap_metric(), people(20, 0)
    real = images(drawn(known, 1))
    metric.update_real(real, known, real)
    metric.update(EditBatch({"blond": True}, real, real, real, None, known, known))
    assert metric.compute() == {f"{scope}own (pixels)": 1.0 for scope in ("blond=yes/", "blond/", "")}
    assert "training images" in metric.metadata()["not measured"]["blond=yes"]


def test_the_network_is_efficientnet_lite0_or_a_setting() -> None:
    assert realism_network().display_name == "efficientnet-lite0"
    assert gap_metric().network.display_name == "efficientnet-lite0" and gap_metric().hint is None
    assert gap_metric(network={"name": "timm", "model": "test_resnet"}).network.display_name == "test_resnet"
