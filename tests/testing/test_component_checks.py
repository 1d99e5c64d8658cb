"""Each check fails for a component that breaks it, and all checks pass for good components."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import bad_encoders
import bad_features
import bad_losses
import bad_metrics
import bad_networks
import pytest

from mdtranslate.testing import BrokenContract, suite

KINDS = {
    "encoder": (bad_encoders.Good, bad_encoders.BAD),
    "generator": (bad_networks.GoodGenerator, bad_networks.GENERATORS),
    "discriminator": (bad_networks.GoodDiscriminator, bad_networks.DISCRIMINATORS),
    "loss": (bad_losses.Good, bad_losses.BAD),
    "metric": (bad_metrics.Good, bad_metrics.BAD),
    "features": (bad_features.GoodFeatures, bad_features.FEATURES),
    "importer": (bad_features.GoodImporter, bad_features.IMPORTERS),
}


def builder(kind: str, component: Any) -> Any:
    """Returns what the checks of a kind accept, for a class or for a class with settings."""
    if not isinstance(component, SimpleNamespace):
        return component
    cls, config = component.cls, component.config
    if kind == "encoder":
        return lambda attributes: cls(config, attributes=attributes)
    if kind == "metric":
        return lambda attributes, features: cls(config, attributes=attributes, classifier_features=features)
    if kind in ("features", "importer"):
        return lambda: cls(config)
    return lambda label_encoder, size: cls(config, label_encoder=label_encoder, image_size=size)


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_a_component_that_breaks_it(kind: str) -> None:
    assert KINDS[kind][1].keys() == suite(kind).checks.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_good_components_pass(kind: str) -> None:
    results = list(suite(kind).results(KINDS[kind][0]))
    assert [result.format() for result in results if result.state == "failed"] == []
    assert sum(result.state == "not applicable" for result in results) <= 1


@pytest.mark.parametrize(
    ("kind", "check", "component"),
    [
        ("loss", "terms_are_finite", bad_losses.RootAtZero),
        ("loss", "samples_are_independent", bad_losses.ConstantBuffer),
        ("generator", "training_mode_equals_evaluation_mode", bad_networks.ZeroInitialised),
        ("generator", "samples_are_independent", bad_networks.ZeroInitialised),
        ("generator", "supports_or_rejects_image_sizes", bad_networks.FailsInForward),
        ("generator", "style_code_is_valid", bad_networks.RefusesStyleCodes),
    ],
)
def test_subtle_mistakes_are_reported(kind: str, check: str, component: Any) -> None:
    result = suite(kind).checks[check].run(suite(kind).make_case(component))
    assert result.state == "failed", result.format()


def test_a_batch_independent_discriminator_may_be_stochastic_in_training() -> None:
    case = suite("discriminator").make_case(bad_networks.WithDropout)
    assert suite("discriminator").checks["is_batch_independent_is_correct"].run(case).state == "passed"


def test_errors_name_a_line_of_the_component() -> None:
    result = suite("loss").checks["terms_are_per_sample"].run(suite("loss").make_case(bad_losses.WrongCall))
    assert "bad_losses.py:" in result.actual and "functional.py" not in result.actual


def run_tests(kind: str, component: Any) -> dict[str, str]:
    """Runs the tests that a kind's checks are for pytest: passed, why a test was skipped, or the type of its error."""
    outcomes = {}
    for parameters in suite(kind).cases(component).args[1]:
        try:
            parameters.values[0]()
            outcomes[parameters.id] = "passed"
        except pytest.skip.Exception as reason:
            outcomes[parameters.id] = str(reason)
        except Exception as error:
            outcomes[parameters.id] = type(error).__name__
    return outcomes


@pytest.mark.parametrize("kind", ["encoder", "generator", "discriminator", "loss", "metric", "features"])
def test_one_mistake_is_one_failure(kind: str) -> None:
    """Each prerequisite is the only check that fails for what breaks it, and the others name it."""
    for name, check in suite(kind).checks.items():
        if not check.is_prerequisite:
            continue
        component = builder(kind, KINDS[kind][1][name])
        results = list(suite(kind).results(component))
        failed = [result.name for result in results if result.state == "failed"]
        assert len(failed) == 1 and suite(kind).checks[failed[0]].is_prerequisite
        assert {result.actual for result in results if result.state == "not run"} == {f"{failed[0]} failed"}
        outcomes = run_tests(kind, component)
        assert [test for test, outcome in outcomes.items() if outcome == "BrokenContract"] == failed
        assert sum(outcome == f"not run, {failed[0]} failed" for outcome in outcomes.values()) > 5


def test_a_component_that_cannot_be_built_is_one_failure() -> None:
    outcomes = list(run_tests("loss", lambda label_encoder, size: 1 / 0).items())
    (first, error), other_outcomes = outcomes[0], {outcome for _, outcome in outcomes[1:]}
    assert error == "ZeroDivisionError" and len(other_outcomes) == 1
    (reason,) = other_outcomes
    assert reason.startswith("not run") and first in reason
    skipped = run_tests("loss", lambda label_encoder, size: pytest.skip("no weights on this machine"))
    assert {*skipped.values()} == {"no weights on this machine"}


def test_a_selection_of_tests_is_never_skipped_as_a_whole() -> None:
    """If the test of the prerequisite that fails is not selected, the first selected test fails for it."""
    component = builder("loss", bad_losses.BAD["terms_are_per_sample"])
    tests = {parameters.id: parameters.values[0] for parameters in suite("loss").cases(component).args[1]}
    for name in ("terms_have_gradients", "terms_have_gradients"):
        with pytest.raises(BrokenContract, match=r"^terms_are_per_sample\n"):
            tests[name]()
    with pytest.raises(pytest.skip.Exception, match="not run, terms_are_per_sample failed"):
        tests["can_be_copied"]()
    cases = suite("loss").cases(lambda label_encoder, size: 1 / 0)
    tests = {parameters.id: parameters.values[0] for parameters in cases.args[1]}
    for name in ("terms_have_gradients", "terms_have_gradients"):
        with pytest.raises(ZeroDivisionError):
            tests[name]()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, (_, bad) in KINDS.items() for name in bad])
def test_checks_fail_for_components_that_break_them(kind: str, name: str) -> None:
    checks = suite(kind)
    result = checks.checks[name].run(checks.make_case(builder(kind, KINDS[kind][1][name])))
    assert result.state == "failed", result.format()
    assert result.actual and "\n" not in result.actual
