"""Each check of encoders, networks, losses and metrics fails on what was made to break it; the sound ones pass."""

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
    "generator": (bad_networks.GoodPainter, bad_networks.GENERATORS),
    "discriminator": (bad_networks.GoodCritic, bad_networks.DISCRIMINATORS),
    "loss": (bad_losses.Good, bad_losses.BAD),
    "metric": (bad_metrics.Good, bad_metrics.BAD),
    "features": (bad_features.GoodFeatures, bad_features.FEATURES),
    "importer": (bad_features.GoodImporter, bad_features.IMPORTERS),
}


def maker(kind: str, given: Any) -> Any:
    """What the checks take, of a class or of one with its settings."""
    if not isinstance(given, SimpleNamespace):
        return given
    if kind == "encoder":
        return lambda attributes: given.cls(given.config, attributes=attributes)
    if kind == "metric":
        return lambda attributes, judge: given.cls(given.config, attributes=attributes, judge=judge)
    if kind in ("features", "importer"):
        return lambda: given.cls(given.config)
    return lambda encoder, size: given.cls(given.config, encoder=encoder, image_size=size)


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_one_for_each_check(kind: str) -> None:
    assert KINDS[kind][1].keys() == suite(kind).checks.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_what_keeps_the_contract_passes(kind: str) -> None:
    found = list(suite(kind).results(KINDS[kind][0]))
    assert [each.text() for each in found if each.state == "failed"] == []
    assert sum(each.state == "left out" for each in found) <= 1


@pytest.mark.parametrize(
    ("kind", "check", "broken"),
    [
        ("loss", "terms_are_finite", bad_losses.RoughAtZero),
        ("loss", "terms_do_not_mix_pictures", bad_losses.ConstantBuffer),
        ("generator", "trains_as_it_works", bad_networks.BeginsAtNothing),
        ("generator", "pictures_do_not_mix", bad_networks.BeginsAtNothing),
        ("generator", "other_sizes_are_refused_in_words", bad_networks.FailsAtWork),
        ("generator", "codes_are_of_the_target_and_the_noise", bad_networks.TakesNoCode),
    ],
)
def test_what_hides_it_is_found_too(kind: str, check: str, broken: Any) -> None:
    result = suite(kind).checks[check].on(suite(kind).prepare(broken))
    assert result.state == "failed", result.text()


def test_a_discriminator_may_draw_while_it_trains() -> None:
    prepared = suite("discriminator").prepare(bad_networks.Dropping)
    assert suite("discriminator").checks["alone_means_alone"].on(prepared).state == "passed"


def test_the_place_is_that_of_the_components_own_code() -> None:
    result = suite("loss").checks["terms_are_one_a_picture"].on(suite("loss").prepare(bad_losses.WrongCall))
    assert "bad_losses.py:" in result.came and "functional.py" not in result.came


def fates(kind: str, given: Any) -> dict[str, str]:
    """What becomes of each case of a test with the checks of a kind."""
    found = {}
    for each in suite(kind).cases(given).args[1]:
        try:
            each.values[0]()
            found[each.id] = "passed"
        except pytest.skip.Exception as reason:
            found[each.id] = str(reason)
        except Exception as error:
            found[each.id] = type(error).__name__
    return found


@pytest.mark.parametrize("kind", ["encoder", "generator", "discriminator", "loss", "metric", "features"])
def test_one_mistake_is_one_failure(kind: str) -> None:
    """Each premise, broken, is the only one that fails; the checks that build on it say that it comes first."""
    for name, check in suite(kind).checks.items():
        if not check.premise:
            continue
        broken = maker(kind, KINDS[kind][1][name])
        results = {each.name: each for each in suite(kind).results(broken)}
        failed = [each.name for each in results.values() if each.state == "failed"]
        assert len(failed) == 1 and suite(kind).checks[failed[0]].premise
        came = {each.came for each in results.values() if each.state == "not reached"}
        assert came == {f"{failed[0]} comes first"}
        cases = fates(kind, broken)
        assert [each for each in cases if cases[each] == "BrokenContract"] == failed
        assert sum(each == f"not reached, {failed[0]} comes first" for each in cases.values()) > 5


def test_what_cannot_be_made_is_one_failure() -> None:
    cases = list(fates("loss", lambda encoder, size: 1 / 0).items())
    (first, came), rest = cases[0], {came for _, came in cases[1:]}
    assert came == "ZeroDivisionError" and rest == {f"not reached, it cannot be made: {first} says why"}
    asked = fates("loss", lambda encoder, size: pytest.skip("no weights on this machine"))
    assert {*asked.values()} == {"no weights on this machine"}


def test_a_selection_of_cases_is_never_skipped_whole() -> None:
    """Without the case of the premise that is broken, the first that is selected fails for it, as often as it runs."""
    broken = maker("loss", bad_losses.BAD["terms_are_one_a_picture"])
    cases = {each.id: each.values[0] for each in suite("loss").cases(broken).args[1]}
    for name in ("terms_teach", "terms_teach"):
        with pytest.raises(BrokenContract, match=r"^terms_are_one_a_picture\n"):
            cases[name]()
    with pytest.raises(pytest.skip.Exception, match="not reached, terms_are_one_a_picture comes first"):
        cases["can_be_copied"]()
    unmade = {each.id: each.values[0] for each in suite("loss").cases(lambda encoder, size: 1 / 0).args[1]}
    for name in ("terms_teach", "terms_teach"):
        with pytest.raises(ZeroDivisionError):
            unmade[name]()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, (_, bad) in KINDS.items() for name in bad])
def test_each_check_fails_on_what_breaks_it(kind: str, name: str) -> None:
    checks = suite(kind)
    result = checks.checks[name].on(checks.prepare(maker(kind, KINDS[kind][1][name])))
    assert result.state == "failed", result.text()
    assert result.came and "\n" not in result.came
