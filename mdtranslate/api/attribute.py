"""Attributes of images and their values."""

from __future__ import annotations

from dataclasses import dataclass, field

Value = bool | str | None
"""A value of an attribute: True or False (yes/no), one of its named values, or None for "none of these".

An attribute that is missing from a mapping is *unknown*, which is different from all of these.
"""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A labelled property of an image.

    Attributes:
        name: Its name, such as `hair`.
        values: Empty for a yes/no attribute (`Male`). Otherwise exactly one of these values holds.
        optional: Whether also none of `values` may hold (a bald head).
        mirrored: Pairs of values that a horizontal flip swaps, such as `(("left", "right"),)` of a gaze direction.
            Images whose mirrored value is not in `values` are not flipped in training.

    Raises:
        TypeError: `values` is a string.
        ValueError: `mirrored` is not made of pairs of distinct values.
    """

    name: str
    values: tuple[str, ...] = ()
    optional: bool = False
    mirrored: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.values, str):
            raise TypeError(f"values of {self.name} is the string {self.values!r}; write a tuple, ({self.values!r},)")
        swapped = [value for pair in self.mirrored for value in pair]
        if len({*swapped}) < len(swapped) or any(len(pair) != 2 for pair in self.mirrored):
            raise ValueError(f"mirrored of {self.name} is {self.mirrored}; it must hold pairs of distinct values")

    @property
    def choices(self) -> tuple[Value, ...]:
        """All values in the order of their indices; None (none of these) comes first, except for yes/no attributes."""
        if not self.values:
            return (False, True)
        return (None, *self.values)

    @property
    def allowed_values(self) -> tuple[Value, ...]:
        """The values that an image can have: `choices`, without None where the attribute is not optional."""
        return self.choices if not self.values or self.optional else self.values

    def index(self, value: Value) -> int:
        """Returns the position of `value` in `choices`.

        Raises:
            ValueError: The attribute cannot have this value.
        """
        if not self.values and isinstance(value, bool):
            return int(value)
        if isinstance(value, str) and value in self.values:
            return 1 + self.values.index(value)
        if value is None and self.optional and self.values:
            return 0
        raise ValueError(f"{self.name} has no value {value!r}; it has {', '.join(map(repr, self.allowed_values))}")

    def mirrored_value(self, value: Value) -> Value:
        """Returns the value of the horizontally flipped image of an image with `value`."""
        return next((pair[pair[0] == value] for pair in self.mirrored if value in pair), value)

    def parse(self, text: str) -> Value:
        """Reads a value as people write it: yes, no, none, or the name of a value, in any case.

        Raises:
            ValueError: `text` is not a value of this attribute.
        """
        exact = {format_value(value): value for value in self.allowed_values}
        if text in exact:
            return exact[text]
        words: dict[str, Value] = {format_value(value).lower(): value for value in self.allowed_values}
        if not self.values:
            words |= {"true": True, "false": False, "1": True, "0": False, "-1": False}
        word = text.strip().lower()
        if word not in words:
            names = ", ".join(map(format_value, self.allowed_values))
            raise ValueError(f"{self.name} has no value {text!r}; it has {names}")
        return words[word]


def format_value(value: Value) -> str:
    """Returns a value as it is written on the command line: yes, no, none, or its name."""
    return {True: "yes", False: "no", None: "none"}[value] if not isinstance(value, str) else value
