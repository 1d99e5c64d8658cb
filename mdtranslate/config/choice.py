"""A component that a recipe picks by name, with its validated settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from mdtranslate.api import Component, Settings
from mdtranslate.config.plugin_validation import KINDS, kind_class
from mdtranslate.config.registry import UnknownNameError, registry
from mdtranslate.errors import MdtranslateError, PluginError, RecipeError, nearest

C = TypeVar("C", bound=Component)


class Choice(Generic[C]):
    """A component class with validated settings.

    As the type of a pydantic field, `Choice[Generator]` accepts a name, or a table with a `name`. It looks the
    component up in the registry and validates the rest of the table with the component's own `Config`. Choices nest.

    Attributes:
        component: The class.
        config: Its settings, an instance of `component.Config`.
        kind: Its kind, a key of `KINDS`.
    """

    def __init__(self, component: type[C], config: Settings) -> None:
        self.component = component
        self.config = config
        self.kind = next(kind for kind in KINDS if issubclass(component, kind_class(kind)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and self.component is other.component and bool(self.config == other.config)

    def __hash__(self) -> int:
        return hash(self.component)

    @property
    def name(self) -> str:
        """The component's name in recipes."""
        return self.component.name

    def build(self, **context: Any) -> C:
        """Creates the component.

        Args:
            context: Keyword arguments of the component's `__init__` besides its settings.

        Raises:
            RecipeError: The component raised `ValueError`: its settings do not go together.
            PluginError: The component failed in any other way; the message names the plugin.
        """
        try:
            return self.component(self.config, **context)  # type: ignore[call-arg]
        except RecipeError as error:  # Mostly from a nested component.
            raise RecipeError(f"{self.kind} {self.name!r}: {error}") from error
        except MdtranslateError:
            raise
        except (Exception, SystemExit) as error:
            component = f"{self.kind} {self.name!r} of {registry().owner(self.kind, self.name)}"
            if type(error) is ValueError:
                raise RecipeError(f"{component} refuses its settings: {' '.join(str(error).split())}") from error
            raise PluginError(f"{component} failed: {registry().describe_error(error)}") from error

    def plugin_labels(self) -> Iterator[str]:
        """Yields the plugins of the component and of nested ones, with their distributions and versions."""
        try:
            yield registry().owner(self.kind, self.name).public_label
        except UnknownNameError:
            yield f"{self.kind} {self.name!r} of no plugin"
        for choice in _nested_choices([value for _, value in self.config]):
            yield from choice.plugin_labels()

    def dump(self) -> dict[str, Any]:
        """Returns the table that validates to this choice, with every setting."""
        return {"name": self.name, **self.config.model_dump(mode="json")}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        (base,) = get_args(source)
        return core_schema.no_info_plain_validator_function(
            lambda value: _validate(base, value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda choice: choice.dump()),
        )


def _nested_choices(value: Any) -> Iterator[Choice[Any]]:
    """Yields the choices in a setting, also those in its lists and tables."""
    if isinstance(value, Choice):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _nested_choices(item)


def _validate(base: type[C], value: Any) -> Choice[C]:
    if isinstance(value, Choice):
        return value
    role = {"LabelEncoder": "label encoder"}.get(base.__name__, base.__name__.lower())
    kind = next(kind for kind in KINDS if issubclass(base, kind_class(kind)))
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        raise PydanticCustomError("choice", f"expected the name of a {role}, or a table with a name")
    name = table.get("name")
    if not isinstance(name, str):
        hint = nearest("", registry().names(kind))
        problem = f"the name of a {role} is missing" if name is None else "expected a name"
        raise _name_error(base, table, f"{problem}; {hint}")
    try:
        component = registry().component(kind, name)
    except UnknownNameError as error:
        raise _name_error(base, table, str(error)) from None
    if not issubclass(component, base):
        raise _name_error(base, table, f"{name!r} is a {kind} but not a {role}")
    settings = {key: setting for key, setting in table.items() if key != "name"}
    # pydantic joins the locations of a nested ValidationError to the location of this field.
    return Choice(component, component.Config.model_validate(settings))


def _name_error(base: type[Component], table: Mapping[str, Any], message: str) -> ValidationError:
    custom = PydanticCustomError("choice", "{message}", {"message": message})
    location = ("name",) if "name" in table else ()
    return ValidationError.from_exception_data(
        base.__name__, [InitErrorDetails(type=custom, loc=location, input=table.get("name", table))]
    )
