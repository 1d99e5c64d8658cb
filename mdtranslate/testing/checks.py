"""Contract checks: what a check is, how a suite of checks runs on a component, and what it reports."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from mdtranslate import errors

if TYPE_CHECKING:
    import pytest

CaseT = TypeVar("CaseT")

State = Literal["passed", "failed", "not applicable", "not run"]
"""Outcome of a check. Not applicable: it does not concern this component. Not run: a prerequisite failed."""


class BrokenContract(AssertionError):
    """A component does not fulfil its contract."""


class NotApplicable(Exception):
    """Raised by a check that does not concern the component; the message says why."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    Attributes:
        name: Name of the check.
        state: The outcome.
        expected: What the contract requires.
        actual: What the component did instead, or why the check was not applicable or not run; empty if it passed.
        why: Why the contract requires it.
    """

    name: str
    state: State
    expected: str
    actual: str
    why: str

    def format(self) -> str:
        """Returns the result as text: four lines for a failure, one line otherwise."""
        if self.state != "failed":
            return ", ".join([f"{self.name}: {self.state}", *([self.actual] if self.actual else [])])
        return f"{self.name}\n  expected  {self.expected}\n  actual    {self.actual}\n  why       {self.why}"


@dataclass(frozen=True)
class Check(Generic[CaseT]):
    """One requirement of a contract.

    Attributes:
        name: Its name.
        expected: What the contract requires.
        why: Why the contract requires it.
        function: Tests a case; returns None if it passes, otherwise what happened instead in a few words.
        is_prerequisite: Whether the other checks rely on it. If it fails they are not run, since they would only
            report the same mistake again.
    """

    name: str
    expected: str
    why: str
    function: Callable[[CaseT], str | None]
    is_prerequisite: bool = False

    def run(self, case: CaseT) -> Result:
        """Runs the check; an exception that the component raises is a failure."""
        state: State
        try:
            actual = self.function(case) or ""
            state = "failed" if actual else "passed"
        except NotApplicable as reason:
            actual, state = str(reason), "not applicable"
        except (Exception, SystemExit) as error:
            actual, state = describe_error(error, getattr(case, "component", None)), "failed"
        return Result(self.name, state, self.expected, actual, self.why)


class Suite(Generic[CaseT]):
    """The checks of one kind of component.

    A check is a function whose docstring has two paragraphs: what is expected, and why.

    Attributes:
        make_case: Builds the object that the checks test.
        checks: The checks by name.
    """

    def __init__(self, make_case: Callable[..., CaseT]) -> None:
        """Initialises an empty suite.

        Args:
            make_case: Builds the object that the checks test from a component, or from its class or a function that
                builds it, and from further keyword arguments.
        """
        self.make_case = make_case
        self.checks: dict[str, Check[CaseT]] = {}

    def prerequisite(self, function: Callable[[CaseT], str | None]) -> Callable[[CaseT], str | None]:
        """Decorator that adds a function as a check without which the other checks are not run."""
        return self.check(function, is_prerequisite=True)

    def check(
        self, function: Callable[[CaseT], str | None], is_prerequisite: bool = False
    ) -> Callable[[CaseT], str | None]:
        """Decorator that adds a function as a check."""
        expected, _, why = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
        name = function.__name__
        assert expected and why and name not in self.checks, name
        self.checks[name] = Check(name, " ".join(expected.split()), " ".join(why.split()), function, is_prerequisite)
        return function

    def select(self, skip: Collection[str] = ()) -> list[Check[CaseT]]:
        """Returns the checks that are not skipped, prerequisites first.

        Raises:
            ValueError: `skip` names an unknown check.
        """
        if unknown := sorted(set(skip) - set(self.checks)):
            raise ValueError(f"no check is called {unknown[0]!r}; the checks are {', '.join(self.checks)}")
        selected = [check for check in self.checks.values() if check.name not in skip]
        return sorted(selected, key=lambda check: not check.is_prerequisite)

    def results(self, component: Any, skip: Collection[str] = (), **options: Any) -> Iterator[Result]:
        """Runs the selected checks on a component one by one, in the order of `select`.

        Args:
            component: The component, its class, or a function that builds it.
            skip: Names of checks to leave out.
            options: Further arguments of the case, such as `size` for networks.
        """
        case, selected = self.make_case(component, **options), self.select(skip)
        session = _Session(selected, lambda: case)
        return (session.result(check) for check in selected)

    def cases(self, component: Any, skip: Collection[str] = (), **options: Any) -> pytest.MarkDecorator:
        """Returns a decorator that parametrises a test function by `check`, which the function calls.

        Args:
            component: The component, its class, or a function that builds it; it is called when the first test runs.
            skip: Names of checks to leave out.
            options: Further arguments of the case, such as `size` for networks.
        """
        import pytest

        selected = self.select(skip)
        session = _Session(selected, lambda: self.make_case(component, **options))
        return pytest.mark.parametrize(
            "check", [pytest.param(partial(session.test, check), id=check.name) for check in selected]
        )


class _Session(Generic[CaseT]):
    """Runs the selected checks of a suite on one component, which it builds when the first check runs."""

    def __init__(self, selected: Sequence[Check[CaseT]], make_case: Callable[[], CaseT]) -> None:
        self.selected, self.make_case = selected, make_case
        self.build_failed = False
        # The first test that runs reports a mistake on behalf of all others.
        self.reporting_test: str | None = None

    @cached_property
    def case(self) -> CaseT:
        return self.make_case()

    @cached_property
    def prerequisites(self) -> dict[str, Result]:
        """Results of the prerequisites, up to the first that failed."""
        results = dict[str, Result]()
        for check in self.selected:
            if check.is_prerequisite and self.first_failure(results) is None:
                results[check.name] = check.run(self.case)
        return results

    @staticmethod
    def first_failure(results: Mapping[str, Result]) -> Result | None:
        return next((result for result in results.values() if result.state == "failed"), None)

    def result(self, check: Check[CaseT]) -> Result:
        """Returns the result of a check; the checks may come in any order."""
        if check.name in self.prerequisites:
            return self.prerequisites[check.name]
        if failure := self.first_failure(self.prerequisites):
            return Result(check.name, "not run", check.expected, f"{failure.name} failed", check.why)
        return check.run(self.case)

    def test(self, check: Check[CaseT]) -> None:
        """Runs a check as a test.

        If the component cannot be built, or a prerequisite failed, the first test that runs in this process fails for
        it, whichever tests were selected, and the others are skipped.
        """
        import pytest

        __tracebackhide__ = True
        if self.build_failed and check.name != self.reporting_test:
            pytest.skip(f"not run, the component cannot be built: see {self.reporting_test}")
        try:
            result = self.result(check)
        except Exception:
            self.build_failed = self._is_reporting(check)
            raise
        failure = self.first_failure(self.prerequisites)
        if failure is not None and result.state != "passed" and self._is_reporting(check):
            raise BrokenContract(failure.format())
        if result.state == "failed":
            raise BrokenContract(result.format())
        if result.state != "passed":
            pytest.skip(f"{result.state}, {result.actual}")

    def _is_reporting(self, check: Check[CaseT]) -> bool:
        self.reporting_test = self.reporting_test or check.name
        return self.reporting_test == check.name


def describe_error(error: BaseException, component: type | None) -> str:
    """Returns an exception as one line, with the last line of the component's own code in its traceback."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "mdtranslate/testing" not in frame.filename
    ]
    module = sys.modules.get(component.__module__) if component else None
    folder = Path(getattr(module, "__file__", None) or "/").parent
    frames = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    location = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{errors.describe_error(error)}{location}"
