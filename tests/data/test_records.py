"""Records as columns are the records that were given, and their labels those of each by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mdtranslate_stargan.mask_vector import MaskVector

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.data import records as module
from mdtranslate.data.records import Records
from mdtranslate.data.sampling.sampler import grouped
from mdtranslate.data.source import Source
from mdtranslate.errors import DataError

ATTRIBUTES = (Attribute("hair", ("black", "blond"), optional=True), Attribute("Male"), Attribute("Young"))
GIVEN = [
    Record("1", Path("a/1.png"), {"hair": "blond", "Male": True, "age": "old"}),
    Record("2", Path("/b/2.png"), {"Male": False, "hair": None}),
    Record("3"),
    Record("4", Path("4.png"), {"Young": True}),
    Record("5", Path("a/5.png"), {"age": "new", "hair": "blond", "Male": True}),
    Record("6", Path("a/6.png"), {"hair": "black", "Male": True, "Young": False}),
    Record("7", Path("a/7.png"), {"hair": "blond", "Male": True}),
]


class Faces(Dataset):
    name = "faces"
    attributes = (*ATTRIBUTES, Attribute("age", ("old", "new")))  # Which no run here labels.
    given = GIVEN
    asked = 0

    def records(self, split: Split) -> list[Record]:
        self.asked += 1
        return self.given


def source() -> Source:
    return Source("faces", 0, Faces(Faces.Config()), ATTRIBUTES)


def encoder() -> MaskVector:
    return MaskVector(MaskVector.Config(), attributes={"faces": ATTRIBUTES})


def test_records_come_back_as_they_were_given() -> None:
    kept = Records(GIVEN)
    assert list(kept) == GIVEN and len(kept) == 7
    assert [list(each.attributes) for each in kept] == [list(each.attributes) for each in GIVEN]
    assert kept[-1] == GIVEN[-1] and kept[1:6:2] == GIVEN[1:6:2]
    assert list(kept.files())[:3] == [("1", str(Path("a/1.png"))), ("2", str(Path("/b/2.png"))), ("3", None)]
    assert Records.of(kept) is kept and not Records()
    with pytest.raises(IndexError):
        kept[7]


@pytest.mark.parametrize("values", [(True, 1), (1, True), (False, 0.0)])
def test_a_value_that_only_equals_a_right_one_is_kept_and_named(values: tuple[Any, Any]) -> None:
    own, places = source(), [place for place, value in enumerate(values) if not isinstance(value, bool)]
    own.dataset.given = [Record(f"r{place}", None, {"Male": value}) for place, value in enumerate(values)]  # type: ignore[attr-defined]
    kept = own.records(Split.TRAIN)
    assert [type(each.attributes["Male"]) for each in kept] == [*map(type, values)]
    with pytest.raises(DataError, match=f"picture r{places[0]}: {values[places[0]]} is no value of Male"):
        own.labels(kept, encoder())


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_labels_are_those_of_each_record(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    own = source()
    alone = torch.stack([encoder().encode(own.labelled(each), 0) for each in GIVEN])
    for records in (GIVEN, own.records(Split.TRAIN)):
        assert torch.equal(own.labels(records, encoder()), alone)
    assert own.labels([], encoder()).shape == (0, 4)


def test_what_no_attribute_can_be_is_said_of_the_first_picture() -> None:
    own = source()
    wrong = [*GIVEN, Record("8", None, {"hair": "green"}), Record("9", None, {"Male": "green"})]
    with pytest.raises(DataError, match="dataset faces, picture 8: 'green' is no value of hair"):
        own.labels(wrong, encoder())
    own.dataset.given = [Record("1", None, {"hair": ["black"]})]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"^picture 1: no attribute can be"):
        own.records(Split.TRAIN)


def test_a_split_is_listed_once() -> None:
    own = source()
    assert own.records(Split.TRAIN) is own.records(Split.TRAIN) and own.dataset.asked == 1  # type: ignore[attr-defined]
    assert hash(own) == hash(source().__class__(own.name, own.number, own.dataset, own.attributes))


def test_groups_of_domains_hold_their_pictures_in_order() -> None:
    own = source()
    labels = own.labels(GIVEN * 3, encoder())
    domains = encoder().domain(labels)
    groups = grouped("domain", labels, encoder())
    assert [each.tolist() for each in groups] == [
        torch.nonzero(domains == domain)[:, 0].tolist() for domain in domains.unique()
    ]
