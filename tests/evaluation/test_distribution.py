"""Distances between sets of images: against closed forms, and against torch-fidelity on the same features."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mdtranslate_basics import distribution
from mdtranslate_basics.distribution import Distribution, frechet_distance, mean_discrepancy, precision_and_recall
from mdtranslate_basics.image_differences import EditMagnitude, FaceIdentity, PerceptualDistance
from mdtranslate_basics.inception import Inception
from mdtranslate_basics.metrics import Reconstruction
from torch import Tensor
from torchvision.models import inception

from mdtranslate import Attribute, EditBatch, Features, Settings
from mdtranslate.config.choice import Choice
from mdtranslate.errors import DataError

COLOUR = Attribute("colour", ("red", "green"))


class Colours(Features):
    """The mean of each colour."""

    name = display_name = fingerprint = "colours"

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))

    def feature_maps(self, image: Tensor) -> Sequence[Tensor]:
        return [image, image[:, :, ::2, ::2]]


def metric(cls: Any, **settings: Any) -> Any:
    return cls(cls.Config(**settings), attributes=(COLOUR,), classifier_features=Colours(Settings()))


def features(count: int, width: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=draw, dtype=torch.float64) * (1 + shift) + shift


def edited(real: Tensor, fake: Tensor, value: str = "green", truth: Tensor | None = None) -> EditBatch:
    known = [{"colour": "red"}] * len(real)
    return EditBatch({"colour": value}, real, fake, real * 0.5, truth, known, known)


def test_distance_of_normal_distributions() -> None:
    """Means apart by 3 and 4, standard deviations of 1 and 3 in each of two directions: 25 + 2 (3 - 1)²."""
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64) * 0.75**0.5
    assert torch.allclose(square.T.cov(), torch.eye(2, dtype=torch.float64))
    assert frechet_distance(square, 3 * square + torch.tensor([3.0, 4.0])) == pytest.approx(25 + 8)
    assert frechet_distance(square, square) == pytest.approx(0, abs=1e-9)
    many = square.repeat(100, 1)
    assert frechet_distance(many, many + 1) == pytest.approx(2), "more images than features"


def test_discrepancy_is_unbiased() -> None:
    one, other = features(4, 2), features(4, 2, 0.3, 1)

    def kernel(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 2 + 1) ** 3)

    within = [[kernel(a, b) for n, a in enumerate(part) for m, b in enumerate(part) if n != m] for part in (one, other)]
    between = [kernel(a, b) for a in one for b in other]
    assert mean_discrepancy(one, other) == pytest.approx(np.mean(within[0]) + np.mean(within[1]) - 2 * np.mean(between))


def test_precision_and_recall_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    fake = torch.tensor([[0.5], [1.5], [50.0], [51.0], [52.0]])
    assert precision_and_recall(real, fake, 1) == pytest.approx((2 / 5, 3 / 4)), "each reaches to its nearest"


def test_precision_and_recall_do_not_depend_on_the_chunk_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = torch.Generator().manual_seed(0)
    real, fake = torch.randn(50, 3, generator=draw), torch.randn(37, 3, generator=draw) + 0.5
    between = torch.cdist(real, fake)
    radii = [torch.cdist(each, each).kthvalue(4).values for each in (real, fake)]
    expected = (
        float((between <= radii[0][:, None]).any(0).double().mean()),
        float((between <= radii[1][None]).any(1).double().mean()),
    )
    assert min(expected) > 0 and max(expected) < 1
    for part in (7, 50, 1_024):
        monkeypatch.setattr(distribution, "CHUNK_SIZE", part)
        assert precision_and_recall(real, fake, 3) == expected


def test_the_same_as_torch_fidelity() -> None:
    kid, fid = pytest.importorskip("torch_fidelity.metric_kid"), pytest.importorskip("torch_fidelity.metric_fid")
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = features(300, 16), features(300, 16, 0.2, 1)
    stats = [{"mu": each.mean(0).numpy(), "sigma": each.T.cov().numpy()} for each in (real, fake)]
    reference = fid.fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(reference, rel=1e-4)
    settings = {"kid_subsets": 1, "kid_subset_size": 300, "verbose": False}
    reference = kid.kid_features_to_metric(real, fake, **settings)["kernel_inception_distance_mean"]
    assert mean_discrepancy(real, fake) == pytest.approx(reference, rel=1e-4)
    reference = prc.calculate_precision_recall_full(fake, real, 3)
    assert precision_and_recall(real, fake, 3) == pytest.approx(reference, rel=1e-4)


def test_translations_are_compared_with_the_real_images_of_their_value() -> None:
    tested, draw = metric(Distribution, kid_subset_size=8, kid_subsets=3), torch.Generator().manual_seed(0)
    real = torch.rand(20, 3, 8, 8, generator=draw)
    tested.update_real(real, [{"colour": "red"}] * 8 + [{"colour": "green"}] * 10 + [{}] * 2, real)
    fake = torch.rand(8, 3, 8, 8, generator=draw)
    tested.update(edited(real[:8], fake))
    figures = tested.compute()
    green, translated = (images.mean((2, 3)).double() for images in (real[8:18], fake))
    assert figures["colour=green/fid (colours)"] == pytest.approx(frechet_distance(green, translated))
    assert figures["fid (colours)"] == figures["colour=green/fid (colours)"] and "fid" not in figures
    assert figures["colour=green/precision (colours)"] == precision_and_recall(green, translated, 3)[0]
    metadata = tested.metadata()
    assert (
        metadata["counts"] == {"colour=green": {"real": 10, "fake": 8, "kid_subsets": 3, "kid_subset_size": 8}}
        and metadata["network"] == "colours"
    )
    again = metric(Distribution, kid_subset_size=8, kid_subsets=3)
    again.update_real(real, tested.known, real)
    again.update(edited(real[:8], fake))
    assert again.compute() == figures, "subsets are the same each time"
    few = metric(Distribution)
    few.update_real(real[:1], [{"colour": "green"}], real[:1])
    few.update(edited(real, fake))
    assert few.compute() == {} and few.metadata()["counts"]["colour=green"]["real"] == 1


def test_change_of_an_edit() -> None:
    tested, real = metric(EditMagnitude, threshold=20), torch.zeros(1, 3, 4, 4)
    fake = real.clone()
    fake[:, 0, :2] = 0.2  # 25.5 of 255 in half of the pixels, of one colour.
    tested.update(edited(real, fake))
    figures = tested.compute()
    assert figures["colour/change"] == figures["colour=green/change"] == pytest.approx(0.2 * 127.5 / 6)
    assert figures["colour/changed"] == pytest.approx(0.5)


def test_distance_from_the_truth_in_feature_maps() -> None:
    tested, truth = metric(PerceptualDistance), torch.zeros(1, 3, 4, 4)
    truth[:, 0], real = 1.0, torch.zeros(1, 3, 4, 4)
    real[:, 1] = 1.0
    tested.update(edited(real, truth * 0.5, truth=truth))
    figures = tested.compute()
    assert figures["colour/distance (colours)"] == pytest.approx(0, abs=1e-6), "only directions count"
    assert figures["colour=green/distance (colours) of the identity baseline"] == pytest.approx(2.0)
    tested.update(edited(real, real))
    assert tested.compute() == figures, "nothing without a truth"


class Untrained(Colours):
    is_untrained = True


def test_identity_of_faces() -> None:
    with pytest.raises(ValueError, match="network"):
        FaceIdentity.Config()
    with pytest.raises(ValueError, match="colours has random weights"):
        metric(FaceIdentity, network=Choice(Untrained, Settings()))
    tested = metric(FaceIdentity, network=Choice(Colours, Settings()))
    real = torch.zeros(2, 3, 4, 4)
    real[:, 0] = 1.0
    tested.update(edited(real, torch.cat([real[:1] * 3, real[1:].roll(1, 1)])))
    assert tested.compute()["colour/identity"] == pytest.approx(0.5)


def test_cycle_and_identity() -> None:
    tested, real = metric(Reconstruction), torch.full((2, 3, 12, 12), 0.5)
    tested.update_real(real, [{}, {}], real - 0.2)
    tested.update(edited(real, real))  # Its reconstruction is half of it.
    figures = tested.compute()
    assert figures["identity l1"] == pytest.approx(0.2) and figures["l1"] == pytest.approx(0.25)
    assert figures["identity psnr"] == pytest.approx(20.0) and figures["cycle psnr"] == pytest.approx(18.0618, abs=1e-3)
    assert 0 < figures["cycle ssim"] < figures["identity ssim"] < 1


def test_inception_is_that_of_fid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    state = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    torch.save(state, tmp_path / "inception.pth")
    network = Inception(Inception.Config(weights=tmp_path / "inception.pth"))
    reference = fidelity.FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(tmp_path / "inception.pth")
    )
    grey = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8)
    (expected,), features = reference(grey), network(grey / 127.5 - 1)
    assert features.shape == (1, 2048) and expected.std() > 0
    assert torch.allclose(features, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert "sha256" in network.fingerprint and not network.train().network.training
    digest = sha256((tmp_path / "inception.pth").read_bytes()).hexdigest()
    assert network.display_name == f"inception {digest[:8]}", "random weights make no FID"
    monkeypatch.setattr("mdtranslate_basics.inception.PUBLISHED_SHA256", digest[:8])
    assert Inception(Inception.Config(weights=tmp_path / "inception.pth")).display_name == "inception"
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 2048)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth: .*Conv2d_1a_3x3\.conv\.weight"):
        Inception(Inception.Config(weights=tmp_path / "other.pth"))
