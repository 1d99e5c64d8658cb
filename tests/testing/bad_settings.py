"""Components that break the checks that all kinds have in common."""

from __future__ import annotations

from types import SimpleNamespace

from pydantic import BaseModel, ConfigDict, Field, field_serializer


def subclass_factory(good):
    """Returns a function that makes subclasses of `good` with other class attributes."""

    def variant(**changes):
        return type("Variant", (good,), {"__doc__": good.__doc__, "__module__": __name__, **changes})

    return variant


def break_common_checks(good, variant):
    """Returns for each common check a class that breaks it, with the settings to build it with."""

    def with_settings(**namespace):
        config = type("Config", (good.Config,), {"__module__": __name__, **namespace})
        return SimpleNamespace(cls=variant(Config=config), config=config())

    class Plain(BaseModel):
        """The settings of `good`, without their base class."""

        model_config = ConfigDict(extra="allow")

    class Lossy(good.Config):
        spare: int = Field(1, description="nothing")

        @field_serializer("spare")
        def _add_one(self, value):
            return value + 1

    class Optional(good.Config):
        limit: int | None = Field(3, description="nothing")

    plain = Plain(**good.Config().model_dump())
    return {
        "has_valid_name": SimpleNamespace(cls=variant(name="two words"), config=good.Config()),
        "has_docstring": SimpleNamespace(cls=variant(__doc__=None), config=good.Config()),
        "config_derives_from_settings": SimpleNamespace(cls=variant(Config=Plain), config=plain),
        "config_rejects_unknown_keys": with_settings(model_config=ConfigDict(extra="allow", frozen=True)),
        "config_is_frozen": with_settings(model_config=ConfigDict(extra="forbid", frozen=False)),
        "config_describes_every_setting": with_settings(__annotations__={"spare": int}, spare=1),
        "config_survives_json": SimpleNamespace(cls=variant(Config=Lossy), config=Lossy()),
        "config_survives_toml": SimpleNamespace(cls=variant(Config=Optional), config=Optional(limit=None)),
    }
