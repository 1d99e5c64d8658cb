"""The mask vector against the paper and against formulas written out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from mdtranslate_stargan.mask_vector import MaskVector
from mdtranslate_stargan.networks import StarGANGenerator
from stargan_parts import FIVE, HAIR, ONE, TWO, label_encoder, possible_labels
from torch.nn import functional as F

from mdtranslate import Attribute, Value


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_decode_inverts_encode(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = label_encoder(attributes)
    cases = possible_labels(attributes)
    labels = torch.stack([mask.encode(*case) for case in cases])
    assert labels.dtype == torch.float32
    assert [mask.decode(label) for label in labels] == [known for known, _ in cases]
    assert mask.dataset_index(labels).tolist() == [dataset for _, dataset in cases]
    assert len(labels.unique(dim=0)) == len(cases), "yes, no, none and unknown differ"


def test_encode_refuses_unlabelled_attributes_and_values() -> None:
    mask = label_encoder(TWO)
    for wrong, dataset in [({"Young": True}, 0), ({"hair": "Red"}, 0), ({"mood": None}, 1), ({"Male": "yes"}, 0)]:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            mask.encode(wrong, dataset)  # type: ignore[arg-type]


def test_the_layout_of_the_paper() -> None:
    moods = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
    both = label_encoder({**FIVE, "rafd": [Attribute("expression", moods)]})
    assert (both.condition_size, both.num_logits) == (15, 13)
    names = [attribute.name for attribute in FIVE["celeba"]]
    assert list(both.channel_names) == [
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
    # Appendix, table 4: the input of the first convolution is the image and the whole condition.
    generator = StarGANGenerator(StarGANGenerator.Config(channels=4, blocks=0), label_encoder=both, image_size=32)
    assert next(m for m in generator.modules() if isinstance(m, torch.nn.Conv2d)).in_channels == 18
    single = label_encoder(FIVE)
    assert (single.condition_size, single.num_logits, list(single.channel_names)) == (5, 5, names), (
        "one dataset: no mask"
    )


def test_conditions_of_exclusive_attributes() -> None:
    mask = label_encoder(ONE)
    assert list(mask.channel_names) == [*(f"hair={value}" for value in HAIR.values), "Male", "mood=happy", "mood=sad"]

    def condition(**known: Value) -> list[float]:
        channels: list[float] = mask.condition(mask.encode(known, 0)[None])[0].tolist()
        return channels

    assert condition(hair="Blond_Hair", Male=True, mood="sad") == [0, 1, 0, 1, 0, 1]
    assert condition(hair=None, Male=False, mood="happy") == [0, 0, 0, 0, 1, 0]
    assert condition() == [0] * 6


@pytest.mark.parametrize("exclusive_loss", ["softmax", "binary"])
@pytest.mark.parametrize("attributes", [ONE, TWO], ids=["one", "two"])
def test_loss_by_hand(attributes: Mapping[str, Sequence[Attribute]], exclusive_loss: str) -> None:
    mask = label_encoder(attributes, exclusive_loss)
    cases = possible_labels(attributes)
    labels = torch.stack([mask.encode(*case) for case in cases])
    logits = torch.randn(len(labels), mask.num_logits, requires_grad=True)
    columns = {name.split(".")[-1]: index for index, name in enumerate(mask.channel_names[: mask.num_logits])}
    expected = []
    for row, (known, dataset) in zip(logits, cases, strict=True):
        total = torch.zeros(())
        for attribute in attributes[list(attributes)[dataset]]:
            if attribute.name not in known:
                continue
            value = known[attribute.name]
            if not attribute.values:
                total = total + F.softplus(-row[columns[attribute.name]] if value else row[columns[attribute.name]])
                continue
            value_logits = {name: row[columns[f"{attribute.name}={name}"]] for name in attribute.values}
            if exclusive_loss == "binary" and (attribute.optional or not attribute.values):
                total = total + sum(F.softplus(-x if name == value else x) for name, x in value_logits.items())
            else:
                scores = {**value_logits, **({None: torch.zeros(())} if attribute.optional else {})}
                total = total - scores[value] + torch.stack(list(scores.values())).logsumexp(0)  # type: ignore[index]
        expected.append(total)
    losses = mask.loss(logits, labels)
    torch.testing.assert_close(losses, torch.stack(expected))
    unknown = torch.tensor([not known for known, _ in cases])
    assert unknown.any() and (losses[unknown] == 0).all() and (losses[~unknown] > 0).all()
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert (gradient[unknown] == 0).all() and gradient.isfinite().all()


@pytest.mark.parametrize("attributes", [ONE, TWO], ids=["one", "two"])
def test_infer_replaces_only_unknown_attributes(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = label_encoder(attributes)
    cases = possible_labels(attributes)
    labels = torch.stack([mask.encode(*case) for case in cases])
    # Logits for one image of the dataset; "no" and "none of these" are most likely where all other logits are negative.
    for truth, dataset in cases:
        if len(truth) < len(attributes[list(attributes)[dataset]]):
            continue
        logits = (20 * mask.condition(mask.encode(truth, dataset)[None])[:, : mask.num_logits] - 10).expand(
            len(labels), -1
        )
        filled = mask.infer(logits, labels)
        assert (mask.dataset_index(filled) == mask.dataset_index(labels)).all()
        for (known, case_dataset), label in zip(cases, filled, strict=True):
            decoded = mask.decode(label)
            assert {name: decoded[name] for name in known} == known
            if case_dataset == dataset:
                assert decoded == {**truth, **known}
            else:
                assert len(decoded) == len(attributes[list(attributes)[case_dataset]])


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_edits_make_another_domain(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = label_encoder(attributes)
    for known, dataset in possible_labels(attributes):
        edits = mask.edits(known, dataset)
        assert edits and len({tuple(edit.items()) for edit in edits}) == len(edits)
        before = mask.encode(known, dataset)
        for edit in edits:
            ((name, value),) = edit.items()
            assert known.get(name, ...) != value
            assert not torch.equal(mask.encode({**known, **edit}, dataset), before)
        for attribute in attributes[list(attributes)[dataset]]:
            offered = {edit[attribute.name] for edit in edits if attribute.name in edit}
            assert offered == {*attribute.allowed_values} - {None} - {known.get(attribute.name, ...)}


@pytest.mark.parametrize("attributes", [ONE, TWO, FIVE], ids=["one", "two", "five"])
def test_domain_index_inverts_domains(attributes: Mapping[str, Sequence[Attribute]]) -> None:
    mask = label_encoder(attributes)
    assert mask.domain_index(mask.domains).tolist() == list(range(len(mask.domains)))
    complete = [
        mask.encode(known, dataset)
        for known, dataset in possible_labels(attributes)
        if len(known) == len([*attributes.values()][dataset])
    ]
    assert {tuple(row.tolist()) for row in mask.domains} == {tuple(row.tolist()) for row in complete}
    partial = [
        mask.encode(known, dataset)
        for known, dataset in possible_labels(attributes)
        if len(known) < len([*attributes.values()][dataset])
    ]
    assert set(mask.domain_index(torch.stack(partial)).tolist()) == {-1}


def test_too_many_domains() -> None:
    with pytest.raises(ValueError, match="more than 4096"):
        _ = label_encoder({"many": [Attribute(str(dataset)) for dataset in range(13)]}).domains


def test_a_mask_per_attribute_distinguishes_unknown_from_no() -> None:
    mask = MaskVector(MaskVector.Config(masks="attribute"), attributes=TWO)
    assert list(mask.channel_names[mask.num_logits :]) == ["faces.hair?", "faces.Male?", "moods.mood?", "moods.Young?"]
    known, unknown = mask.encode({"hair": None, "Male": False}, 0), mask.encode({}, 0)
    assert mask.condition(known[None])[0, mask.num_logits :].tolist() == [1, 1, 0, 0]
    assert mask.condition(unknown[None])[0].tolist() == [0.0] * mask.condition_size
    single = MaskVector(MaskVector.Config(masks="attribute"), attributes=ONE)
    assert single.condition_size == single.num_logits + 3


def test_masks_none_has_no_mask_channels() -> None:
    mask = MaskVector(MaskVector.Config(masks="none"), attributes=TWO)
    assert mask.condition_size == mask.num_logits == len(mask.channel_names)
    assert mask.condition(mask.encode({"mood": "sad", "Young": True}, 1)[None]).shape == (1, mask.condition_size)


def test_unknown_as_no_by_hand() -> None:
    plain, naive = (MaskVector(MaskVector.Config(unknown=mode), attributes=TWO) for mode in ("ignore", "no"))
    label = plain.encode({"Male": True}, 0)[None]
    logits = torch.randn(1, plain.num_logits)
    male = list(plain.channel_names).index("faces.Male")
    others = [index for index in range(plain.num_logits) if index != male]
    extra = F.softplus(logits[:, others]).sum(1)
    torch.testing.assert_close(naive.loss(logits, label), plain.loss(logits, label) + extra)


def test_a_shared_attribute_has_one_channel_in_all_datasets() -> None:
    two = {"celeba": [HAIR, Attribute("Male")], "rafd": [Attribute("mood", ("happy", "sad")), Attribute("Male")]}
    mask = label_encoder(two, shared=["Male"])
    moods = ["rafd.mood=happy", "rafd.mood=sad"]
    assert list(mask.channel_names) == [
        *(f"celeba.hair={value}" for value in HAIR.values),
        "Male",
        *moods,
        "celeba?",
        "rafd?",
    ]
    labels = torch.stack([mask.encode({"Male": True}, 0), mask.encode({"Male": True, "mood": "sad"}, 1)])
    index = list(mask.channel_names).index("Male")
    assert mask.condition(labels)[:, index].tolist() == [1, 1]
    assert [mask.decode(label) for label in labels] == [{"Male": True}, {"mood": "sad", "Male": True}]
    logits = torch.zeros(2, mask.num_logits)
    expected = [F.softplus(torch.tensor(0.0)), F.softplus(torch.tensor(0.0)) + torch.tensor(2.0).log()]
    assert mask.loss(logits, labels).tolist() == pytest.approx([float(value) for value in expected])
    unknown = torch.stack([mask.encode({}, 0), mask.encode({}, 1)])
    logits[:, index] = 3.0
    assert [mask.decode(label)["Male"] for label in mask.infer(logits, unknown)] == [True, True]
    assert "mood" not in mask.decode(mask.infer(logits, unknown)[0])
    cases = mask.domains
    assert mask.domain_index(cases).tolist() == list(range(len(cases)))
    assert list(label_encoder(two, shared=["Male"], masks="attribute").channel_names)[-3:] == [
        "celeba.hair?",
        "Male?",
        "rafd.mood?",
    ]


@pytest.mark.parametrize(
    ("shared", "message"),
    [("hair", "shared: .*'hair'"), ("Young", "shared: .*'Young'.*hair, mood"), ("mood", "shared: .*'mood'")],
)
def test_invalid_shared_attributes_are_refused(shared: str, message: str) -> None:
    two = {"a": [HAIR, Attribute("mood", ("happy",))], "b": [Attribute("mood", ("sad",))]}
    with pytest.raises(ValueError, match=message):
        label_encoder(two, shared=[shared])
