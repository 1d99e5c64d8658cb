"""The mask vector against the paper and against formulas written out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from mdtranslate_stargan.mask_vector import MaskVector
from mdtranslate_stargan.networks import StarGANGenerator
from stargan_parts import FIVE, HAIR, ONE, TWO, encoder, pictures
from torch.nn import functional as F

from mdtranslate import Attribute, Value


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_decode_inverts_encode(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    everything = pictures(attributes)
    labels = torch.stack([mask.encode(*each) for each in everything])
    assert labels.dtype == torch.float32
    assert [mask.decode(label) for label in labels] == [known for known, _ in everything]
    assert mask.dataset(labels).tolist() == [number for _, number in everything]
    assert len(labels.unique(dim=0)) == len(everything), "yes, no, none and unknown are four things"


def test_encode_refuses_what_a_dataset_does_not_label() -> None:
    mask = encoder(TWO)
    for wrong, number in [({"Young": True}, 0), ({"hair": "Red"}, 0), ({"mood": None}, 1), ({"Male": "yes"}, 0)]:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            mask.encode(wrong, number)  # type: ignore[arg-type]


def test_the_papers_layout() -> None:
    moods = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
    both = encoder({**FIVE, "rafd": [Attribute("expression", moods)]})
    assert (both.size, both.classes) == (15, 13)
    names = [each.name for each in FIVE["celeba"]]
    assert list(both.layout) == [
        *(f"celeba.{name}" for name in names),
        *(f"rafd.expression={mood}" for mood in moods),
        "celeba?",
        "rafd?",
    ]
    # Section 3.2: [c1, c2, m], zeros where the labels are the other dataset's.
    first = both.condition(both.encode({"Blond_Hair": True, "Black_Hair": False, "Young": True}, 0)[None])
    assert first.tolist() == [[0, 1, 0, 0, 1, *[0] * 8, 1, 0]]
    second = both.condition(both.encode({"expression": "happy"}, 1)[None])
    assert second.tolist() == [[*[0] * 5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]
    # Appendix, table 4: the first convolution sees the picture and the whole condition.
    generator = StarGANGenerator(StarGANGenerator.Config(channels=4, blocks=0), encoder=both, image_size=32)
    assert next(each for each in generator.modules() if isinstance(each, torch.nn.Conv2d)).in_channels == 18
    single = encoder(FIVE)
    assert (single.size, single.classes, list(single.layout)) == (5, 5, names), "one dataset: no mask"


def test_conditions_of_exclusive_attributes() -> None:
    mask = encoder(ONE)
    assert list(mask.layout) == [*(f"hair={value}" for value in HAIR.values), "Male", "mood=happy", "mood=sad"]

    def condition(**known: Value) -> list[float]:
        found: list[float] = mask.condition(mask.encode(known, 0)[None])[0].tolist()
        return found

    assert condition(hair="Blond_Hair", Male=True, mood="sad") == [0, 1, 0, 1, 0, 1]
    assert condition(hair=None, Male=False, mood="happy") == [0, 0, 0, 0, 1, 0]
    assert condition() == [0] * 6


@pytest.mark.parametrize("exclusive", ["softmax", "binary"])
@pytest.mark.parametrize("attributes", [ONE, TWO], ids=["one", "two"])
def test_the_loss_by_hand(attributes: Mapping[str, Sequence[Attribute]], exclusive: str) -> None:
    mask = encoder(attributes, exclusive)
    everything = pictures(attributes)
    labels = torch.stack([mask.encode(*each) for each in everything])
    logits = torch.randn(len(labels), mask.classes, requires_grad=True)
    columns = {name.split(".")[-1]: place for place, name in enumerate(mask.layout[: mask.classes])}
    expected = []
    for row, (known, number) in zip(logits, everything, strict=True):
        total = torch.zeros(())
        for attribute in attributes[list(attributes)[number]]:
            if attribute.name not in known:
                continue
            value = known[attribute.name]
            if not attribute.values:
                total = total + F.softplus(-row[columns[attribute.name]] if value else row[columns[attribute.name]])
                continue
            own = {each: row[columns[f"{attribute.name}={each}"]] for each in attribute.values}
            if exclusive == "binary" and (attribute.optional or not attribute.values):
                total = total + sum(F.softplus(-logit if each == value else logit) for each, logit in own.items())
            else:
                scores = {**own, **({None: torch.zeros(())} if attribute.optional else {})}
                total = total - scores[value] + torch.stack(list(scores.values())).logsumexp(0)  # type: ignore[index]
        expected.append(total)
    found = mask.loss(logits, labels)
    torch.testing.assert_close(found, torch.stack(expected))
    unknown = torch.tensor([not known for known, _ in everything])
    assert unknown.any() and (found[unknown] == 0).all() and (found[~unknown] > 0).all()
    (slope,) = torch.autograd.grad(found.sum(), logits)
    assert (slope[unknown] == 0).all() and slope.isfinite().all()


@pytest.mark.parametrize("attributes", [ONE, TWO], ids=["one", "two"])
def test_infer_fills_only_what_is_unknown(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    everything = pictures(attributes)
    labels = torch.stack([mask.encode(*each) for each in everything])
    # Logits that speak for one picture of the dataset; of "no" and "none of these" by speaking against all else.
    for truth, number in everything:
        if len(truth) < len(attributes[list(attributes)[number]]):
            continue
        logits = (20 * mask.condition(mask.encode(truth, number)[None])[:, : mask.classes] - 10).expand(len(labels), -1)
        filled = mask.infer(logits, labels)
        assert (mask.dataset(filled) == mask.dataset(labels)).all()
        for (known, own), label in zip(everything, filled, strict=True):
            found = mask.decode(label)
            assert {name: found[name] for name in known} == known
            if own == number:
                assert found == {**truth, **known}
            else:
                assert len(found) == len(attributes[list(attributes)[own]])


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_edits_make_another_domain(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    for known, number in pictures(attributes):
        edits = mask.edits(known, number)
        assert edits and len({tuple(each.items()) for each in edits}) == len(edits)
        before = mask.encode(known, number)
        for edit in edits:
            ((name, value),) = edit.items()
            assert known.get(name, ...) != value
            assert not torch.equal(mask.encode({**known, **edit}, number), before)
        for attribute in attributes[list(attributes)[number]]:
            offered = {edit[attribute.name] for edit in edits if attribute.name in edit}
            assert offered == {*attribute.allowed} - {None} - {known.get(attribute.name, ...)}


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_domains_are_numbered_as_they_stand(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = encoder(attributes)
    assert mask.domain(mask.domains).tolist() == list(range(len(mask.domains)))
    complete = [
        mask.encode(*each) for each in pictures(attributes) if len(each[0]) == len([*attributes.values()][each[1]])
    ]
    assert {tuple(row.tolist()) for row in mask.domains} == {tuple(row.tolist()) for row in complete}
    partial = [
        mask.encode(*each) for each in pictures(attributes) if len(each[0]) < len([*attributes.values()][each[1]])
    ]
    assert set(mask.domain(torch.stack(partial)).tolist()) == {-1}


def test_too_many_domains() -> None:
    with pytest.raises(ValueError, match="more than 4096"):
        _ = encoder({"many": [Attribute(str(number)) for number in range(13)]}).domains


def test_a_mask_per_attribute_tells_unknown_from_no() -> None:
    mask = MaskVector(MaskVector.Config(masks="attribute"), attributes=TWO)
    assert list(mask.layout[mask.classes :]) == ["faces.hair?", "faces.Male?", "moods.mood?", "moods.Young?"]
    known, unknown = mask.encode({"hair": None, "Male": False}, 0), mask.encode({}, 0)
    assert mask.condition(known[None])[0, mask.classes :].tolist() == [1, 1, 0, 0]
    assert mask.condition(unknown[None])[0].tolist() == [0.0] * mask.size
    single = MaskVector(MaskVector.Config(masks="attribute"), attributes=ONE)
    assert single.size == single.classes + 3


def test_without_masks_there_is_none() -> None:
    mask = MaskVector(MaskVector.Config(masks="none"), attributes=TWO)
    assert mask.size == mask.classes == len(mask.layout)
    assert mask.condition(mask.encode({"mood": "sad", "Young": True}, 1)[None]).shape == (1, mask.size)


def test_unknown_as_no_by_hand() -> None:
    plain, naive = (MaskVector(MaskVector.Config(unknown=each), attributes=TWO) for each in ("left-out", "no"))
    label = plain.encode({"Male": True}, 0)[None]
    logits = torch.randn(1, plain.classes)
    male = list(plain.layout).index("faces.Male")
    others = [place for place in range(plain.classes) if place != male]
    extra = F.softplus(logits[:, others]).sum(1)
    torch.testing.assert_close(naive.loss(logits, label), plain.loss(logits, label) + extra)


def test_shared_attributes_are_one_channel_known_from_every_dataset_that_labels_them() -> None:
    two = {"celeba": [HAIR, Attribute("Male")], "rafd": [Attribute("mood", ("happy", "sad")), Attribute("Male")]}
    mask = encoder(two, shared=["Male"])
    moods = ["rafd.mood=happy", "rafd.mood=sad"]
    assert list(mask.layout) == [*(f"celeba.hair={each}" for each in HAIR.values), "Male", *moods, "celeba?", "rafd?"]
    labels = torch.stack([mask.encode({"Male": True}, 0), mask.encode({"Male": True, "mood": "sad"}, 1)])
    place = list(mask.layout).index("Male")
    assert mask.condition(labels)[:, place].tolist() == [1, 1]
    assert [mask.decode(each) for each in labels] == [{"Male": True}, {"mood": "sad", "Male": True}]
    logits = torch.zeros(2, mask.classes)
    expected = [F.softplus(torch.tensor(0.0)), F.softplus(torch.tensor(0.0)) + torch.tensor(2.0).log()]
    assert mask.loss(logits, labels).tolist() == pytest.approx([float(each) for each in expected])
    unknown = torch.stack([mask.encode({}, 0), mask.encode({}, 1)])
    logits[:, place] = 3.0
    assert [mask.decode(each)["Male"] for each in mask.infer(logits, unknown)] == [True, True]
    assert "mood" not in mask.decode(mask.infer(logits, unknown)[0])
    everything = mask.domains
    assert mask.domain(everything).tolist() == list(range(len(everything)))
    assert list(encoder(two, shared=["Male"], masks="attribute").layout)[-3:] == ["celeba.hair?", "Male?", "rafd.mood?"]


@pytest.mark.parametrize(
    ("shared", "why"),
    [
        ("hair", "'hair' is labelled by a.* alone, so nobody shares it"),
        ("Young", "no dataset labels 'Young'; there is hair, mood"),
        ("mood", "'mood' has other values"),
    ],
)
def test_what_cannot_be_shared_is_refused_by_name(shared: str, why: str) -> None:
    two = {"a": [HAIR, Attribute("mood", ("happy",))], "b": [Attribute("mood", ("sad",))]}
    with pytest.raises(ValueError, match=why):
        encoder(two, shared=[shared])
