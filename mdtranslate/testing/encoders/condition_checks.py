"""Checks of what networks and losses see of labels: conditions, classification losses, inferred labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mdtranslate.api import LabelEncoder, Value
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.encoders.encoder_case import ENCODER, EncoderCase, random_logits
from mdtranslate.testing.sample_components import GLASSES, HAIR, all_labels


@ENCODER.check
def separates_datasets(case: EncoderCase) -> str | None:
    """Attributes of the same name in two datasets have different conditions, unless `shared_attributes` has the name.

    Two datasets may define young differently.
    """
    label_encoder = case.for_two_datasets
    conditions = [label_encoder.condition(label_encoder.encode({"Young": True}, index)[None]) for index in (0, 1)]
    if "Young" in label_encoder.shared_attributes:
        raise NotApplicable("it shares attributes of the same name")
    return "the condition of Young is the same in both" if torch.equal(*conditions) else None


@ENCODER.prerequisite
def conditions_are_vectors(case: EncoderCase) -> str | None:
    """`condition` returns float32 (B, condition_size) without NaN or infinity.

    It is the input of networks.
    """
    for label_encoder in case.label_encoders:
        labels = all_labels(label_encoder)
        conditions = label_encoder.condition(labels)
        has_shape = conditions.shape == (len(labels), label_encoder.condition_size)
        if conditions.dtype != torch.float32 or not has_shape or not conditions.isfinite().all():
            return (
                f"{conditions.dtype} {list(conditions.shape)} for {len(labels)} labels "
                f"and condition_size {label_encoder.condition_size}"
            )
    return None


@ENCODER.check
def domains_have_distinct_conditions(case: EncoderCase) -> str | None:
    """No two domains have the same condition.

    Otherwise a generator cannot distinguish them.
    """
    for label_encoder in case.label_encoders:
        domains = label_encoder.domains
        conditions = label_encoder.condition(domains)
        for first in range(len(conditions)):
            for second in range(first):
                if torch.equal(conditions[first], conditions[second]):
                    return f"{label_encoder.decode(domains[second])} and {label_encoder.decode(domains[first])}"
    return None


@ENCODER.check
def conditions_are_independent(case: EncoderCase) -> str | None:
    """The condition of a label is the same alone and in a batch, and `condition` does not modify labels.

    Batches are split into micro-batches and over processes.
    """
    for label_encoder in case.label_encoders:
        labels = all_labels(label_encoder)
        before = labels.clone()
        one_by_one = torch.cat([label_encoder.condition(label[None]) for label in labels])
        if not torch.equal(label_encoder.condition(labels), one_by_one):
            return "other conditions in a batch"
        if not torch.equal(labels, before):
            return "the labels were modified"
    return None


@ENCODER.check
def losses_are_per_sample(case: EncoderCase) -> str | None:
    """`loss` returns a finite value of at least 0 for each sample, (B,), the same alone and in a batch.

    The trainer averages over samples, so that gradients do not depend on how batches are split.
    """
    for label_encoder in case.label_encoders:
        labels = all_labels(label_encoder)
        logits = random_logits(len(labels), label_encoder.num_logits)
        losses = label_encoder.loss(logits, labels)
        if losses.shape != (len(labels),):
            return f"{list(losses.shape)} for {len(labels)} samples"
        rows = [slice(index, index + 1) for index in range(len(labels))]
        one_by_one = torch.cat([label_encoder.loss(logits[row], labels[row]) for row in rows])
        if not torch.allclose(losses, one_by_one, atol=1e-6):
            return "other values in a batch"
        if not losses.isfinite().all() or (losses < 0).any():
            return f"values from {losses.min().item()} to {losses.max().item()}"
    return None


@ENCODER.check
def unknown_labels_have_no_loss(case: EncoderCase) -> str | None:
    """`loss` is 0 and has no gradient for a sample whose attributes are all unknown.

    Unknown attributes must not be learned as absent.
    """
    for label_encoder in case.label_encoders:
        for dataset in range(len(label_encoder.attributes)):
            logits = random_logits(3, label_encoder.num_logits).requires_grad_()
            losses = label_encoder.loss(logits, label_encoder.encode({}, dataset).repeat(3, 1))
            if losses.abs().max() > 0:
                return f"{losses.tolist()}"
            if losses.requires_grad and torch.autograd.grad(losses.sum(), logits)[0].abs().max() > 0:
                return "0, with a gradient"
    return None


@ENCODER.check
def unknown_attributes_have_no_gradient(case: EncoderCase) -> str | None:
    """With unknown attributes, fewer logits have a gradient of `loss` than with all attributes known.

    Unknown attributes must not be learned as absent.
    """
    label_encoder = case.for_one_dataset
    all_indices = _logits_with_gradient(label_encoder, {HAIR.name: "Blond_Hair", GLASSES.name: True})
    for values in ({HAIR.name: "Blond_Hair"}, {GLASSES.name: True}):
        indices = _logits_with_gradient(label_encoder, values)
        if not indices < all_indices:
            return f"logits {sorted(indices)} of {sorted(all_indices)} if only {values} is known"
    return None


@ENCODER.check
def loss_and_inference_agree(case: EncoderCase) -> str | None:
    """From logits that minimise `loss` for a label, `infer` returns the same label.

    The discriminator is trained with `loss`, and its logits are then read by `infer`.
    """
    for label_encoder in case.label_encoders:
        labels = all_labels(label_encoder, fully_known=True)
        logits = random_logits(len(labels), label_encoder.num_logits).requires_grad_()
        for _ in range(200):
            (gradient,) = torch.autograd.grad(label_encoder.loss(logits, labels).sum(), logits)
            logits = (logits - gradient).detach().requires_grad_()
        datasets = label_encoder.dataset_index(labels).tolist()
        unknown = torch.stack([label_encoder.encode({}, dataset) for dataset in datasets])
        for label, inferred in zip(labels, label_encoder.infer(logits.detach(), unknown), strict=True):
            if label_encoder.decode(label) != label_encoder.decode(inferred):
                return f"{label_encoder.decode(inferred)} for {label_encoder.decode(label)}"
    return None


@ENCODER.check
def infers_only_unknown_attributes(case: EncoderCase) -> str | None:
    """`infer` keeps known attributes, and gives every other attribute of the dataset an allowed value.

    Known source labels take precedence over predictions of a network.
    """
    for label_encoder in case.label_encoders:
        labels = all_labels(label_encoder)
        inferred_labels = label_encoder.infer(random_logits(len(labels), label_encoder.num_logits), labels)
        for label, inferred_label in zip(labels, inferred_labels, strict=True):
            known, inferred = label_encoder.decode(label), label_encoder.decode(inferred_label)
            attributes = label_encoder.attributes[int(label_encoder.dataset_index(label[None])[0])]
            if any(inferred.get(name) != value for name, value in known.items()):
                return f"{known} became {inferred}"
            if not all(
                attribute.name in inferred and inferred[attribute.name] in attribute.allowed_values
                for attribute in attributes
            ):
                return f"{inferred}, for the attributes {', '.join(attribute.name for attribute in attributes)}"
    return None


def _logits_with_gradient(label_encoder: LabelEncoder, values: Mapping[str, Value]) -> set[int]:
    """Returns the indices of logits on which the loss depends."""
    logits = random_logits(1, label_encoder.num_logits).requires_grad_()
    label = label_encoder.encode(values, 0)[None]
    (gradient,) = torch.autograd.grad(label_encoder.loss(logits, label).sum(), logits)
    return {index for index, value in enumerate(gradient[0].tolist()) if value}
