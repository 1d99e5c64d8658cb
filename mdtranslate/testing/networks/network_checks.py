"""Checks that generators and discriminators have in common."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from mdtranslate.api import Discriminator
from mdtranslate.errors import RecipeError
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.component_checks import add_common_checks
from mdtranslate.testing.networks.network_case import (
    DISCRIMINATOR,
    GENERATOR,
    NetworkCase,
    fixed_random_numbers,
    max_difference,
    perturbed,
)
from mdtranslate.testing.sample_components import GLASSES, TWO_DATASETS, build_label_encoder, random_images
from mdtranslate.testing.side_effects import random_state

TOLERANCE = 1e-4
"""Difference of outputs that rounding may cause."""
BF16_TOLERANCE = 0.25
"""Difference of outputs that bfloat16 may cause, relative to the largest output."""


def run(network: Any, case: NetworkCase[Any], rows: slice = slice(None), image: Tensor | None = None) -> Tensor:
    """Runs a network of either kind on the images of a case.

    Args:
        network: The network.
        case: Images and labels.
        rows: The samples to run it on.
        image: Other images to use.

    Returns:
        The output as one tensor, see `concatenated`.
    """
    image = case.real[rows] if image is None else image
    if isinstance(network, Discriminator):
        source_image = case.real[rows] if network.requires_truth else None
        return concatenated(network(image, case.target[rows], source_image))
    return concatenated(network(image, case.source[rows], case.target[rows], None))  # The trainer passes None, too.


def concatenated(output: Any) -> Tensor:
    """Returns images as they are, and a discriminator's score and logits joined to a tensor `(B, N)`."""
    if isinstance(output, Tensor):
        return output
    parts = [part.flatten(1) if part.dim() > 1 else part[:, None] for part in output if part is not None]
    return torch.cat([part.float() for part in parts], 1)


def initial_weights_follow_the_seed(case: NetworkCase[Any]) -> str | None:
    """Two networks that are built with the same torch seed have the same weights, those with another seed differ.

    A run can be reproduced by its seed.
    """
    first, second, other_seed = (case.new_instance(seed).state_dict() for seed in (0, 0, 1))
    if not first:
        raise NotApplicable("it has no weights")
    if any(not torch.equal(first[name], second[name]) for name in first):
        return "different weights with the same seed"
    is_equal = all(torch.equal(first[name], other_seed[name]) for name in first)
    return "the same weights with another seed" if is_equal else None


def weights_survive_saving(case: NetworkCase[Any]) -> str | None:
    """A network that loads the state dict of another, by way of safetensors, gives the same output.

    Checkpoints and translators contain nothing else of a network.
    """
    network, restored = perturbed(case.new_instance(0).eval()), case.new_instance(1).eval()
    state = {name: tensor.clone().contiguous() for name, tensor in network.state_dict().items()}
    if not state:
        raise NotApplicable("it has no weights")
    restored.load_state_dict(load(save(state)))
    difference = max_difference(run(network, case), run(restored, case))
    return f"outputs differ by {difference:.3g}" if difference > 0 else None


def can_be_copied(case: NetworkCase[Any]) -> str | None:
    """A deep copy does not share weights with the original.

    The moving average of weights, which translators contain, is a copy.
    """
    network = case.new_instance().eval()
    copy = deepcopy(network)
    before = run(copy, case)
    with torch.no_grad():
        for param in network.parameters():
            param.add_(1.0)
    difference = max_difference(before, run(copy, case))
    return f"the copy's output changed by {difference:.3g} with the original's weights" if difference > 0 else None


def samples_are_independent(case: NetworkCase[Any]) -> str | None:
    """In evaluation mode, the output for a sample is the same alone and in a batch.

    The translation of an image must not depend on the images that are translated with it.
    """
    network = perturbed(case.new_instance().eval())
    with torch.no_grad():
        output = run(network, case)
        one_by_one = torch.cat([run(network, case, slice(index, index + 1)) for index in range(len(case.real))])
    difference = max_difference(output, one_by_one)
    return f"outputs differ by {difference:.3g}" if difference > TOLERANCE else None


def is_deterministic(case: NetworkCase[Any]) -> str | None:
    """In evaluation mode, the output is the same every time, and the state dict does not change.

    Translators are called repeatedly, and must give the images that were evaluated.
    """
    network = perturbed(case.new_instance().eval())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        difference = max_difference(run(network, case), run(network, case))
    if difference > 0:
        return f"outputs differ by {difference:.3g}"
    changed = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])]
    return f"{changed[0]} changed" if changed else None


def does_not_modify_its_input(case: NetworkCase[Any]) -> str | None:
    """`forward` does not modify images or labels.

    Other code uses them afterwards.
    """
    before = case.real.clone(), case.source.clone(), case.target.clone()
    with torch.no_grad(), fixed_random_numbers():
        run(case.new_instance(), case)
    is_equal = all(map(torch.equal, before, (case.real, case.source, case.target)))
    return None if is_equal else "they were modified"


