"""What every component has: a name under which recipes pick it, and settings that pydantic validates."""

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
    """A whole number as somebody typed it on the command line."""

    text: str


class TypedFloat(float):
    """Any other number as somebody typed it."""

    text: str


def typed_number(value: int | float, text: str) -> int | float:
    """`value`, with the text that it was typed as."""
    number = TypedInt(value) if isinstance(value, int) else TypedFloat(value)
    number.text = text
    return number


def _types(annotation: Any) -> tuple[Any, ...]:
    """A type, or those of a union."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


class Settings(BaseModel):
    """Base of every `Config`: unknown keys are refused, values do not change after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _texts_as_typed(cls, values: Any) -> Any:
        """A number that was typed where a text or a path is wanted is that text: `root=2024` is a folder."""
        if not isinstance(values, Mapping):
            return values
        texts = {name for name, field in cls.model_fields.items() if {*_types(field.annotation)} & {str, Path}}
        return {
            key: value.text if key in texts and isinstance(value, TypedInt | TypedFloat) else value
            for key, value in values.items()
        }

    @model_validator(mode="wrap")
    @classmethod
    def _known_keys(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Says of an unknown key the nearest right one, which pydantic's own message lacks."""
        try:
            return validate(values)
        except ValidationError as error:
            lines = [_hinted(cls, each) for each in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, lines) from None


class Component(ABC):
    """A class that a recipe picks by `name` and configures through its own `Config`."""

    name: ClassVar[str]

    class Config(Settings):
        """No settings. A component that has some overrides this class."""


def _hinted(settings: type[Settings], error: ErrorDetails) -> InitErrorDetails:
    kind, message, key = error["type"], error["msg"].removeprefix("Value error, "), error["loc"]
    if kind == "extra_forbidden" and len(key) == 1:
        kind, message = "unknown_key", f"no such key; {nearest(str(key[0]), settings.model_fields)}"
    custom = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=custom, loc=key, input=error["input"])
