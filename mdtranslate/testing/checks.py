"""What a contract check is: one promise, whether it is kept, and why it matters."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    import pytest

S = TypeVar("S")


State = Literal["passed", "failed", "left out", "not reached"]
"""Left out: it says nothing of this component. Not reached: what it builds on does not hold."""


class BrokenContract(AssertionError):
    """A component does not keep a promise of its contract."""


class DoesNotApply(Exception):
    """A check that says nothing of this component, and why."""


@dataclass(frozen=True)
class Result:
    """What became of one check."""

    name: str
    state: State
    expected: str
    came: str
    """What came instead, or why it was left out or not reached; empty where it passed."""
    why: str

    def text(self) -> str:
        """In a few lines."""
        if self.state != "failed":
            return ", ".join([f"{self.name}: {self.state}", *([self.came] if self.came else [])])
        return f"{self.name}\n  expected  {self.expected}\n  came      {self.came}\n  why       {self.why}"


@dataclass(frozen=True)
class Check(Generic[S]):
    """One promise. Its function gives None where it is kept, or what came instead in a few words."""

    name: str
    expected: str
    why: str
    function: Callable[[S], str | None]
    premise: bool = False
    """Whether the others build on it: where it is broken they would all fail, for the same mistake."""

    def on(self, subject: S) -> Result:
        """Looks whether `subject` keeps it. What the component raises is what came."""
        state: State
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

    def premise(self, function: Callable[[S], str | None]) -> Callable[[S], str | None]:
        """As `check`, and the others are not reached while it is broken."""
        return self.check(function, premise=True)

    def check(self, function: Callable[[S], str | None], premise: bool = False) -> Callable[[S], str | None]:
        """Adds a function to the checks, as a decorator."""
        expected, _, why = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
        name = function.__name__
        assert expected and why and name not in self.checks, name
        self.checks[name] = Check(name, " ".join(expected.split()), " ".join(why.split()), function, premise)
        return function

    def chosen(self, skip: Collection[str] = ()) -> list[Check[S]]:
        """The checks but those to skip, premises first. Raises `ValueError` for a name that there is not."""
        if unknown := sorted(set(skip) - set(self.checks)):
            raise ValueError(f"no check is called {unknown[0]!r}; there is {', '.join(self.checks)}")
        return sorted(
            (each for each in self.checks.values() if each.name not in skip), key=lambda each: not each.premise
        )

    def results(self, given: Any, skip: Collection[str] = (), **more: Any) -> Iterator[Result]:
        """Every check on one component, each as soon as it is there, in the order of `chosen`."""
        subject, chosen = self.prepare(given, **more), self.chosen(skip)
        trial = _Trial(chosen, lambda: subject)
        return (trial.result(each) for each in chosen)

    def cases(self, given: Any, skip: Collection[str] = (), **more: Any) -> pytest.MarkDecorator:
        """The checks as cases of a test function that takes `check` and calls it.

        `given` is the component, or a function without arguments that makes it when the first case runs.
        """
        import pytest

        chosen = self.chosen(skip)
        trial = _Trial(chosen, lambda: self.prepare(given, **more))
        return pytest.mark.parametrize(
            "check", [pytest.param(partial(trial.case, each), id=each.name) for each in chosen]
        )


class _Trial(Generic[S]):
    """One component under the chosen checks of its kind."""

    def __init__(self, chosen: Sequence[Check[S]], make: Callable[[], S]) -> None:
        self.chosen, self.make = chosen, make
        self.unmade = False
        self.told: str | None = None
        """The case that failed for all that cannot be looked at."""

    @cached_property
    def subject(self) -> S:
        return self.make()

    @cached_property
    def premises(self) -> dict[str, Result]:
        """What became of the premises, up to the first that is broken."""
        found = dict[str, Result]()
        for each in self.chosen:
            if each.premise and self.broken(found) is None:
                found[each.name] = each.on(self.subject)
        return found

    @staticmethod
    def broken(premises: Mapping[str, Result]) -> Result | None:
        return next((each for each in premises.values() if each.state == "failed"), None)

    def result(self, check: Check[S]) -> Result:
        """What becomes of one check, in whatever order they are asked for."""
        if check.name in self.premises:
            return self.premises[check.name]
        if broken := self.broken(self.premises):
            return Result(check.name, "not reached", check.expected, f"{broken.name} comes first", check.why)
        return check.on(self.subject)

    def case(self, check: Check[S]) -> None:
        """The same as a test.

        A component that cannot be made, or of which a premise is broken, fails the first case that asks in a process:
        whichever cases were selected, not all of them are skipped.
        """
        import pytest

        __tracebackhide__ = True
        if self.unmade and check.name != self.told:
            pytest.skip(f"not reached, it cannot be made: {self.told} says why")
        try:
            result = self.result(check)
        except Exception:
            self.unmade = self._tells(check)
            raise
        broken = self.broken(self.premises)
        if broken is not None and result.state != "passed" and self._tells(check):
            raise BrokenContract(broken.text())
        if result.state == "failed":
            raise BrokenContract(result.text())
        if result.state != "passed":
            pytest.skip(f"{result.state}, {result.came}")

    def _tells(self, check: Check[S]) -> bool:
        self.told = self.told or check.name
        return self.told == check.name


def said(error: BaseException, component: type | None) -> str:
    """An error in one line, with the last place of the component's own code on the way to where it was raised."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if "mdtranslate/testing" not in each.filename]
    module = sys.modules.get(component.__module__) if component else None
    home = Path(getattr(module, "__file__", None) or "/").parent
    frames = [each for each in frames if Path(each.filename).is_relative_to(home)]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