def draws_no_random_numbers_in_eval(case: NetworkCase[Any]) -> str | None:
    """In evaluation mode, it does not change the state of the global random generators.

    An image must have one translation.
    """
    network = case.new_instance().eval()
    before = random_state()
    with torch.no_grad():
        run(network, case)
    return None if random_state() == before else "the state of random, numpy.random or torch changed"


def runs_in_bf16(case: NetworkCase[Any]) -> str | None:
    """Under autocast to bfloat16, outputs are finite and close to those of float32, and gradients are finite.

    `train.precision=bf16` runs it this way.
    """
    network = perturbed(case.new_instance())
    with fixed_random_numbers():
        exact = run(network, case)
    with fixed_random_numbers(), torch.autocast("cpu", torch.bfloat16):
        output = run(network, case).float()
    if not output.isfinite().all():
        return "outputs that are not finite"
    if max_difference(exact, output) > BF16_TOLERANCE * max(1.0, float(exact.detach().abs().max())):
        return f"outputs differ by {max_difference(exact, output):.3g}"
    if params := [param for param in network.parameters() if param.requires_grad]:
        gradients = torch.autograd.grad(output.square().mean(), params, allow_unused=True)
        if not all(gradient is None or gradient.isfinite().all() for gradient in gradients):
            return "gradients that are not finite"
    return None


def accepts_channels_last(case: NetworkCase[Any]) -> str | None:
    """Images in the memory format channels_last give the same output.

    On GPUs, images have this format.
    """
    network = perturbed(case.new_instance().eval())
    images = case.real.to(memory_format=torch.channels_last)
    with torch.no_grad():
        difference = max_difference(run(network, case), run(network, case, image=images))
    return f"outputs differ by {difference:.3g}" if difference > TOLERANCE else None


def compiles_to_one_graph(case: NetworkCase[Any]) -> str | None:
    """`torch.compile` captures it as one graph with the same output; banks are exempt.

    Otherwise `train.compile` and `translate --compile` run without compilation.
    """
    case.require_single_network()
    network = perturbed(case.new_instance().eval())
    with torch.no_grad():
        expected = run(network, case)
        compiled = torch.compile(lambda: run(network, case), fullgraph=True, backend="eager")
        torch._dynamo.reset()
        output = compiled()
        torch._dynamo.reset()
    difference = max_difference(expected, output)
    return f"outputs differ by {difference:.3g}" if difference > TOLERANCE else None


def supports_or_rejects_image_sizes(case: NetworkCase[Any]) -> str | None:
    """For images of 8, 64 and 100 pixels, it works, or its constructor raises `ValueError` with a reason.

    `data.image_size` is a setting of every recipe.
    """
    for size in (8, 64, 100):
        try:
            network = case.build(case.label_encoder, size)
        except (ValueError, RecipeError) as error:  # `Choice.build` turns ValueError into RecipeError.
            if not str(error).strip():
                return f"a ValueError without a message at {size} pixels"
            continue
        with torch.no_grad(), fixed_random_numbers():
            run(network, case, image=random_images(len(case.real), size))
    return None


def supports_any_labels(case: NetworkCase[Any]) -> str | None:
    """It can be built for, and runs on, labels of one yes/no attribute and labels of two datasets.

    A network must treat labels only through its label encoder: `condition_size`, `num_logits` and `condition`.
    """
    for attributes in ({"images": (GLASSES,)}, TWO_DATASETS):
        label_encoder = build_label_encoder(attributes)
        network = case.build(label_encoder, case.size).eval()
        for dataset in range(len(attributes)):
            domains = label_encoder.domains[label_encoder.dataset_index(label_encoder.domains) == dataset]
            source, target, real = domains[:2], domains.flip(0)[:2], case.real[:2]
            with torch.no_grad():
                if isinstance(network, Discriminator):
                    output = concatenated(network(real, target, real if network.requires_truth else None))
                else:
                    output = concatenated(network(real, source, target))
            if len(output) != 2:
                return f"{list(output.shape)} for two images"
    return None


CHECKS: tuple[Callable[[NetworkCase[Any]], str | None], ...] = (
    initial_weights_follow_the_seed,
    weights_survive_saving,
    can_be_copied,
    samples_are_independent,
    is_deterministic,
    does_not_modify_its_input,
    draws_no_random_numbers_in_eval,
    runs_in_bf16,
    accepts_channels_last,
    compiles_to_one_graph,
    supports_or_rejects_image_sizes,
    supports_any_labels,
)

for suite in (GENERATOR, DISCRIMINATOR):
    add_common_checks(suite)
    for check in CHECKS:
        suite.check(check)
