"""Parses and formats edits as users write them: `hair=Blond_Hair`, `Eyeglasses=yes`, `celeba.Male=no`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mdtranslate.api import Attribute, LabelEncoder, Value, format_value
from mdtranslate.errors import RecipeError, nearest


class EditParser:
    """Resolves the names and values of attributes that users write.

    Users write an attribute's name, prefixed with its dataset (`celeba.Male`) if several datasets have separate
    attributes of this name. As a string, the parser lists every name with its values.

    Attributes:
        label_encoder: The label encoder. Datasets are indexed as in its `datasets`.
    """

    def __init__(self, label_encoder: LabelEncoder) -> None:
        """Initialises the parser for the attributes of a label encoder."""
        self.label_encoder = label_encoder
        self._datasets_by_attribute: dict[str, list[int]] = {}
        for dataset, attributes in enumerate(label_encoder.attributes):
            for attribute in attributes:
                self._datasets_by_attribute.setdefault(attribute.name, []).append(dataset)

    def __str__(self) -> str:
        return ", ".join(f"{name}={'|'.join(values)}" for name, values in self.values_by_name().items())

    def values_by_name(self) -> dict[str, tuple[str, ...]]:
        """Returns the name of every attribute with its values as text."""
        return {
            self.qualified_name(dataset, attribute.name): tuple(map(format_value, attribute.allowed_values))
            for dataset, attributes in enumerate(self.label_encoder.attributes)
            for attribute in attributes
        }

    def format_edit(self, dataset: int, edit: Mapping[str, Value]) -> str:
        """Formats an edit of attributes of one dataset, such as `hair=Blond_Hair,Eyeglasses=yes`."""
        return ",".join(f"{self.qualified_name(dataset, name)}={format_value(value)}" for name, value in edit.items())

    def parse(self, values: Mapping[str, Value], dataset: str | None = None) -> dict[int, dict[str, Value]]:
        """Resolves names and values of attributes.

        Args:
            values: Values, or their text, by name.
            dataset: Name of the dataset that is meant if several have an attribute of a name.

        Returns:
            Values by attribute name, by dataset index.

        Raises:
            RecipeError: A dataset, name or value is unknown (the message suggests the nearest one), a name is
                ambiguous, or an attribute is set twice.
        """
        preferred = None if dataset is None else self.dataset_index(dataset)
        parsed: dict[int, dict[str, Value]] = {}
        shared: set[str] = set()
        # Shared attributes come last: they join the dataset of the other values, so that one pass edits them all.
        for name, value in sorted(values.items(), key=lambda item: item[0] in self.label_encoder.shared_attributes):
            index, attribute = self._resolve(name, preferred)
            if attribute.name in self.label_encoder.shared_attributes:
                if attribute.name in shared:
                    raise RecipeError(f"{name} is set twice")
                shared.add(attribute.name)
                if name == attribute.name and preferred is None:
                    labelling = self._datasets_by_attribute[name]
                    index = next((other for other in parsed if other in labelling), index)
            try:
                if isinstance(value, str):
                    parsed_value = attribute.parse(value)
                else:
                    parsed_value = attribute.choices[attribute.index(value)]
            except ValueError as error:
                raise RecipeError(str(error)) from None
            dataset_values = parsed.setdefault(index, {})
            if attribute.name in dataset_values:
                raise RecipeError(f"{name} is set twice")
            dataset_values[attribute.name] = parsed_value
        return parsed

    def parse_edits(self, values: Mapping[str, Value], dataset: str | None = None) -> dict[int, dict[str, Value]]:
        """Like `parse`, but raises `RecipeError` if there is no value."""
        if edits := self.parse(values, dataset):
            return edits
        raise RecipeError(f"no edit: give at least one attribute and its new value, out of: {self}")

    def dataset_index(self, dataset: str) -> int:
        """Returns the index of a dataset by name; raises `RecipeError` for an unknown one."""
        try:
            return self.label_encoder.datasets.index(dataset)
        except ValueError:
            raise RecipeError(f"unknown dataset {dataset!r}: {nearest(dataset, self.label_encoder.datasets)}") from None

    def single_edits(self, dataset: int, known: Mapping[str, Value]) -> list[dict[str, Value]]:
        """Lists the edits of one attribute: each value of an exclusive attribute, the opposite of a yes/no attribute.

        The present value of an exclusive attribute is among them, to show how well the image is preserved.

        Args:
            dataset: Index of the dataset.
            known: Known attributes of the image. An unknown yes/no attribute is set to both values.
        """
        return [
            edit
            for edit in self.label_encoder.edits({}, dataset)
            if not any(isinstance(value, bool) and known.get(name) == value for name, value in edit.items())
        ]

    @property
    def num_single_edits(self) -> int:
        """Number of edits of one attribute for an image whose attributes are all known."""
        return sum(
            len(attribute.values) or 1 for attributes in self.label_encoder.attributes for attribute in attributes
        )

    def spread_shared(self, known: Mapping[int, Mapping[str, Value]]) -> dict[int, dict[str, Value]]:
        """Copies the known values of shared attributes to every dataset that labels them.

        Args:
            known: Known attributes of an image, by dataset index.

        Returns:
            Known attributes for every dataset index.
        """
        shared = {
            name: value
            for values in known.values()
            for name, value in values.items()
            if name in self.label_encoder.shared_attributes
        }
        return {
            dataset: {
                **{attribute.name: shared[attribute.name] for attribute in attributes if attribute.name in shared},
                **known.get(dataset, {}),
            }
            for dataset, attributes in enumerate(self.label_encoder.attributes)
        }

    def qualified_name(self, dataset: int, attribute: str) -> str:
        """Returns the name that users write for an attribute: `Male`, or `celeba.Male` if `Male` is ambiguous."""
        is_shared = attribute in self.label_encoder.shared_attributes
        is_ambiguous = len(self._datasets_by_attribute[attribute]) > 1 and not is_shared
        return f"{self.label_encoder.datasets[dataset]}.{attribute}" if is_ambiguous else attribute

    def _resolve(self, name: str, preferred: int | None) -> tuple[int, Attribute]:
        """Returns the dataset index and the attribute of a name with or without a dataset."""
        encoder = self.label_encoder
        prefix, _, suffix = name.partition(".")
        attribute_name, required = name, None
        if name not in self._datasets_by_attribute and suffix and prefix in encoder.datasets:
            attribute_name, required = suffix, self.dataset_index(prefix)
        datasets = self._datasets_by_attribute.get(attribute_name, [])
        datasets = [index for index in datasets if required in (None, index)]
        if not datasets:
            if required is None:
                raise RecipeError(f"unknown attribute {attribute_name!r}: {nearest(name, self.values_by_name())}")
            names = [attribute.name for attribute in encoder.attributes[required]]
            raise RecipeError(f"unknown attribute {attribute_name!r} of {prefix}: {nearest(attribute_name, names)}")
        if preferred in datasets:
            datasets = [index for index in datasets if index == preferred]
        if len(datasets) > 1 and attribute_name not in encoder.shared_attributes:
            names = [self.qualified_name(index, attribute_name) for index in datasets]
            raise RecipeError(f"{attribute_name!r} is ambiguous: write {' or '.join(names)}, or name the dataset")
        attributes = encoder.attributes[datasets[0]]
        return datasets[0], next(attribute for attribute in attributes if attribute.name == attribute_name)


def parse_pairs(option: str, texts: Iterable[str]) -> dict[str, Value]:
    """Parses the `NAME=VALUE` texts of a repeated option.

    Args:
        option: Name of the option, for error messages.
        texts: The texts.

    Raises:
        RecipeError: A text is not `NAME=VALUE`, or a name occurs twice.
    """
    pairs: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise RecipeError(f"{option} {text}: write {option} NAME=VALUE, such as {option} hair=Blond_Hair")
        if name in pairs:
            raise RecipeError(f"{option} {text}: {name} is set twice")
        pairs[name] = value
    return pairs


def check_arguments(*, dataset: object, source: object, size: object, edits: object) -> None:
    """Checks the types of a translator's keyword arguments.

    An attribute that is called like an argument would otherwise be taken for the argument.

    Raises:
        RecipeError: An argument has the wrong type or value.
    """
    for name, value, expected, is_valid in (
        ("dataset", dataset, "the name of a dataset", isinstance(dataset, str)),
        ("source", source, "a mapping, such as {'Male': True}", isinstance(source, Mapping)),
        ("size", size, "'native' or None", size == "native"),
        ("edits", edits, "a mapping, such as {'Male': True}", isinstance(edits, Mapping)),
    ):
        if value is not None and not is_valid:
            raise RecipeError(
                f"{name} must be {expected}, not {value!r}; for an attribute called {name!r}, use "
                f"edits={{{name!r}: ...}}"
            )
