"""Banks: which member translates or scores which image, and which members get gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mdtranslate_basics.banks import PerPair, PerTarget, PerValue
from pydantic import TypeAdapter
from tiny import BOTH, CELEBA, register

from mdtranslate import Attribute, Choice, Discriminator, DiscriminatorOutput, Generator, LabelEncoder, Settings
from mdtranslate.api import Value
from mdtranslate.errors import RecipeError


class Adds(Generator):
    """Adds a learned number."""

    name = "adds"
    size_multiple = 4

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.number = torch.nn.Parameter(torch.zeros(()))

    def forward(self, image: Any, source: Any, target: Any, style_code: Any = None) -> Any:
        return image + self.number


class Scores(Discriminator):
    """Adds a learned number to a corner of the image, as its score."""

    name = "scores"

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        self.number = torch.nn.Parameter(torch.zeros(()))

    def forward(self, image: Any, label: Any, source_image: Any = None) -> DiscriminatorOutput:
        extra = 0 if source_image is None else source_image[:, :1, :2, :2]
        return DiscriminatorOutput(image[:, :1, :2, :2] + self.number + extra, None)


def build_bank(kind: Any, member: Any, attributes: Any = CELEBA, **settings: Any) -> Any:
    register()
    label_encoder = TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)
    config = kind.Config.model_construct(member=Choice(member, Settings()), max_members=settings.get("max_members", 64))
    bank = Choice(kind, config).build(label_encoder=label_encoder, image_size=16)
    with torch.no_grad():
        for index, module in enumerate(bank.members):
            module.number.fill_(2.0**index)
    return bank


def labels(bank: Any, *known: dict[str, Value], dataset: int = 0) -> torch.Tensor:
    return torch.stack([bank.label_encoder.encode(attributes, dataset) for attributes in known])


def sums(bank: Any, *edits: Any) -> float:
    """Returns the value of an image of zeros after the members of these edits."""
    return sum(2.0 ** bank.members.index_of[edit] for edit in edits)


FACE = {"hair": None, "Eyeglasses": False, "Male": True}


def test_images_pass_through_the_members_of_their_edits() -> None:
    bank = build_bank(PerPair, Adds)
    assert len(bank.members) == 6 + 2 + 2 and bank.size_multiple == 4
    assert bank.note == "per-pair: 10 networks of adds, 0.0 M parameters"
    after = [FACE, {**FACE, "hair": "Blond_Hair"}, {**FACE, "hair": "Black_Hair", "Male": False}]
    with torch.no_grad():
        out = bank(torch.zeros(3, 3, 4, 4), labels(bank, FACE, FACE, FACE), labels(bank, *after))
    blond, black = (0, "hair", None, "Blond_Hair"), (0, "hair", None, "Black_Hair")
    expected = [0.0, sums(bank, blond), sums(bank, black, (0, "Male", True, False))]
    assert out[:, 0, 0, 0].tolist() == expected and out.shape == (3, 3, 4, 4)


def test_only_members_in_use_get_gradients() -> None:
    bank = build_bank(PerPair, Adds)
    one, other = labels(bank, {"Male": True}, {"Male": False}), labels(bank, {"Male": False}, {"Male": True})
    bank(torch.zeros(2, 3, 4, 4), one, other).sum().backward()
    members = bank.members
    trained = {edit for edit, index in members.index_of.items() if members[index].number.grad is not None}
    assert trained == {(0, "Male", True, False), (0, "Male", False, True)}


def test_per_pair_needs_known_labels_and_per_target_does_not() -> None:
    bank = build_bank(PerPair, Adds)
    with pytest.raises(RecipeError, match="hair=Blond_Hair"):
        bank(torch.zeros(1, 3, 4, 4), labels(bank, {}), labels(bank, {"hair": "Blond_Hair"}))
    bank = build_bank(PerTarget, Adds)
    assert len(bank.members) == 3 + 2 + 2
    after = labels(bank, {"hair": "Blond_Hair"}, {"hair": None}, {"hair": None})
    with torch.no_grad():
        out = bank(torch.zeros(3, 3, 4, 4), labels(bank, {}, {}, {"hair": None}), after)
    blond, none = (0, "hair", "Blond_Hair", "Blond_Hair"), (0, "hair", None, None)
    assert out[:, 0, 0, 0].tolist() == [sums(bank, blond), sums(bank, none), 0.0]


def test_per_value_averages_over_all_known_attributes() -> None:
    bank = build_bank(PerValue, Scores)
    known = [{"Male": True}, {"Male": False}, {"Male": False, "Eyeglasses": True}]
    image, source = torch.zeros(3, 3, 4, 4), torch.ones(3, 3, 4, 4)
    with torch.no_grad():
        output = bank(image, labels(bank, *known), source)
    male, female, glasses = ((0, "Male", True, True), (0, "Male", False, False), (0, "Eyeglasses", True, True))
    expected = [sums(bank, male) + 1, sums(bank, female) + 1, sums(bank, female, glasses) / 2 + 1]
    assert output.score[:, 0, 0, 0].tolist() == expected and output.logits is None
    with pytest.raises(RecipeError, match="per-value"):
        bank(image[:1], labels(bank, {}))


def test_datasets_have_separate_members() -> None:
    bank = build_bank(PerPair, Adds, BOTH)
    before = torch.cat([labels(bank, FACE), labels(bank, {"mood": "sad", "Male": True}, dataset=1)])
    after = torch.cat([labels(bank, {**FACE, "Male": False}), labels(bank, {"mood": "sad", "Male": False}, dataset=1)])
    with torch.no_grad():
        out = bank(torch.zeros(2, 3, 4, 4), before, after)
    assert out[:, 0, 0, 0].tolist() == [sums(bank, (n, "Male", True, False)) for n in (0, 1)]


def test_max_members_is_enforced() -> None:
    many = {"x": (Attribute("id", tuple(map(str, range(20)))),)}
    with pytest.raises(RecipeError, match=r"380 networks of 'adds'.*max_members=64"):
        build_bank(PerPair, Adds, many)
    assert len(build_bank(PerTarget, Adds, many).members) == 20
