"""Distances between sets of pictures: against closed forms, and against torch-fidelity on the same features."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mdtranslate_basics import distribution
from mdtranslate_basics.distribution import Distribution, discrepancy, frechet, reach
from mdtranslate_basics.image_differences import EditMagnitude, FaceIdentity, PerceptualDistance
from mdtranslate_basics.inception import Inception
from mdtranslate_basics.metrics import Reconstruction
from torch import Tensor
from torchvision.models import inception

from mdtranslate import Attribute, Edited, Features, Settings
from mdtranslate.config.choice import Choice
from mdtranslate.errors import DataError

COLOUR = Attribute("colour", ("red", "green"))


class Colours(Features):
    """The mean of each colour."""

    name = label = identity = "colours"

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((2, 3))

    def maps(self, image: Tensor) -> Sequence[Tensor]:
        return [image, image[:, :, ::2, ::2]]


def metric(cls: Any, **settings: Any) -> Any:
    return cls(cls.Config(**settings), attributes=(COLOUR,), judge=Colours(Settings()))


def features(count: int, width: int = 5, shift: float = 0.0, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=draw, dtype=torch.float64) * (1 + shift) + shift


def edited(real: Tensor, fake: Tensor, value: str = "green", truth: Tensor | None = None) -> Edited:
    known = [{"colour": "red"}] * len(real)
    return Edited({"colour": value}, real, fake, real * 0.5, truth, known, known)


def test_distance_of_normal_distributions() -> None:
    """Means apart by 3 and 4, standard deviations of 1 and 3 in each of two directions: 25 + 2 (3 - 1)²."""
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64) * 0.75**0.5
    assert torch.allclose(square.T.cov(), torch.eye(2, dtype=torch.float64))
    assert frechet(square, 3 * square + torch.tensor([3.0, 4.0])) == pytest.approx(25 + 8)
    assert frechet(square, square) == pytest.approx(0, abs=1e-9)
    many = square.repeat(100, 1)
    assert frechet(many, many + 1) == pytest.approx(2), "more pictures than features"


def test_discrepancy_is_unbiased() -> None:
    one, other = features(4, 2), features(4, 2, 0.3, 1)

    def kernel(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 2 + 1) ** 3)

    within = [[kernel(a, b) for n, a in enumerate(own) for m, b in enumerate(own) if n != m] for own in (one, other)]
    between = [kernel(a, b) for a in one for b in other]
    assert discrepancy(one, other) == pytest.approx(np.mean(within[0]) + np.mean(within[1]) - 2 * np.mean(between))


def test_precision_and_recall_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    fake = torch.tensor([[0.5], [1.5], [50.0], [51.0], [52.0]])
    assert reach(real, fake, 1) == pytest.approx((2 / 5, 3 / 4)), "each reaches to its nearest"


def test_precision_and_recall_do_not_depend_on_the_parts_in_which_they_are_found(
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
        monkeypatch.setattr(distribution, "PART", part)
        assert reach(real, fake, 3) == expected


def test_the_same_as_torch_fidelity() -> None:
    kid, fid = pytest.importorskip("torch_fidelity.metric_kid"), pytest.importorskip("torch_fidelity.metric_fid")
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = features(300, 16), features(300, 16, 0.2, 1)
    stats = [{"mu": each.mean(0).numpy(), "sigma": each.T.cov().numpy()} for each in (real, fake)]
    theirs = fid.fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert frechet(real, fake) == pytest.approx(theirs, rel=1e-4)
    settings = {"kid_subsets": 1, "kid_subset_size": 300, "verbose": False}
    theirs = kid.kid_features_to_metric(real, fake, **settings)["kernel_inception_distance_mean"]
    assert discrepancy(real, fake) == pytest.approx(theirs, rel=1e-4)
    theirs = prc.calculate_precision_recall_full(fake, real, 3)
    assert reach(real, fake, 3) == pytest.approx(theirs, rel=1e-4)


def test_translations_are_compared_with_the_real_pictures_of_their_value() -> None:
    own, draw = metric(Distribution, subset=8, subsets=3), torch.Generator().manual_seed(0)
    real = torch.rand(20, 3, 8, 8, generator=draw)
    own.see(real, [{"colour": "red"}] * 8 + [{"colour": "green"}] * 10 + [{}] * 2, real)
    fake = torch.rand(8, 3, 8, 8, generator=draw)
    own.update(edited(real[:8], fake))
    found = own.compute()
    green, made = (each.mean((2, 3)).double() for each in (real[8:18], fake))
    assert found["colour=green/fid (colours)"] == pytest.approx(frechet(green, made))
    assert found["fid (colours)"] == found["colour=green/fid (colours)"] and "fid" not in found
    assert found["colour=green/precision (colours)"] == reach(green, made, 3)[0]
    facts = own.facts()
    assert (
        facts["counts"] == {"colour=green": {"real": 10, "fake": 8, "subsets": 3, "subset": 8}}
        and facts["network"] == "colours"
    )
    again = metric(Distribution, subset=8, subsets=3)
    again.see(real, own.known, real)
    again.update(edited(real[:8], fake))
    assert again.compute() == found, "subsets are the same each time"
    few = metric(Distribution)
    few.see(real[:1], [{"colour": "green"}], real[:1])
    few.update(edited(real, fake))
    assert few.compute() == {} and few.facts()["counts"]["colour=green"]["real"] == 1


def test_change_of_an_edit() -> None:
    own, real = metric(EditMagnitude, above=20), torch.zeros(1, 3, 4, 4)
    fake = real.clone()
    fake[:, 0, :2] = 0.2  # 25.5 of 255 in half of the pixels, of one colour.
    own.update(edited(real, fake))
    found = own.compute()
    assert found["colour/change"] == found["colour=green/change"] == pytest.approx(0.2 * 127.5 / 6)
    assert found["colour/changed"] == pytest.approx(0.5)


def test_distance_from_the_truth_in_feature_maps() -> None:
    own, truth = metric(PerceptualDistance), torch.zeros(1, 3, 4, 4)
    truth[:, 0], real = 1.0, torch.zeros(1, 3, 4, 4)
    real[:, 1] = 1.0
    own.update(edited(real, truth * 0.5, truth=truth))
    found = own.compute()
    assert found["colour/distance (colours)"] == pytest.approx(0, abs=1e-6), "only directions count"
    assert found["colour=green/distance (colours) of doing nothing"] == pytest.approx(2.0)
    own.update(edited(real, real))
    assert own.compute() == found, "nothing without a truth"


class Untrained(Colours):
    untrained = True


def test_identity_of_faces() -> None:
    with pytest.raises(ValueError, match="network"):
        FaceIdentity.Config()
    with pytest.raises(ValueError, match="colours has random weights, which know no faces"):
        metric(FaceIdentity, network=Choice(Untrained, Settings()))
    own = metric(FaceIdentity, network=Choice(Colours, Settings()))
    real = torch.zeros(2, 3, 4, 4)
    real[:, 0] = 1.0
    own.update(edited(real, torch.cat([real[:1] * 3, real[1:].roll(1, 1)])))
    assert own.compute()["colour/identity"] == pytest.approx(0.5)


def test_cycle_and_identity() -> None:
    own, real = metric(Reconstruction), torch.full((2, 3, 12, 12), 0.5)
    own.see(real, [{}, {}], real - 0.2)
    own.update(edited(real, real))  # Its reconstruction is half of it.
    found = own.compute()
    assert found["identity l1"] == pytest.approx(0.2) and found["l1"] == pytest.approx(0.25)
    assert found["identity psnr"] == pytest.approx(20.0) and found["cycle psnr"] == pytest.approx(18.0618, abs=1e-3)
    assert 0 < found["cycle ssim"] < found["identity ssim"] < 1


def test_inception_is_that_of_fid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    state = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    torch.save(state, tmp_path / "inception.pth")
    own = Inception(Inception.Config(weights=tmp_path / "inception.pth"))
    theirs = fidelity.FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(tmp_path / "inception.pth")
    )
    grey = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8)
    (wanted,), found = theirs(grey), own(grey / 127.5 - 1)
    assert found.shape == (1, 2048) and wanted.std() > 0
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert "sha256" in own.identity and not own.train().network.training
    digest = sha256((tmp_path / "inception.pth").read_bytes()).hexdigest()
    assert own.label == f"inception {digest[:8]}", "random weights make no FID"
    monkeypatch.setattr("mdtranslate_basics.inception.PUBLISHED", digest[:8])
    assert Inception(Inception.Config(weights=tmp_path / "inception.pth")).label == "inception"
    assert own(torch.zeros(1, 3, 32, 32)).shape == (1, 2048)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth: is not FID's Inception: Conv2d_1a_3x3\.conv\.weight is missing"):
        Inception(Inception.Config(weights=tmp_path / "other.pth"))
