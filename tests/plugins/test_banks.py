"""Banks: which network makes which picture, and who learns from it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mdtranslate_basics.banks import PerPair, PerTarget, PerValue
from pydantic import TypeAdapter
from tiny import BOTH, CELEBA, register

from mdtranslate import Attribute, Choice, Discriminator, Generator, LabelEncoder, Settings, Verdict
from mdtranslate.api import Value
from mdtranslate.errors import RecipeError


class Adds(Generator):
    """Adds a number of its own."""

    name = "adds"
    multiple = 4

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.number = torch.nn.Parameter(torch.zeros(()))

    def forward(self, image: Any, source: Any, target: Any, code: Any = None) -> Any:
        return image + self.number


class Scores(Discriminator):
    """Scores every picture with a number of its own."""

    name = "scores"

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.number = torch.nn.Parameter(torch.zeros(()))

    def forward(self, image: Any, label: Any, made_from: Any = None) -> Verdict:
        extra = 0 if made_from is None else made_from[:, :1, :2, :2]
        return Verdict(image[:, :1, :2, :2] + self.number + extra, None)


def bank(kind: Any, of: Any, attributes: Any = CELEBA, **settings: Any) -> Any:
    register()
    encoder = TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)
    config = kind.Config.model_construct(of=Choice(of, Settings()), most=settings.get("most", 64))
    made = Choice(kind, config).build(encoder=encoder, image_size=16)
    with torch.no_grad():
        for number, each in enumerate(made.members):
            each.number.fill_(2.0**number)
    return made


def labels(made: Any, *known: dict[str, Value], dataset: int = 0) -> torch.Tensor:
    return torch.stack([made.encoder.encode(each, dataset) for each in known])


def sums(made: Any, *members: Any) -> float:
    """What pictures of zeros have after these members."""
    return sum(2.0 ** made.members.places[each] for each in members)


FACE = {"hair": None, "Eyeglasses": False, "Male": True}


def test_every_picture_goes_through_the_members_of_what_changes() -> None:
    made = bank(PerPair, Adds)
    assert len(made.members) == 6 + 2 + 2 and made.multiple == 4
    assert made.note == "per-pair: 10 networks of adds, 0.0 M parameters"
    after = [FACE, {**FACE, "hair": "Blond_Hair"}, {**FACE, "hair": "Black_Hair", "Male": False}]
    with torch.no_grad():
        out = made(torch.zeros(3, 3, 4, 4), labels(made, FACE, FACE, FACE), labels(made, *after))
    blond, black = (0, "hair", None, "Blond_Hair"), (0, "hair", None, "Black_Hair")
    expected = [0.0, sums(made, blond), sums(made, black, (0, "Male", True, False))]
    assert out[:, 0, 0, 0].tolist() == expected and out.shape == (3, 3, 4, 4)


def test_only_members_that_were_asked_learn() -> None:
    made = bank(PerPair, Adds)
    one, other = labels(made, {"Male": True}, {"Male": False}), labels(made, {"Male": False}, {"Male": True})
    made(torch.zeros(2, 3, 4, 4), one, other).sum().backward()
    learned = {member for member, place in made.members.places.items() if made.members[place].number.grad is not None}
    assert learned == {(0, "Male", True, False), (0, "Male", False, True)}


def test_a_pair_needs_to_know_what_a_picture_has_and_a_target_does_not() -> None:
    made = bank(PerPair, Adds)
    with pytest.raises(RecipeError, match="hair=Blond_Hair: what the picture has now is not known"):
        made(torch.zeros(1, 3, 4, 4), labels(made, {}), labels(made, {"hair": "Blond_Hair"}))
    made = bank(PerTarget, Adds)
    assert len(made.members) == 3 + 2 + 2
    after = labels(made, {"hair": "Blond_Hair"}, {"hair": None}, {"hair": None})
    with torch.no_grad():
        out = made(torch.zeros(3, 3, 4, 4), labels(made, {}, {}, {"hair": None}), after)
    blond, none = (0, "hair", "Blond_Hair", "Blond_Hair"), (0, "hair", None, None)
    assert out[:, 0, 0, 0].tolist() == [sums(made, blond), sums(made, none), 0.0]


def test_a_picture_is_judged_by_everything_that_its_label_knows() -> None:
    made = bank(PerValue, Scores)
    known = [{"Male": True}, {"Male": False}, {"Male": False, "Eyeglasses": True}]
    image, source = torch.zeros(3, 3, 4, 4), torch.ones(3, 3, 4, 4)
    with torch.no_grad():
        verdict = made(image, labels(made, *known), source)
    male, female, glasses = ((0, "Male", True, True), (0, "Male", False, False), (0, "Eyeglasses", True, True))
    expected = [sums(made, male) + 1, sums(made, female) + 1, sums(made, female, glasses) / 2 + 1]
    assert verdict.score[:, 0, 0, 0].tolist() == expected and verdict.logits is None
    with pytest.raises(RecipeError, match="nothing is known has no discriminator"):
        made(image[:1], labels(made, {}))


def test_datasets_have_members_of_their_own() -> None:
    made = bank(PerPair, Adds, BOTH)
    before = torch.cat([labels(made, FACE), labels(made, {"mood": "sad", "Male": True}, dataset=1)])
    after = torch.cat([labels(made, {**FACE, "Male": False}), labels(made, {"mood": "sad", "Male": False}, dataset=1)])
    with torch.no_grad():
        out = made(torch.zeros(2, 3, 4, 4), before, after)
    assert out[:, 0, 0, 0].tolist() == [sums(made, (n, "Male", True, False)) for n in (0, 1)]


def test_absurd_numbers_are_refused() -> None:
    many = {"x": (Attribute("id", tuple(map(str, range(20)))),)}
    with pytest.raises(RecipeError, match="take 380 networks of 'adds'; most=64 are allowed"):
        bank(PerPair, Adds, many)
    assert len(bank(PerTarget, Adds, many).members) == 20
