"""What every component has: a name under which recipes pick it, and settings that pydantic validates."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from mdtranslate.errors import nearest


class Settings(BaseModel):
    """Base of every `Config`: unknown keys are refused, values do not change after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        """Refuses an unknown key with the nearest right one, which pydantic's own message lacks."""
        for key in values if isinstance(values, Mapping) else ():
            if key not in cls.model_fields:
                hint = nearest(key, cls.model_fields)
                raise PydanticCustomError("unknown_key", "no such key; {hint}", {"key": key, "hint": hint})
        return values


class Component(ABC):
    """A class that a recipe picks by `name` and configures through its own `Config`."""

    name: ClassVar[str]

    class Config(Settings):
        """No settings. A component that has some overrides this class."""
