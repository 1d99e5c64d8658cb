"""What a run is told of itself: figures of translators whose answers are known, and warnings when it does not work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toys import judging, toy_model, toy_recipe

from mdtranslate.data.source import Source, attributes_of, build_sources
from mdtranslate.evaluation.classifier_cache import Judge, find_judge, obtain_judge
from mdtranslate.training import validation as monitoring
from mdtranslate.training.validation import Look, Monitor

CPU = torch.device("cpu")
DATASETS = """
datasets.squares = { attributes = ["colour", "framed"] }
"""


@pytest.fixture
def monitor(tmp_path: Path, squares: Source) -> Monitor:
    recipe = toy_recipe(tmp_path, DATASETS).recipe
    sources, model = build_sources(recipe), toy_model(recipe)
    return Monitor(sources, model.encoder, recipe, CPU, lambda *args: None)


def painter(monitor: Monitor, paint) -> SimpleNamespace:
    """A translator that gives `paint(picture, what it is, what it is to be)`."""

    def translate(real, before, after):
        decode = monitor.encoder.decode
        return torch.stack([paint(*each) for each in zip(real, map(decode, before), map(decode, after), strict=True)])

    return SimpleNamespace(translate=translate)


def right(picture: torch.Tensor, has: dict, wanted: dict) -> torch.Tensor:
    made = picture.clone()
    if has["colour"] != wanted["colour"]:
        values = ("red", "green", "blue")
        one, other = values.index(has["colour"]), values.index(wanted["colour"])
        made[[one, other]] = made[[other, one]]
    if has.get("framed") != wanted.get("framed", has.get("framed")):
        made[:, [0, -1]] = made[:, :, [0, -1]] = 1.0 if wanted["framed"] else -0.9
    return made


def test_a_translator_that_edits_rightly_is_seen_to(monitor: Monitor) -> None:
    look = monitor.look(painter(monitor, right), 500)
    assert look.judged_by == "classifier"
    assert look.real_accuracy > 0.85
    assert look.edit_accuracy > 0.85
    assert look.label_dependence > 10 and look.change > 10
    assert look.reconstruction < 0.1
    assert look.warning is None


def test_a_translator_that_ignores_its_target_is_warned_of_once_and_not_at_once(monitor: Monitor) -> None:
    still = painter(monitor, lambda picture, has, wanted: picture)
    early = monitor.look(still, 1000)  # 500 updates of the generator.
    assert early.warning is None
    assert (early.label_dependence, early.change, early.reconstruction) == (0, 0, 0)
    assert early.edit_accuracy < 0.5
    late = monitor.look(still, 2000)
    assert late.warning.startswith("translations to different targets are nearly the same, 0.00 of 255")
    assert "come back as they were" in late.warning and "mdtranslate doctor" in late.warning
    assert monitor.look(still, 3000).warning is None
    monitor.looks.clear()
    same = painter(monitor, lambda picture, has, wanted: -picture)
    assert "the label is not heeded" in monitor.look(same, 2000).warning
    assert "check/warning" in monitor.looks[-1].line()


def test_a_reconstruction_that_grows_is_warned_of(monitor: Monitor) -> None:
    def darker(by: float):
        return painter(monitor, lambda picture, has, wanted: right(picture, has, wanted) * (1 - by))

    # It may jump and stay, or climb.
    for course in ((0.05, 0.05, 0.3, 0.29, 0.3, 0.3), (0.05, 0.04, 0.2, 0.25, 0.3, 0.35)):
        monitor.looks.clear()
        warnings = [monitor.look(darker(by), step) for step, by in enumerate(course)]
        assert [bool(look.warning) for look in warnings] == [False, False, False, False, True, False]
        assert "the reconstruction grows worse" in warnings[4].warning


def test_small_edits_that_are_right_are_no_reason_to_warn(monitor: Monitor, monkeypatch) -> None:
    monkeypatch.setattr(monitoring, "SAME", 300.0)
    assert monitor.look(painter(monitor, right), 5000).warning is None
    assert monitor.look(painter(monitor, lambda picture, has, wanted: picture), 5000).warning


def test_looks_are_taken_up_from_the_log(monitor: Monitor, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    looks = [Look(500, 12.5, 20.0, 0.03, 0.9, "judge", 0.99), Look(1000, 0.5, 0.2, 0.03, 0.1, "judge", 0.99, "told")]
    lines = [
        {"step": 0, "check/judged_by": "judge"},
        {"step": 500, "generator/wgan-gp": 1.0},
        *(look.line() for look in looks),
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        monitor.recall(log)
        assert monitor.looks == looks
        assert monitor.judged_by == "judge"
    with log.open("ab") as file:  # What somebody damaged is passed over.
        file.write(b'{\n{"step": 1, "check/change": 2}\n[]\n\xff\n')
    monitor.recall(log)
    assert monitor.looks == looks and monitor.judged_by == "judge"


def test_the_judge_is_asked_where_there_was_one_when_the_run_began(monitor, monkeypatch, tmp_path: Path) -> None:
    class Blind(Judge):
        def predict(self, real: torch.Tensor) -> list[dict]:
            return [{"colour": "red", "framed": True, "bright": True} for _ in real]

    judge = Blind(monitor.judged.attributes, torch.nn.Identity(), CPU, {"network": "blind"})
    monkeypatch.setattr(monitoring, "find_judge", lambda *args: judge)
    assert monitor.begin() == {"step": 0, "check/judged_by": "judge"}
    assert monitor.look(painter(monitor, right), 500).judged_by == "judge"
    # It was not there when this one began, and must not change its log now.
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 0, "check/judged_by": "classifier"}\n')
    again = Monitor(monitor.sources, monitor.encoder, monitor.recipe, CPU, lambda *args: None)
    again.recall(log)
    assert again.look(painter(monitor, right), 1000).judged_by == "classifier"


def test_the_judge_of_an_evaluation_is_found_only_when_it_is_there(squares: Source) -> None:
    training = judging(rounds=1, least=16, batch_size=16)
    assert find_judge([squares], 16, CPU, training) is None
    made = obtain_judge([squares], 16, CPU, lambda *args: None, training)
    found = find_judge([squares], 16, CPU, training)
    assert found is not None and found.facts == made.facts
    assert find_judge([squares], 16, CPU, judging(rounds=2, least=16, batch_size=16)) is None
    assert find_judge([squares], 8, CPU, training) is None


def test_a_yes_no_attribute_alone_is_compared_with_the_picture_as_it_is(monitor: Monitor) -> None:
    (source,) = monitor.sources
    alone = replace(source, attributes=source.dataset.attributes[2:])
    encoder = type(monitor.encoder)(monitor.encoder.config, attributes=attributes_of([alone]))
    own = Monitor([alone], encoder, monitor.recipe, CPU, lambda *args: None)
    look = own.look(painter(own, lambda picture, has, wanted: picture if has == wanted else -picture), 500)
    assert look.label_dependence > 10


def test_looks_that_take_too_long_are_said_to_once(monitor: Monitor) -> None:
    assert monitor.weigh(began=10, took=50) is None, "the first trains the classifier"
    assert monitor.weigh(began=160, took=4) is None
    said = monitor.weigh(began=254, took=10)
    assert said is not None and "looks take 10% of the time" in said and "train.check_every=" in said
    assert monitor.weigh(began=300, took=99) is None
