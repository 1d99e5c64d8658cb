"""Batches as a pure function of (seed, step), compared with a plain implementation."""

from __future__ import annotations

from concurrent.futures import wait

import numpy as np
import pytest
import torch
from tiny import register

from mdtranslate import Attribute
from mdtranslate.api import LabelEncoder
from mdtranslate.config.choice import Choice
from mdtranslate.config.schema import Data
from mdtranslate.data.batches import Batches, normalise, to_pixels
from mdtranslate.data.prefetch import DEPTH, Prefetcher
from mdtranslate.data.recipe_datasets import pick_display_indices
from mdtranslate.errors import DataError, RecipeError

COLOUR, ROUND, MOOD = (
    Attribute("colour", ("red", "green", "blue")),
    Attribute("Round"),
    Attribute("mood", ("happy", "sad")),
)
CPU = torch.device("cpu")


def batches(known, seed=0, attributes=None, **settings) -> Batches:
    """Builds batches; `known` lists the attributes of each image per dataset. Pixels encode the index of the image."""
    register()
    attributes = attributes or {"toys": (COLOUR, ROUND), "faces": (MOOD,)}
    attributes = dict(list(attributes.items())[: len(known)])
    from pydantic import TypeAdapter

    label_encoder = TypeAdapter(Choice[LabelEncoder]).validate_python("mask-vector").build(attributes=attributes)
    data = Data.model_validate({"image_size": 8, "batch_size": 8, **settings})
    draw = np.random.default_rng(1)
    pixels = [draw.integers(0, 256, (len(each), data.cached_size, data.cached_size, 3), np.uint8) for each in known]
    labels = [torch.stack([label_encoder.encode(one, n) for one in each]) for n, each in enumerate(known)]
    return Batches(pixels, labels, label_encoder, data, seed, CPU)


def toys(count):
    return [{"colour": COLOUR.values[n % 3], "Round": n % 2 == 0} for n in range(count)]


def where(made: Batches, image) -> tuple[int, int, int, int, bool]:
    """Dataset, number, top, left and whether mirrored of an image of a batch."""
    pixels = to_pixels(image[None])[0]
    for dataset, own in enumerate(made.images.arrays):
        for number, whole in enumerate(own):
            for top in range(whole.shape[0] - 7):
                for left in range(whole.shape[1] - 7):
                    cut = whole[top : top + 8, left : left + 8]
                    for mirrored in (False, True):
                        if np.array_equal(cut[:, ::-1] if mirrored else cut, pixels):
                            return dataset, number, top, left, mirrored
    raise AssertionError("no image of the datasets")


def test_every_image_occurs_once_per_epoch_with_its_labels():
    made = batches([toys(12)])
    seen = []
    for step in range(3):
        batch = made(step)
        places = [where(made, each) for each in batch.real]
        seen += [number for _, number, *_ in places]
        assert torch.equal(batch.source, made.labels[[number for _, number, *_ in places]])
    assert sorted(seen[:12]) == list(range(12)) == sorted(seen[12:])
    assert seen[:12] != seen[12:]


def test_balance_samples_datasets_or_domains_equally_often():
    moods = [{"mood": value} for value in MOOD.values]
    toy = [{"colour": "red", "Round": True}] * 20 + [{"colour": "blue", "Round": False}] * 2 + [{"colour": "blue"}]
    shares = {}
    for balance in ("none", "dataset", "domain"):
        made = batches([toy, moods], balance=balance)
        drawn = torch.cat([made(step).source for step in range(100)])
        shares[balance] = [float((drawn == label).all(1).float().mean()) for label in torch.unique(made.labels, dim=0)]
        assert all(
            torch.equal(made(step).source, batches([toy, moods], balance=balance)(step).source) for step in (7, 3)
        )
    # Unique labels: round red toys, blue toys of unknown shape and not round, and two moods.
    blue, unclear = 2, 1
    assert sorted(shares["none"]) == pytest.approx(sorted([20 / 25, blue / 25, unclear / 25, 1 / 25, 1 / 25]), abs=0.02)
    expected = [20 / 46, blue / 46, unclear / 46, 1 / 4, 1 / 4]
    assert sorted(shares["dataset"]) == pytest.approx(sorted(expected), abs=0.02)
    assert shares["domain"] == pytest.approx([1 / 5] * 5, abs=0.01)


