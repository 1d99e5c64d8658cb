"""Validation during training: results for translators whose behaviour is known, and warnings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import pytest
import torch
from toys import classifier_training, toy_model, toy_recipe

from mdtranslate.data.recipe_datasets import RecipeDataset, attributes_by_dataset, build_datasets
from mdtranslate.errors import PluginError
from mdtranslate.evaluation import gap_closed
from mdtranslate.evaluation.attribute_classifier import AttributeClassifier
from mdtranslate.evaluation.classifier_cache import load_cached_classifier, load_or_train_classifier
from mdtranslate.training import realism, validation, validation_result
from mdtranslate.training.validation import Validator
from mdtranslate.training.validation_result import (
    LESS_REALISTIC,
    SAME_TARGETS,
    WORSE_RECONSTRUCTION,
    ValidationResult,
    find_warning,
)

CPU = torch.device("cpu")
DATASETS = """
datasets.squares = { attributes = ["colour", "framed"] }
"""


@pytest.fixture
def validator(tmp_path: Path, squares: RecipeDataset) -> Validator:
    recipe = toy_recipe(tmp_path, DATASETS).recipe
    datasets, model = build_datasets(recipe), toy_model(recipe)
    return Validator(datasets, model.label_encoder, recipe, CPU, lambda *args: None)


def translator(validator: Validator, translate_one) -> SimpleNamespace:
    """Returns a translator that calls `translate_one(image, source values, target values)` for each image."""

    def translate(real, source, target):
        decode = validator.label_encoder.decode
        values = zip(real, map(decode, source), map(decode, target), strict=True)
        return torch.stack([translate_one(*arguments) for arguments in values])

    return SimpleNamespace(translate=translate)


def correct_edit(image: torch.Tensor, source: dict, target: dict) -> torch.Tensor:
    fake = image.clone()
    if source["colour"] != target["colour"]:
        values = ("red", "green", "blue")
        old, new = values.index(source["colour"]), values.index(target["colour"])
        fake[[old, new]] = fake[[new, old]]
    if source.get("framed") != target.get("framed", source.get("framed")):
        fake[:, [0, -1]] = fake[:, :, [0, -1]] = 1.0 if target["framed"] else -0.9
    return fake


def no_edit(image: torch.Tensor, source: dict, target: dict) -> torch.Tensor:
    return image


def test_correct_edits_are_recognised(validator: Validator) -> None:
    result = validator.validate(translator(validator, correct_edit), 500)
    assert result.classifier == "small"
    assert result.real_accuracy > 0.85
    assert result.edit_accuracy > 0.85
    assert result.label_dependence > 10 and result.change > 10
    assert result.reconstruction < 0.1
    assert result.warning is None


def test_ignoring_the_target_is_warned_of_once_and_not_early(validator: Validator) -> None:
    identity = translator(validator, no_edit)
    early = validator.validate(identity, 1000)  # 500 generator updates.
    assert early.warning is None
    assert (early.label_dependence, early.change, early.reconstruction) == (0, 0, 0)
    assert early.edit_accuracy < 0.5
    late = validator.validate(identity, 2000)
    assert late.warning.startswith(SAME_TARGETS) and "0.00 of 255" in late.warning
    assert "unchanged" in late.warning and "mdtranslate doctor" in late.warning
    assert validator.validate(identity, 3000).warning is None
    validator.results.clear()
    inverting = translator(validator, lambda image, source, target: -image)
    warning = validator.validate(inverting, 2000).warning
    assert SAME_TARGETS in warning and "unchanged" not in warning
    assert "validation/warning" in validator.results[-1].log_line()


def test_growing_reconstruction_error_is_warned_of(validator: Validator) -> None:
    def darkening(by: float) -> SimpleNamespace:
        return translator(validator, lambda *arguments: correct_edit(*arguments) * (1 - by))

    # It may jump and stay, or climb.
    for course in ((0.05, 0.05, 0.3, 0.29, 0.3, 0.3), (0.05, 0.04, 0.2, 0.25, 0.3, 0.35)):
        validator.results.clear()
        results = [validator.validate(darkening(by), step) for step, by in enumerate(course)]
        assert [bool(result.warning) for result in results] == [False, False, False, False, True, False]
        assert WORSE_RECONSTRUCTION in results[4].warning


def test_small_correct_edits_are_not_warned_of(validator: Validator, monkeypatch) -> None:
    monkeypatch.setattr(validation_result, "SAME_TARGETS_DIFFERENCE", 300.0)
    assert validator.validate(translator(validator, correct_edit), 5000).warning is None
    assert validator.validate(translator(validator, no_edit), 5000).warning


def test_results_are_restored_from_the_log(validator: Validator, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    results = [
        ValidationResult(500, 12.5, 20.0, 0.03, 0.9, "evaluation", 0.99),
        ValidationResult(1000, 0.5, 0.2, 0.03, 0.1, "evaluation", 0.99, "a warning"),
    ]
    lines = [
        {"step": 0, "validation/classifier": "evaluation"},
        {"step": 500, "generator/wgan-gp": 1.0},
        *(result.log_line() for result in results),
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        validator.restore(log)
        assert validator.results == results
        assert validator.classifier_kind == "evaluation"
    with log.open("ab") as file:  # Damaged lines are ignored.
        file.write(b'{\n{"step": 1, "validation/change": 2}\n[]\n\xff\n')
    validator.restore(log)
    assert validator.results == results and validator.classifier_kind == "evaluation"


def test_a_cached_classifier_is_used_only_if_it_was_cached_at_the_start(
    validator: Validator, monkeypatch, tmp_path: Path
) -> None:
    class Constant(AttributeClassifier):
        def predict(self, real: torch.Tensor) -> list[dict]:
            return [{"colour": "red", "framed": True, "bright": True} for _ in real]

    classifier = Constant(validator.classified.attributes, torch.nn.Identity(), CPU, {"network": "constant"})
    monkeypatch.setattr(validation, "load_cached_classifier", lambda *args: classifier)
    assert validator.choose_classifier() == {"step": 0, "validation/classifier": "evaluation"}
    assert validator.validate(translator(validator, correct_edit), 500).classifier == "evaluation"
    # This run began without one, so a classifier that was cached meanwhile must not change its log.
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 0, "validation/classifier": "small"}\n')
    resumed = Validator(validator.sources, validator.label_encoder, validator.recipe, CPU, lambda *args: None)
    resumed.restore(log)
    assert resumed.validate(translator(validator, correct_edit), 1000).classifier == "small"


def test_the_classifier_of_an_evaluation_is_loaded_only_if_cached(squares: RecipeDataset) -> None:
    training = classifier_training(epochs=1, min_images_per_epoch=16, batch_size=16)
    assert load_cached_classifier([squares], 16, CPU, training) is None
    trained = load_or_train_classifier([squares], 16, CPU, lambda *args: None, training)
    cached = load_cached_classifier([squares], 16, CPU, training)
    assert cached is not None and cached.metadata == trained.metadata
    longer = classifier_training(epochs=2, min_images_per_epoch=16, batch_size=16)
    assert load_cached_classifier([squares], 16, CPU, longer) is None
    assert load_cached_classifier([squares], 8, CPU, training) is None


def test_a_single_yes_no_attribute_is_compared_with_the_self_translation(validator: Validator) -> None:
    (dataset,) = validator.sources
    dataset = replace(dataset, attributes=dataset.dataset.attributes[2:])
    attributes = attributes_by_dataset([dataset])
    label_encoder = type(validator.label_encoder)(validator.label_encoder.config, attributes=attributes)
    single = Validator([dataset], label_encoder, validator.recipe, CPU, lambda *args: None)
    inverting = translator(single, lambda image, source, target: image if source == target else -image)
    assert single.validate(inverting, 500).label_dependence > 10


def test_slow_validation_is_warned_of_once(validator: Validator) -> None:
    for _ in range(5):
        assert validator.check_overhead(0, 50) is None, "the first ones prepare the classifier and realism"
    # One validation of three takes longest; only their sum counts.
    validator._durations = [(60.0, 1.0), (100.0, 1.0), (140.0, 1.0), (180.0, 1.0), (220.0, 1.0)]
    assert validator.check_overhead(256, 4) is None, "6 s of 120 s"
    warning = validator.check_overhead(280, 20)
    assert warning is not None and "21%" in warning and "train.validate_every=" in warning
    assert validator.check_overhead(300, 99) is None


def gap_result(step: int, accuracy: float, gap: float | None) -> ValidationResult:
    return ValidationResult(step, 12.5, 20.0, 0.03, accuracy, "evaluation", 0.99, gap_closed=gap)


def test_less_realistic_edits_are_warned_of_once() -> None:
    def warnings(*course: tuple[float, float | None]) -> list[bool]:
        results: list[ValidationResult] = []
        for step, (accuracy, gap) in enumerate(course):
            result = gap_result(step, accuracy, gap)
            results.append(replace(result, warning=find_warning(results, result, 1)))
        assert all(result.warning is None or LESS_REALISTIC in result.warning for result in results)
        return [bool(result.warning) for result in results]

    widening = [(0.6, 0.1), (0.7, 0.5), (0.8, 0.2), (0.9, None), (0.9, 0.2), (0.95, 0.1), (0.97, 0.0), (0.99, -0.1)]
    assert warnings(*widening) == [False, False, False, False, False, True, False, False]
    less_accurate = [(1 - accuracy, gap) for accuracy, gap in widening]
    assert not any(warnings(*less_accurate)), "the model gets worse in another way"
    assert not any(warnings((0.6, 0.5), (0.7, 0.2), (0.8, 0.48), (0.9, 0.2), (0.95, 0.2))), "one good measurement"
    assert not any(warnings((0.6, 0.5), (0.7, 0.3), (0.8, 0.28), (0.9, 0.3), (0.95, 0.29))), "within the noise"
    assert not any(warnings(*[(accuracy, None) for accuracy, _ in widening]))


def test_realism_is_measured_at_every_third_validation(
    validator: Validator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapped colours are real images of the other colour; unchanged images close nothing."""
    monkeypatch.setattr(gap_closed, "MIN_IMAGES", 3)  # The val split has 20 images.
    results = [validator.validate(translator(validator, correct_edit), step) for step in range(100, 700, 100)]
    assert [result.gap_closed is not None for result in results] == [False, False, True, False, False, True]
    colours = {name: value for name, value in results[2].gap_closed_edits.items() if name.startswith("colour=")}
    assert len(colours) == 3 and min(colours.values()) > 0.7
    assert results[2].gap_closed == pytest.approx(fmean(results[2].gap_closed_edits.values()), abs=1e-4)
    assert "validation/gap_closed" not in results[1].log_line()
    assert validator.summary().startswith(f"gap closed {results[5].gap_closed:.2f}, edit accuracy")
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(result.log_line()) + "\n" for result in results))
    resumed = Validator(validator.sources, validator.label_encoder, validator.recipe, CPU, lambda *args: None)
    resumed.restore(tmp_path / "log.jsonl")
    assert resumed.results == results and resumed.summary() == validator.summary()
    steps = [resumed.validate(translator(resumed, no_edit), step) for step in (700, 800, 900)]
    assert [result.gap_closed for result in steps] == [None, None, 0.0]


def test_realism_is_not_measured_without_weights(validator: Validator, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise PluginError("install the extra")

    monkeypatch.setattr(realism, "realism_network", missing)
    results = [validator.validate(translator(validator, correct_edit), step) for step in (100, 200, 300)]
    assert [result.gap_closed for result in results] == [None] * 3
    assert validator.summary().startswith("edit accuracy")
