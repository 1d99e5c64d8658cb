"""A component that a recipe picked by name, with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from mdtranslate.api import Component, Settings
from mdtranslate.config.plugin_validation import KINDS, kind_class
from mdtranslate.config.registry import UnknownName, registry
from mdtranslate.errors import MdtranslateError, PluginError, RecipeError, nearest

C = TypeVar("C", bound=Component)


class Choice(Generic[C]):
    """A component that a recipe picked, with its validated settings.

    As a pydantic field, `Choice[Generator]` takes a name or a table with a `name`, looks the component up, and
    validates the rest of the table with the component's own `Config`. Choices nest.
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
        return self.component.name

    def build(self, **context: Any) -> C:
        """The component itself.

        Raises `RecipeError` where the component refuses its settings with a `ValueError`, which is how it says that
        they do not go together, and `PluginError` that names the plugin where it fails in any other way.
        """
        try:
            return self.component(self.config, **context)  # type: ignore[call-arg]
        except RecipeError as error:  # Of a component inside it, mostly.
            raise RecipeError(f"{self.kind} {self.name!r}: {error}") from error
        except MdtranslateError:
            raise
        except (Exception, SystemExit) as error:
            what = f"{self.kind} {self.name!r} of {registry().owner(self.kind, self.name)}"
            if type(error) is ValueError:
                raise RecipeError(f"{what} refuses its settings: {' '.join(str(error).split())}") from error
            raise PluginError(f"{what} failed: {registry().fault(error)}") from error

    def owners(self) -> Iterator[str]:
        """The plugins of the component and of those inside it, with their distributions and versions."""
        try:
            yield registry().owner(self.kind, self.name).public
        except UnknownName:
            yield f"{self.kind} {self.name!r} of no plugin"
        for each in _inside([value for _, value in self.config]):
            yield from each.owners()

    def dump(self) -> dict[str, Any]:
        """The table that validates to this choice, every setting included."""
        return {"name": self.name, **self.config.model_dump(mode="json")}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        (base,) = get_args(source)
        return core_schema.no_info_plain_validator_function(
            lambda value: _choose(base, value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda choice: choice.dump()),
        )


def _inside(value: Any) -> Iterator[Choice[Any]]:
    """The choices that a setting holds, itself or in lists and tables."""
    if isinstance(value, Choice):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _inside(each)


def _choose(base: type[C], value: Any) -> Choice[C]:
    if isinstance(value, Choice):
        return value
    role = base.__name__.lower()
    kind = next(kind for kind in KINDS if issubclass(base, kind_class(kind)))
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        raise PydanticCustomError("choice", f"a {role} is a name, or a table with a name")
    name = table.get("name")
    if not isinstance(name, str):
        hint = nearest("", registry().names(kind))
        raise _misnamed(base, table, f"the name of a {role} is missing; {hint}" if name is None else f"no name; {hint}")
    try:
        component = registry().component(kind, name)
    except UnknownName as error:
        raise _misnamed(base, table, str(error)) from None
    if not issubclass(component, base):
        raise _misnamed(base, table, f"{name!r} is a {kind}, but no {role}")
    rest = {key: each for key, each in table.items() if key != "name"}
    # A nested ValidationError keeps its own locations below ours: pydantic joins them.
    return Choice(component, component.Config.model_validate(rest))


def _misnamed(base: type[Component], table: Mapping[str, Any], message: str) -> ValidationError:
    custom = PydanticCustomError("choice", "{message}", {"message": message})
    place = ("name",) if "name" in table else ()
    return ValidationError.from_exception_data(
        base.__name__, [InitErrorDetails(type=custom, loc=place, input=table.get("name", table))]
    )