def test_batch_is_a_function_of_seed_and_step():
    first, second = batches([toys(12)]), batches([toys(12)])
    later = first(5)
    for step in (0, 9, 2):
        first(step)
    for name in ("real", "source", "target", "seeds"):
        assert torch.equal(getattr(later, name), getattr(second(5), name))
        assert torch.equal(getattr(later, name), getattr(first(5), name))
    assert not torch.equal(batches([toys(12)], seed=1)(5).real, later.real)


def test_seeds_differ_between_steps():
    made = batches([toys(12)])
    assert len(torch.unique(torch.stack([made(step).seeds for step in range(100)]))) == 800


def test_random_numbers_of_steps_are_uncorrelated():
    made, steps = batches([toys(3)]), 8192
    drawn = np.array([made._rng(step).random(16) for step in range(steps)])
    drawn = (drawn - drawn.mean(0)) / drawn.std(0)
    for lag in (1, 2, 4, 16, 64, 256, 1024):
        correlation = (drawn[:-lag] * drawn[lag:]).mean(0)
        assert np.abs(correlation).max() * np.sqrt(steps - lag) < 5, lag  # In standard deviations; chance gives 3.


def test_flips_and_random_crops():
    free = [
        where(made, each) for made in [batches([toys(12)], load_size=10)] for s in range(6) for each in made(s).real
    ]
    assert {top for _, _, top, _, _ in free} == {left for _, _, _, left, _ in free} == {0, 1, 2}
    assert 12 < sum(mirrored for *_, mirrored in free) < 36
    fixed = batches([toys(12)], flip=False)
    assert {where(fixed, each)[2:] for each in fixed(0).real} == {(0, 0, False)}


def test_permuted_targets_are_labels_of_the_batch():
    made = batches([toys(12)])
    for step in range(4):
        batch = made(step)
        assert sorted(batch.target.tolist()) == sorted(batch.source.tolist())
    assert not torch.equal(batch.target, batch.source)


def test_targets_stay_in_their_dataset():
    moods = [{"mood": value} for value in MOOD.values]
    made = batches([toys(78), moods])
    same = total = 0
    for step in range(150):
        batch = made(step)
        assert torch.equal(
            made.label_encoder.dataset_index(batch.source), made.label_encoder.dataset_index(batch.target)
        )
        mine = made.label_encoder.dataset_index(batch.source) == 1
        total += int(mine.sum())
        same += int((batch.source[mine] == batch.target[mine]).all(1).sum())
    assert total > 20
    assert 0.2 < same / total < 0.8


def test_cross_dataset_targets_are_from_all_other_datasets():
    moods = [{"mood": MOOD.values[n % 2]} for n in range(6)]
    known, attributes = [toys(12), moods, toys(5)], {"toys": (COLOUR, ROUND), "faces": (MOOD,), "more": (COLOUR, ROUND)}
    made = batches(known, attributes=attributes, cross_dataset=1.0)
    drawn = [made(step) for step in range(40)]
    homes = made.label_encoder.dataset_index
    pairs = [zip(homes(each.source).tolist(), homes(each.target).tolist(), strict=True) for each in drawn]
    assert {pair for each in pairs for pair in each} == {(a, b) for a in range(3) for b in range(3) if a != b}
    own = {tuple(row) for row in made.labels.tolist()}
    assert all(tuple(row) in own for each in drawn for row in each.target.tolist())
    half = batches(known, attributes=attributes, cross_dataset=0.5)
    kept = torch.cat([homes(each.source) == homes(each.target) for each in map(half, range(40))])
    assert 0.4 < kept.float().mean() < 0.6


