"""The datasets of a recipe, built: what they label, and their pictures in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mdtranslate.api import Attribute, Dataset, LabelEncoder, Record, Split, Value
from mdtranslate.config.registry import registry
from mdtranslate.config.schema import Recipe
from mdtranslate.data.cache.store import Packed, is_packed, pack
from mdtranslate.data.cache.writer import MOST_UNREADABLE
from mdtranslate.data.records import NoRecord, Records
from mdtranslate.errors import DataError, MdtranslateError, PluginError, RecipeError, nearest

Progress = Callable[[str, int, int], None]
SHOWN = 64


@dataclass(frozen=True)
class Source:
    """One dataset of a recipe: its name there, and which of its attributes the run labels."""

    name: str
    number: int
    dataset: Dataset
    attributes: tuple[Attribute, ...]
    workers: int | None = None
    """Processes that fill the cache, as `data.workers`."""
    most: float = 0.0
    """The share of a split's pictures that may be left out since they cannot be read."""
    _listed: dict[Split, Records] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Splits that were asked for: a run asks several times, and a list of a million takes seconds to read."""

    def records(self, split: Split) -> Records:
        """The records of a split. Raises `DataError` where there are none."""
        if not (records := self.listed(split)):
            raise DataError(f"dataset {self.name} has no pictures in its {split} split")
        return records

    def held_out(self) -> Records:
        """Records to look at while training: the val split, or those trained on where a dataset has none.

        Never the test split: what is chosen by it cannot be measured on it.
        """
        return self.listed(Split.VAL) or self.records(Split.TRAIN)

    def listed(self, split: Split) -> Records:
        """As `records`, of a split that may be empty.

        Raises `PluginError` for what the contract has as no record, `DataError` for a key that is there twice.
        """
        if split not in self._listed:
            try:
                found = Records(self.dataset.records(split))
            except NoRecord as error:
                raise PluginError(f"dataset {self.dataset.name!r} lists {error}") from None
            except MdtranslateError:
                raise
            except Exception as error:  # Of a plugin's code, which fails in as many ways as there are.
                raise _unlisted(self.name, self.dataset, error) from error
            if (key := found.twice) is not None:
                what = f"{key!r} is there twice in its {split} split; a key names one picture"
                raise DataError(f"dataset {self.name}: {what}")
            declared = [each.name for each in self.dataset.attributes]
            if strange := sorted(found.names - {*declared}):
                what = f"{strange[0]!r}, which its attributes lack; {nearest(strange[0], declared)}"
                raise PluginError(f"dataset {self.dataset.name!r} lists pictures with {what}")
            self._listed[split] = found
        return self._listed[split]

    def labelled(self, record: Record) -> dict[str, Value]:
        """What the run knows of a record: the attributes that it labels."""
        return {each.name: record.attributes[each.name] for each in self.attributes if each.name in record.attributes}

    def labels(self, records: Sequence[Record], encoder: LabelEncoder) -> Tensor:
        """The labels of records, [N, L]. Raises `DataError` where a record has a value that its attribute lacks."""
        return self.encoded(records, self.attributes, lambda known: encoder.encode(known, self.number))

    def encoded(
        self, records: Sequence[Record], attributes: Sequence[Attribute], encode: Callable[[dict[str, Value]], Tensor]
    ) -> Tensor:
        """What `encode` makes of what each record knows of `attributes`, [N, L]; asked once for many that know alike.

        Raises `DataError` where it raises `ValueError`.
        """
        kept, done = Records.of(records), 0
        found = encode({}).repeat(len(kept), 1)  # Filled in place: a million labels are not to be there twice.
        for kinds, firsts, which in kept.alike([each.name for each in attributes]):
            rows = []
            for known, first in zip(kinds, firsts, strict=True):
                try:
                    rows.append(encode(known))
                except ValueError as error:
                    raise DataError(f"dataset {self.name}, picture {kept[first].key}: {error}") from None
            found[done : done + len(which)] = torch.stack(rows)[torch.from_numpy(which)]
            done += len(which)
        return found

    def shown(self, size: int, progress: Progress) -> tuple[Sequence[Record], Packed]:
        """Pictures to show and try while training: the val split, or, without one, the first of those trained on.

        Raises `DataError` for what cannot be read.
        """
        records: Sequence[Record] = self.listed(Split.VAL) or self.records(Split.TRAIN)[:SHOWN]
        packed = self.pack(records, size, "val", progress)
        return packed.of(records), packed

    def is_packed(self, records: Sequence[Record], size: int) -> bool:
        """Whether the pictures of records are in the cache."""
        return is_packed(self.dataset, records, size, self.most)

    def pack(self, records: Sequence[Record], size: int, what: str, progress: Progress) -> Packed:
        """The pictures of records in the cache, at `size` pixels. Raises `DataError` for what cannot be read."""
        return pack(
            self.dataset,
            records,
            size,
            instance=self.name,
            what=what,
            workers=self.workers,
            most=self.most,
            progress=lambda done, total: progress(f"{self.name} {what}", done, total),
        )


def choose(labels: Sequence[Mapping[str, Value]], count: int) -> list[int]:
    """Places of pictures to show: the first, or, where those are all alike as in a folder per domain, some of all."""
    first = list(range(min(count, len(labels))))
    if any(labels[place] != labels[0] for place in first):
        return first
    return [place * len(labels) // max(len(first), 1) for place in first]


def build_sources(recipe: Recipe) -> list[Source]:
    """The datasets of a recipe.

    Raises `RecipeError` for an attribute that a dataset does not know, `DataError` for one that nobody could ask for,
    `PluginError` for a declaration that is none.
    """
    sources, data = [], recipe.data
    most = MOST_UNREADABLE if data.unreadable == "skip" else 0.0
    for number, (name, choice) in enumerate(recipe.datasets.items()):
        dataset = choice.build()
        try:
            declared: Any = dataset.attributes
        except MdtranslateError:
            raise
        except Exception as error:  # It may be a property, which reads something.
            raise _unlisted(name, dataset, error) from error
        if not isinstance(declared, Sequence) or not all(isinstance(each, Attribute) for each in declared):
            raise PluginError(
                f"dataset {choice.name!r}: attributes is {declared!r}, and no tuple of Attributes, such as "
                '(Attribute("Young"),), with its comma'
            )
        known: dict[str, Attribute] = {attribute.name: attribute for attribute in declared}
        if len(known) < len(declared):
            raise PluginError(f"dataset {choice.name!r} declares an attribute twice")
        if not known:
            raise PluginError(f"dataset {choice.name!r} declares no attributes, so there is nothing to translate")
        wanted = dataset.config.attributes
        for each in wanted or ():
            if each not in known:
                raise RecipeError(f"datasets.{name}.attributes: no attribute {each!r}; {nearest(each, known)}")
            if wanted.count(each) > 1:
                raise RecipeError(f"datasets.{name}.attributes: {each!r} is there twice")
        labelled = tuple(known.values()) if wanted is None else tuple(known[each] for each in wanted)
        if not labelled:
            raise RecipeError(f"datasets.{name}.attributes: is empty; name at least one of {', '.join(known)}")
        for each in labelled:
            if {*"=,"} & {*each.name} or each.name != each.name.strip():  # People write NAME=VALUE,NAME=VALUE.
                raise DataError(
                    f"dataset {name}: nobody could ask for attribute {each.name!r}: a name without = and , and without "
                    f"blanks at its ends is right; rename it, or leave it out of datasets.{name}.attributes"
                )
        sources.append(Source(name, number, dataset, labelled, data.workers, most))
    return sources


def _unlisted(name: str, dataset: Dataset, error: Exception) -> MdtranslateError:
    """The error of a dataset that is asked what there is, and has no words of its own: a file's, or of its code."""
    if isinstance(error, OSError) and error.filename is not None:
        return DataError(f"dataset {name}: {error}")
    owner = registry().owner("dataset", dataset.name)
    return PluginError(f"dataset {name}, of {owner}, failed: {registry().fault(error)}")


def attributes_of(sources: Sequence[Source]) -> Mapping[str, tuple[Attribute, ...]]:
    """What each dataset labels, as label encoders take it."""
    return {source.name: source.attributes for source in sources}


def fingerprint(packed: Packed, labels: Tensor) -> str:
    """Identity of the pictures and labels that a run trains on."""
    digest = hashlib.blake2b(packed.digest.encode(), digest_size=16)
    digest.update(labels.numpy().data)
    return digest.hexdigest()
