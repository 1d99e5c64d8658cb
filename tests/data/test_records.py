"""Records are stored as columns without loss, and encoded as if one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mdtranslate_stargan.mask_vector import MaskVector

from mdtranslate import Attribute, Dataset, Record, Split
from mdtranslate.data import records as module
from mdtranslate.data.recipe_datasets import RecipeDataset
from mdtranslate.data.records import Records
from mdtranslate.data.sampling.sampler import balance_groups
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


def source() -> RecipeDataset:
    return RecipeDataset("faces", 0, Faces(Faces.Config()), ATTRIBUTES)


def label_encoder() -> MaskVector:
    return MaskVector(MaskVector.Config(), attributes={"faces": ATTRIBUTES})


def test_records_round_trip() -> None:
    kept = Records(GIVEN)
    assert list(kept) == GIVEN and len(kept) == 7
    assert [list(each.attributes) for each in kept] == [list(each.attributes) for each in GIVEN]
    assert kept[-1] == GIVEN[-1] and kept[1:6:2] == GIVEN[1:6:2]
    assert list(kept.files())[:3] == [("1", str(Path("a/1.png"))), ("2", str(Path("/b/2.png"))), ("3", None)]
    assert Records.from_sequence(kept) is kept and not Records()
    with pytest.raises(IndexError):
        kept[7]


@pytest.mark.parametrize("values", [(True, 1), (1, True), (False, 0.0)])
def test_equal_value_of_another_type_is_kept_and_refused(values: tuple[Any, Any]) -> None:
    own, places = source(), [place for place, value in enumerate(values) if not isinstance(value, bool)]
    own.dataset.given = [Record(f"r{place}", None, {"Male": value}) for place, value in enumerate(values)]  # type: ignore[attr-defined]
    kept = own.records(Split.TRAIN)
    assert [type(each.attributes["Male"]) for each in kept] == [*map(type, values)]
    with pytest.raises(DataError, match=rf"image r{places[0]}: Male .*{values[places[0]]}"):
        own.encode_labels(kept, label_encoder())


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_labels_equal_those_of_each_record(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_RECORDS", chunk)
    own = source()
    alone = torch.stack([label_encoder().encode(own.attribute_values(each), 0) for each in GIVEN])
    for records in (GIVEN, own.records(Split.TRAIN)):
        assert torch.equal(own.encode_labels(records, label_encoder()), alone)
    assert own.encode_labels([], label_encoder()).shape == (0, 4)


def test_first_invalid_value_is_named() -> None:
    own = source()
    wrong = [*GIVEN, Record("8", None, {"hair": "green"}), Record("9", None, {"Male": "green"})]
    with pytest.raises(DataError, match=r"dataset faces, image 8: hair .*'green'"):
        own.encode_labels(wrong, label_encoder())
    own.dataset.given = [Record("1", None, {"hair": ["black"]})]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"^image 1: "):
        own.records(Split.TRAIN)


def test_split_is_listed_once() -> None:
    own = source()
    assert own.records(Split.TRAIN) is own.records(Split.TRAIN) and own.dataset.asked == 1  # type: ignore[attr-defined]
    assert hash(own) == hash(source().__class__(own.name, own.index, own.dataset, own.attributes))


def test_balance_groups_keep_the_order_of_images() -> None:
    own = source()
    labels = own.encode_labels(GIVEN * 3, label_encoder())
    domains = label_encoder().domain_index(labels)
    groups = balance_groups("domain", labels, label_encoder())
    assert [each.tolist() for each in groups] == [
        torch.nonzero(domains == domain)[:, 0].tolist() for domain in domains.unique()
    ]
