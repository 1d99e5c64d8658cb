"""Components whose settings break what is asked of every component."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_serializer


def variants(good):
    """A function that makes subclasses of `good` with class attributes of another value."""

    def variant(**changes):
        return type("Variant", (good,), {"__doc__": good.__doc__, "__module__": __name__, **changes})

    return variant


def COMMON(good, variant):
    """For each check that is asked of all kinds: a class, and the settings that it is made with."""

    def settings(**namespace):
        made = type("Config", (good.Config,), {"__module__": __name__, **namespace})
        return variant(Config=made), made()

    class Plain(BaseModel):
        """As `good`'s, without its base."""

        model_config = ConfigDict(extra="allow")

    class Lossy(good.Config):
        spare: int = Field(1, description="nothing")

        @field_serializer("spare")
        def _other(self, value):
            return value + 1

    class Nothing(good.Config):
        limit: int | None = Field(3, description="nothing")

    plain = Plain(**good.Config().model_dump())
    return {
        "has_a_name": (variant(name="two words"), good.Config()),
        "has_a_docstring": (variant(__doc__=None), good.Config()),
        "config_is_a_model_of_settings": (variant(Config=Plain), plain),
        "config_refuses_what_it_does_not_know": settings(model_config=ConfigDict(extra="allow", frozen=True)),
        "config_is_frozen": settings(model_config=ConfigDict(extra="forbid", frozen=False)),
        "config_describes_each_setting": settings(__annotations__={"spare": int}, spare=1),
        "config_round_trips": (variant(Config=Lossy), Lossy()),
        "config_can_be_a_recipe": (variant(Config=Nothing), Nothing(limit=None)),
    }
