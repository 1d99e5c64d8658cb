"""What can be changed of a picture, as people write it: `hair=Blond_Hair`, `Eyeglasses=yes`, `celeba.Male=no`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mdtranslate.api import Attribute, LabelEncoder, Value
from mdtranslate.api.dataset import spell
from mdtranslate.errors import RecipeError, nearest


class Edits:
    """The attributes of an encoder by the names that people use.

    That is the attribute's own name, with its dataset before it (`celeba.Male`) where several have it apart.
    Datasets are numbered as the encoder numbers them.
    """

    def __init__(self, encoder: LabelEncoder) -> None:
        self.encoder = encoder
        owners: dict[str, list[int]] = {}
        for number, own in enumerate(encoder.attributes):
            for attribute in own:
                owners.setdefault(attribute.name, []).append(number)
        self._owners = owners

    def __str__(self) -> str:
        return ", ".join(f"{name}={'|'.join(values)}" for name, values in self.table().items())

    def table(self) -> dict[str, tuple[str, ...]]:
        """Every name that can be set, with its values."""
        return {
            self.name(number, attribute.name): tuple(map(spell, attribute.allowed))
            for number, own in enumerate(self.encoder.attributes)
            for attribute in own
        }

    def write(self, number: int, change: Mapping[str, Value]) -> str:
        """A change of a picture of dataset `number`: `hair=Blond_Hair,Eyeglasses=yes`."""
        return ",".join(f"{self.name(number, name)}={spell(value)}" for name, value in change.items())

    def read(self, given: Mapping[str, Value], dataset: str | None = None) -> dict[int, dict[str, Value]]:
        """The values that are meant, by the number of their dataset; `dataset` is the first one to look in.

        Values are those of the attribute, or its text. Raises `RecipeError` with the nearest right name.
        """
        first = None if dataset is None else self.number(dataset)
        found: dict[int, dict[str, Value]] = {}
        shared: set[str] = set()
        # What datasets share goes with what else is given: last, so that it is seen what that is.
        for name, value in sorted(given.items(), key=lambda pair: pair[0] in self.encoder.shared):
            number, attribute = self._find(name, first)
            if attribute.name in self.encoder.shared:
                if attribute.name in shared:
                    raise RecipeError(f"{name} is given twice")
                shared.add(attribute.name)
                if name == attribute.name and first is None:
                    number = next((each for each in found if each in self._owners[name]), number)
            try:
                meant = attribute.parse(value) if isinstance(value, str) else attribute.choices[attribute.code(value)]
            except ValueError as error:
                raise RecipeError(str(error)) from None
            own = found.setdefault(number, {})
            if attribute.name in own:
                raise RecipeError(f"{name} is given twice")
            own[attribute.name] = meant
        return found

    def read_some(self, given: Mapping[str, Value], dataset: str | None = None) -> dict[int, dict[str, Value]]:
        """As `read`, for changes: at least one."""
        if found := self.read(given, dataset):
            return found
        raise RecipeError(f"nothing to change; what can be set: {self}")

    def number(self, dataset: str) -> int:
        """The number of a dataset. Raises `RecipeError`."""
        try:
            return self.encoder.datasets.index(dataset)
        except ValueError:
            raise RecipeError(f"no dataset is called {dataset!r}: {nearest(dataset, self.encoder.datasets)}") from None

    def single(self, number: int, before: Mapping[str, Value]) -> list[dict[str, Value]]:
        """The changes of one attribute: each value of an exclusive one, the opposite of a yes/no one.

        A value that the picture has already is among them: that it stays as it is, is worth seeing too. Of a yes/no
        attribute of which `before` tells nothing, both values are.
        """
        return [
            change
            for change in self.encoder.edits({}, number)
            if not any(isinstance(value, bool) and before.get(name) == value for name, value in change.items())
        ]

    @property
    def singles(self) -> int:
        """The changes of one attribute that a picture has of which everything is known."""
        return sum(len(each.values) or 1 for own in self.encoder.attributes for each in own)

    def everywhere(self, known: Mapping[int, Mapping[str, Value]]) -> dict[int, dict[str, Value]]:
        """What is known of a picture by dataset, with what datasets share in each that labels it."""
        shared = {name: value for own in known.values() for name, value in own.items() if name in self.encoder.shared}
        return {
            number: {**{each.name: shared[each.name] for each in own if each.name in shared}, **known.get(number, {})}
            for number, own in enumerate(self.encoder.attributes)
        }

    def name(self, number: int, attribute: str) -> str:
        """What an attribute of a dataset is called."""
        several = len(self._owners[attribute]) > 1 and attribute not in self.encoder.shared
        return f"{self.encoder.datasets[number]}.{attribute}" if several else attribute

    def _find(self, name: str, first: int | None) -> tuple[int, Attribute]:
        dataset, _, rest = name.partition(".")
        word, only = name, None
        if name not in self._owners and rest and dataset in self.encoder.datasets:
            word, only = rest, self.number(dataset)
        owners = [number for number in self._owners.get(word, ()) if only in (None, number)]
        if not owners:
            known = self.table() if only is None else [each.name for each in self.encoder.attributes[only]]
            where = "" if only is None else f" of {self.encoder.datasets[only]}"
            raise RecipeError(f"no attribute{where} is called {word!r}: {nearest(word, known)}")
        if first in owners:
            owners = [number for number in owners if number == first]
        if len(owners) > 1 and word not in self.encoder.shared:
            names = " and ".join(self.name(number, word) for number in owners)
            raise RecipeError(f"{word!r} can be {names}; name one, or the dataset")
        return owners[0], next(each for each in self.encoder.attributes[owners[0]] if each.name == word)


def pairs(option: str, given: Iterable[str]) -> dict[str, Value]:
    """The `NAME=VALUE` texts of an option as a mapping. Raises `RecipeError`."""
    found: dict[str, Value] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise RecipeError(f"{option} {text}: write {option} NAME=VALUE, such as {option} hair=Blond_Hair")
        if name in found:
            raise RecipeError(f"{option} {text}: {name} is given twice")
        found[name] = value
    return found


def check_arguments(*, dataset: object, source: object, size: object, edits: object) -> None:
    """Raises `RecipeError` where an argument of a translator's call is none, as when an attribute has its name."""
    for name, value, right, fits in (
        ("dataset", dataset, "the name of a dataset", isinstance(dataset, str)),
        ("source", source, "a mapping, such as {'Male': True}", isinstance(source, Mapping)),
        ("size", size, "'native', or left out for the size of training", size == "native"),
        ("edits", edits, "a mapping, such as {'Male': True}", isinstance(edits, Mapping)),
    ):
        if value is not None and not fits:
            raise RecipeError(
                f"{name} must be {right}, not {value!r}; for an attribute called {name!r}, use edits={{{name!r}: ...}}"
            )