@pytest.mark.parametrize("targets", ["permute", "one-edit"])
def test_unknown_attributes_stay_unknown(targets):
    known = [{"colour": "red"}, {"Round": True}, {"colour": "blue", "Round": False}, {"colour": "green", "Round": True}]
    made = batches([known * 2], targets=targets)
    changed = 0
    for step in range(6):
        batch = made(step)
        for source, target in zip(batch.source, batch.target, strict=True):
            assert made.label_encoder.decode(target).keys() >= made.label_encoder.decode(source).keys()
            if targets == "permute":
                assert made.label_encoder.decode(target).keys() == made.label_encoder.decode(source).keys()
            changed += not torch.equal(source, target)
    assert changed > 6


def test_one_edit_changes_one_attribute():
    batch = (made := batches([toys(12)], targets="one-edit"))(0)
    for source, target in zip(batch.source, batch.target, strict=True):
        before, after = made.label_encoder.decode(source), made.label_encoder.decode(target)
        assert sum(before[name] != after[name] for name in before) == 1


def test_other_domain_is_never_the_source_domain():
    made = batches([toys(12), [{"mood": value} for value in MOOD.values * 6]], targets="other-domain")
    seen = set()
    for step in range(40):
        batch = made(step)
        own, other = made.label_encoder.domain_index(batch.source), made.label_encoder.domain_index(batch.target)
        assert (own != other).all()
        assert torch.equal(
            made.label_encoder.dataset_index(batch.source), made.label_encoder.dataset_index(batch.target)
        )
        seen |= set(zip(own.tolist(), other.tolist(), strict=True))
    assert len(seen) == 6 * 5 + 2 * 1


def test_other_domain_with_too_many_domains_is_refused():
    many = {"toys": tuple(Attribute(f"is_{n}") for n in range(14))}
    with pytest.raises(RecipeError, match=r"data\.targets=other-domain"):
        batches([[{f"is_{n}": True for n in range(14)}] * 8], attributes=many, targets="other-domain")


def test_normalise_and_to_pixels_are_inverse():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    normal = normalise(torch.from_numpy(pixels))
    assert (float(normal.min()), float(normal.max())) == (-1.0, 1.0)
    assert np.array_equal(to_pixels(normal), pixels)


def test_display_indices_are_the_first_or_evenly_spread():
    mixed, sorted_ = [{"a": n % 2} for n in range(9)], [{"a": n // 50} for n in range(100)]
    assert pick_display_indices(mixed, 4) == [0, 1, 2, 3] and pick_display_indices(mixed, 20) == list(range(9))
    assert pick_display_indices(sorted_, 4) == [0, 25, 50, 75]
    assert pick_display_indices([{}] * 3, 8) == [0, 1, 2] and pick_display_indices([], 3) == []


def test_balance_with_many_domains():
    def many(count):
        names = [f"a{n}" for n in range(count)]
        rows = [{name: (row >> n) % 2 == 1 for n, name in enumerate(names)} for row in range(4)]
        return batches([rows], attributes={"toys": tuple(map(Attribute, names))}, balance="domain")

    assert len(many(20)._sampler.groups) == 4
    with pytest.raises(RecipeError, match=r"^data\.balance=domain: "):
        many(70)


def test_prefetched_batches_are_the_same_and_ready_early():
    plain, made, steps = batches([toys(12)]), batches([toys(12)]), []

    class Told(Batches):
        def __call__(self, step):
            steps.append(step)
            return super().__call__(step)

    made.__class__ = Told
    with Prefetcher(made, 6) as ahead:
        for step in range(1, 6):
            batch, expected = ahead(step), plain(step)
            assert torch.equal(batch.real, expected.real) and torch.equal(batch.target, expected.target)
            wait([*ahead.pending.values()])
            assert steps == list(range(1, min(step + DEPTH, 5) + 1))


def test_prefetch_error_is_raised_at_its_step():
    made = batches([toys(12)])

    class Fails(Batches):
        def __call__(self, step):
            if step == 2:
                raise DataError("the cache is gone")
            return super().__call__(step)

    made.__class__ = Fails
    with Prefetcher(made, 9) as ahead:
        ahead(0), ahead(1)
        with pytest.raises(DataError, match="the cache is gone"):
            ahead(2)
