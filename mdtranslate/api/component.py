"""The base of every component: a name by which recipes pick it, and settings that pydantic validates."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from mdtranslate.errors import nearest


class TypedInt(int):
    """An integer from the command line that remembers its text."""

    text: str


class TypedFloat(float):
    """A float from the command line that remembers its text."""

    text: str


def typed_number(value: int | float, text: str) -> int | float:
    """Attaches the command-line text to a number, so that `root=2024` can still become the folder `2024`."""
    number = TypedInt(value) if isinstance(value, int) else TypedFloat(value)
    number.text = text
    return number


class Settings(BaseModel):
    """Base class of every `Config`.

    Unknown keys are refused, and values cannot change after validation. A number that was typed on the command line
    for a field of type `str` or `Path` is taken as its text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers_as_text(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        text_fields = {
            name for name, field in cls.model_fields.items() if {*_union_members(field.annotation)} & {str, Path}
        }
        return {
            key: value.text if key in text_fields and isinstance(value, TypedInt | TypedFloat) else value
            for key, value in values.items()
        }

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_keys(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Adds the most similar key to pydantic's message about an unknown one."""
        try:
            return validate(values)
        except ValidationError as error:
            lines = [_with_suggestion(cls, line) for line in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, lines) from None


class Component(ABC):
    """Base class of everything that a recipe picks by name.

    Attributes:
        name: The name in recipes and on the command line: letters, digits, `-` and `_`.
        Config: The component's settings. Override it to add some; the default has none.
    """

    name: ClassVar[str]

    class Config(Settings):
        """No settings."""


def _union_members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _with_suggestion(settings: type[Settings], error: ErrorDetails) -> InitErrorDetails:
    kind, message, key = error["type"], error["msg"].removeprefix("Value error, "), error["loc"]
    if kind == "extra_forbidden" and len(key) == 1:
        kind, message = "unknown_key", f"no such key; {nearest(str(key[0]), settings.model_fields)}"
    custom = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=custom, loc=key, input=error["input"])
