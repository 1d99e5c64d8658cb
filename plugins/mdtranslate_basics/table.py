"""The dataset `table`: a file with a row per picture, one column of paths, the others attributes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from os.path import normpath
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, field_validator

from mdtranslate import Attribute, Dataset, Note, Record, Split, Value
from mdtranslate.errors import DataError, RecipeError, nearest
from mdtranslate_basics.table_files import Columns, read_columns
from mdtranslate_basics.yes_no import YES, Pairs, number, swapped_pairs, yes_no

MOST_VALUES: Final = 64
MANY_NUMBERS: Final = 8
NOT_KNOWN: Final = frozenset({"na", "n/a", "n.a.", "nan", "none", "null", "?", "-", "unknown", "missing"})
"""Words that hardly ever are a value, in small letters."""
UNKNOWN: Final = ("NA", "N/A", "nan", "None", "null", "?", "-")


class Table(Dataset):
    """A CSV, TSV, JSON lines or Parquet file: a column of paths, the rest attributes::

        path,hair,smiling
        a/0001.jpg,blond,yes
        a/0002.jpg,,no

    A column whose cells are yes and no (true and false, 1 and 0 or -1, also mixed) is a yes/no attribute, any other an
    exclusive one with the values that it holds. `bins` makes such values of numbers, `exclusive` joins yes/no columns
    of which at most one holds. An empty cell is *unknown*, and so are those of `unknown`.

    Without a column for the split, each picture's split follows from its path, so that it stays where it is when
    others are added; with `group`, from that column, so that what belongs together is in one split.
    """

    name = "table"

    class Config(Dataset.FileConfig):
        file: Path = Field(description="the table: .csv, .tsv, .jsonl or .parquet")
        root: Path | None = Field(None, description="folder that the paths start from; the table's own if left out")
        path: str = Field("path", description="the column of paths")
        split: str = Field("split", description="the column that says train, val or test, where there is one")
        ignore: tuple[str, ...] = Field((), description="columns that are no attributes")
        group: str | None = Field(
            None, description="a column, such as the patient's, of which all rows with one value are in one split"
        )
        unknown: tuple[str, ...] = Field(
            UNKNOWN, description="cells that mean unknown, besides empty ones, in capitals or not"
        )
        exclusive: dict[str, Annotated[tuple[str, ...], Field(min_length=2)]] = Field(
            default_factory=dict,
            description='yes/no columns joined into one attribute: {hair = ["Black_Hair", "Blond_Hair"]}',
        )
        bins: dict[str, Annotated[tuple[float, ...], Field(min_length=1)]] = Field(
            default_factory=dict,
            description="where the values of a column of numbers begin: {age = [18, 65]} makes three of them",
        )
        mirrored: dict[str, Annotated[Pairs, AfterValidator(swapped_pairs)]] = Field(
            default_factory=dict,
            description='values that a horizontal flip swaps: {gaze = [["left", "right"]]}',
        )
        separator: str | None = Field(
            None, min_length=1, max_length=1, description="between cells of .csv and .tsv; a comma or a tab if left out"
        )
        val: float = Field(0.05, ge=0, le=0.4, description="share of the val split, where no column says the split")
        test: float = Field(0.1, ge=0, le=0.4, description="share of the test split, where no column says the split")

        @field_validator("bins")
        @classmethod
        def _ascending(cls, bins: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
            for name, edges in bins.items():
                if any(one >= other for one, other in pairwise(edges)):
                    raise ValueError(f"{name}: {list(edges)} do not ascend")
            return bins

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.file: Path = config.file
        self._homes: dict[str, Split] = {}

    @cached_property
    def attributes(self) -> tuple[Attribute, ...]:  # type: ignore[override]
        joined = [name for members in self.config.exclusive.values() for name in members]
        for setting, names in (("exclusive", joined), ("bins", [*self.config.bins])):
            for name in names:
                if name not in self._columns or names.count(name) > 1:
                    wrong = "names it twice" if name in self._columns else nearest(name, self._columns)
                    raise RecipeError(f"{setting}: {name!r}: is no attribute of {self.file} of its own; {wrong}")
        if clash := sorted({*self.config.exclusive} & {*self._columns}):
            raise RecipeError(f"exclusive: {clash[0]!r} is a column of {self.file}; call the attribute otherwise")
        for name in joined:
            if self._attribute(name).values:
                raise RecipeError(f"exclusive: {name!r} holds more than yes and no in {self.file}")
        found = {name: Attribute(name, members, optional=True) for name, members in self.config.exclusive.items()}
        found |= {name: self._attribute(name) for name in self._columns if name not in joined}
        for name, pairs in self.config.mirrored.items():
            if name not in found:
                raise RecipeError(f"mirrored: {name!r} is no attribute of {self.file}; {nearest(name, found)}")
            for value in (each for pair in pairs for each in pair):
                if value not in (own := found[name].values):
                    raise RecipeError(f"mirrored: {name!r} of {self.file} has no {value!r}; {nearest(value, own)}")
            found[name] = replace(found[name], mirrored=pairs)
        return tuple(found.values())

    def records(self, split: Split) -> Iterator[Record]:
        root, attributes = self.config.root or self.file.parent, self.attributes
        seen: set[str] = set()
        for place, key in enumerate(self._cells[self.config.path]):
            if not key:
                raise DataError(f"{self.file}: row {place + 1} has no {self.config.path}")
            if (path := normpath(key)) in seen:
                raise DataError(f"{self.file}: row {place + 1}: {key} is there already")
            seen.add(path)
            if self._home(key, place) is split:
                yield Record(key, root / key, self._known(attributes, place))

    def notes(self) -> Iterator[Note]:
        """Columns of many numbers, values that may be unknown or spelt otherwise, rows that say two things."""
        for each in self.attributes:
            numbers = [number(value) for value in each.values]
            if each.name not in self.config.bins and len(numbers) > MANY_NUMBERS and None not in numbers:
                yield Note(
                    "many-numbers",
                    f"column {each.name!r} holds {len(numbers)} numbers, which are so many unrelated values",
                    f"bins={{{each.name}=[...]}} makes few of them",
                )
            if unknown := [value for value in each.values if value.lower() in NOT_KNOWN]:
                what = f"column {each.name!r}: {', '.join(map(repr, unknown))} is a value like any other"
                yield Note(
                    "unknown-as-value", what, "list it in unknown, which replaces the words that are so by default"
                )
            plain = [value.casefold() for value in each.values]
            if alike := [value for value in each.values if plain.count(value.casefold()) > 1]:
                what = f"column {each.name!r}: {', '.join(map(repr, alike))} differ in capitals alone"
                yield Note("similar-values", what, "spell each value in one way")
        for name, members in self.config.exclusive.items():
            rows = zip(*(self._cells[member] for member in members), strict=True)
            if torn := sum(sum(cell.lower() in YES for cell in row) > 1 for row in rows):
                what = f"{torn} of {self._count} rows hold more than one of {', '.join(members)}"
                yield Note("contradicting-columns", what, f"{name} is unknown in them")
        if self.config.group and (lacking := self._cells[self.config.group].count("")):
            what = f"{lacking} of {self._count} rows have no {self.config.group}"
            yield Note("missing-group", what, "each of them is a group of its own")

    @property
    def _count(self) -> int:
        return len(self._cells[self.config.path])

    def _known(self, attributes: tuple[Attribute, ...], place: int) -> dict[str, Value]:
        """What a row says of its attributes; of a group with more than one member, or an unknown one, nothing."""
        known: dict[str, Value] = {}
        for attribute in attributes:
            members = self.config.exclusive.get(attribute.name)
            cells = [self._cells[name][place] for name in members or (attribute.name,)]
            if "" in cells:
                continue
            if members is None:
                known[attribute.name] = self._value(attribute, cells[0], place)
            elif sum(holds := [cell.lower() in YES for cell in cells]) < 2:
                known[attribute.name] = members[holds.index(True)] if any(holds) else None
        return known

    def _value(self, attribute: Attribute, cell: str, place: int) -> Value:
        edges = self.config.bins.get(attribute.name)
        if edges is None:
            return cell if attribute.values else cell.lower() in YES
        if (found := number(cell)) is None:
            raise DataError(
                f"{self.file}: row {place + 1}: {attribute.name} is {cell!r}, and bins want a number, with a point"
            )
        return attribute.values[bisect_right(edges, found)]

    def _home(self, key: str, place: int) -> Split:
        group = self._cells[self.config.group][place] if self.config.group else ""
        if self.config.split not in self._cells:
            return Split.drawn(group or key, val=self.config.val, test=self.config.test)
        word = self._cells[self.config.split][place].lower()
        split = Split.called(word)
        if split is None:
            raise DataError(
                f"{self.file}: row {place + 1}: {self.config.split} is {word!r}; train, val or test is right"
            )
        if group and self._homes.setdefault(group, split) is not split:
            raise DataError(
                f"{self.file}: row {place + 1}: {self.config.group} {group!r} is in {split}, and above in "
                f"{self._homes[group]}: what is measured on it would flatter"
            )
        return split

    @cached_property
    def _columns(self) -> list[str]:
        """The columns that are attributes."""
        there = list(self._cells)
        group = () if self.config.group is None else (self.config.group,)
        for setting, names in {"path": (self.config.path,), "ignore": self.config.ignore, "group": group}.items():
            for name in names:
                if name not in there:
                    raise RecipeError(f"{setting}={name}: {self.file} has no such column; {nearest(name, there)}")
        left_out = {self.config.path, self.config.split, *self.config.ignore, *group}
        if found := [name for name in there if name not in left_out]:
            return found
        raise DataError(f"{self.file}: has no column besides {', '.join(there)}, so nothing is labelled")

    def _attribute(self, name: str) -> Attribute:
        if edges := self.config.bins.get(name):
            spelt = [f"{edge:g}" for edge in edges]
            between = [f"{one} to {other}" for one, other in pairwise(spelt)]
            return Attribute(name, (f"below {spelt[0]}", *between, f"{spelt[-1]} and over"))
        cells = {*self._cells[name]} - {""}
        if yes_no(cells):
            return Attribute(name)
        numbers = {cell: number(cell) for cell in cells}
        numeric = bool(cells) and None not in numbers.values()
        if not 2 <= len(cells) <= MOST_VALUES:
            cure = f"bins={{{name}=[...]}} makes few of them, or " if numeric and len(cells) > 1 else ""
            raise DataError(
                f"{self.file}: column {name!r} holds {len(cells)} different values, and an attribute has 2 to "
                f'{MOST_VALUES}; {cure}leave it out with ignore=["{name}"] if it is none'
            )
        first = dict[float, str]()
        for cell in sorted(cells) if numeric else ():
            if (other := first.setdefault(float(cell), cell)) != cell:
                what = f"{other!r} and {cell!r} are one number; spell it in one way"
                raise DataError(f"{self.file}: column {name!r}: {what}")
        return Attribute(name, tuple(sorted(cells, key=lambda cell: (numbers[cell] if numeric else 0, cell))))

    @cached_property
    def _cells(self) -> Columns:
        """The cells of each column as texts, '' where nothing is known."""
        columns = read_columns(self.file, frozenset(self.config.ignore), self.config.separator)
        missing = {word.lower() for word in self.config.unknown}
        numbers = {number(word) for word in missing} - {None}
        whole = {self.config.path, self.config.split}

        def known(cell: str) -> str:
            return "" if cell.lower() in missing or (numbers and number(cell) in numbers) else cell

        return {name: cells if name in whole else [*map(known, cells)] for name, cells in columns.items()}
