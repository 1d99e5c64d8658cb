"""What a contract check is: one promise, whether it is kept, and why it matters."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    import pytest

S = TypeVar("S")


class BrokenContract(AssertionError):
    """A component does not keep a promise of its contract."""


class DoesNotApply(Exception):
    """A check that says nothing of this component, and why."""


@dataclass(frozen=True)
class Result:
    """What became of one check."""

    name: str
    state: Literal["passed", "failed", "left out"]
    expected: str
    came: str
    """What came instead, or why the check was left out; empty where it passed."""
    why: str

    def text(self) -> str:
        """In a few lines."""
        if self.state == "left out":
            return f"{self.name}: left out, {self.came}"
        if self.state == "passed":
            return f"{self.name}: passed"
        return f"{self.name}\n  expected  {self.expected}\n  came      {self.came}\n  why       {self.why}"


@dataclass(frozen=True)
class Check(Generic[S]):
    """One promise. Its function gives None where it is kept, or what came instead in a few words."""

    name: str
    expected: str
    why: str
    function: Callable[[S], str | None]

    def on(self, subject: S) -> Result:
        """Looks whether `subject` keeps it. What the component raises is what came."""
        state: Literal["passed", "failed", "left out"]
        try:
            came = self.function(subject) or ""
            state = "failed" if came else "passed"
        except DoesNotApply as reason:
            came, state = str(reason), "left out"
        except (Exception, SystemExit) as error:
            came, state = said(error, getattr(subject, "component", None)), "failed"
        return Result(self.name, state, self.expected, came, self.why)


class Suite(Generic[S]):
    """The checks of one kind of component, each a function whose docstring says what is expected, and then why."""

    def __init__(self, prepare: Callable[..., S]) -> None:
        """`prepare` makes what the checks look at of what an author gives, and of `more` of theirs."""
        self.prepare = prepare
        self.checks: dict[str, Check[S]] = {}

    def check(self, function: Callable[[S], str | None]) -> Callable[[S], str | None]:
        """Adds a function to the checks, as a decorator."""
        expected, _, why = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
        name = function.__name__
        assert expected and why and name not in self.checks, name
        self.checks[name] = Check(name, " ".join(expected.split()), " ".join(why.split()), function)
        return function

    def results(self, given: Any, skip: Collection[str] = (), **more: Any) -> Iterator[Result]:
        """Every check on one component, each as soon as it is there."""
        chosen = self._chosen(skip)
        subject = self.prepare(given, **more)
        for each in chosen:
            yield each.on(subject)

    def cases(self, given: Any, skip: Collection[str] = (), **more: Any) -> pytest.MarkDecorator:
        """The checks as cases of a test function that takes `check` and calls it.

        `given` is the component, or a function without arguments that makes it when the first case runs.
        """
        import pytest

        prepared: list[S] = []

        def case(each: Check[S]) -> Callable[[], None]:
            def run() -> None:
                __tracebackhide__ = True
                if not prepared:
                    prepared.append(self.prepare(given, **more))
                result = each.on(prepared[0])
                if result.state == "left out":
                    pytest.skip(result.came)
                if result.state == "failed":
                    raise BrokenContract(result.text())

            return run

        return pytest.mark.parametrize("check", [pytest.param(case(each), id=each.name) for each in self._chosen(skip)])

    def _chosen(self, skip: Collection[str]) -> list[Check[S]]:
        if unknown := sorted(set(skip) - set(self.checks)):
            raise ValueError(f"no check is called {unknown[0]!r}; there is {', '.join(self.checks)}")
        return [each for each in self.checks.values() if each.name not in skip]


def said(error: BaseException, component: type | None) -> str:
    """An error in one line, with the last place of the component's own code on the way to where it was raised."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if "mdtranslate/testing" not in each.filename]
    module = sys.modules.get(component.__module__) if component else None
    home = Path(getattr(module, "__file__", None) or "/").parent
    frames = [each for each in frames if Path(each.filename).is_relative_to(home)] or frames
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
