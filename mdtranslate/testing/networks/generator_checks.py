"""Checks of generators alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mdtranslate.api import Generator
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.networks.network_case import (
    GENERATOR,
    NetworkCase,
    fixed_random_numbers,
    max_difference,
    params_without_gradient,
    perturbed,
)
from mdtranslate.testing.networks.network_checks import TOLERANCE, run
from mdtranslate.testing.sample_components import random_images

Case = NetworkCase[Generator]
MIN_DIFFERENCE = 1e-4
"""Difference that another image or target must make with perturbed initial weights, on the scale of [-1, 1].

Where normalisation removes spatially constant labels again, rounding alone causes 1e-5."""


@GENERATOR.prerequisite
def returns_images(case: Case) -> str | None:
    """For images (B, 3, S, S), `forward` returns images of the same shape and dtype, finite and in [-1, 1].

    Losses and file output rely on it.
    """
    with torch.no_grad(), fixed_random_numbers():
        fake = run(case.new_instance(), case)
    if fake.shape != case.real.shape or fake.dtype != case.real.dtype:
        return f"{fake.dtype} {list(fake.shape)}"
    if not fake.isfinite().all() or fake.abs().max() > 1:
        return f"values from {float(fake.min()):.3g} to {float(fake.max()):.3g}"
    return None


@GENERATOR.check
def accepts_other_sizes(case: Case) -> str | None:
    """Images of other sizes, also not square, keep their size if height and width are multiples of `size_multiple`.

    `translate --size native` pads images to such sizes.
    """
    network = case.new_instance().eval()
    step = network.size_multiple
    with torch.no_grad():
        for height, width in ((case.size + step, case.size), (2 * case.size, case.size + step)):
            real = torch.nn.functional.interpolate(case.real, (height, width))
            fake = network(real, case.source, case.target)
            if fake.shape != real.shape:
                return f"{list(fake.shape)} for {list(real.shape)}"
    return None


@GENERATOR.check
def size_multiple_is_valid(case: Case) -> str | None:
    """`size_multiple` is an integer above 0 that divides the training size.

    Images are padded to multiples of it.
    """
    multiple = case.network.size_multiple
    return None if type(multiple) is int and multiple > 0 and case.size % multiple == 0 else repr(multiple)


@GENERATOR.check
def required_labels_is_valid(case: Case) -> str | None:
    """`required_labels` is "all", "changed" or "none".

    It determines which source attributes a translation must infer.
    """
    required_labels = case.network.required_labels
    return None if required_labels in ("all", "changed", "none") else repr(required_labels)


@GENERATOR.check
def depends_on_the_target(case: Case) -> str | None:
    """Different targets give different images, unless `is_conditional = False`.

    A generator that ignores the target has one translation of each image.
    """
    if not case.network.is_conditional:
        raise NotApplicable("is_conditional is False")
    images = _translate_to_all_domains(case)
    difference = min(
        max_difference(images[first], images[second]) for first in range(len(images)) for second in range(first)
    )
    return f"images of two targets differ by {difference:.1g}" if difference < MIN_DIFFERENCE else None


@GENERATOR.check
def is_conditional_is_correct(case: Case) -> str | None:
    """With `is_conditional = False`, all targets give the same image.

    Recipes rely on the declaration.
    """
    if case.network.is_conditional:
        raise NotApplicable("is_conditional is True")
    images = _translate_to_all_domains(case)
    difference = max(max_difference(images[0], image) for image in images)
    return f"images of two targets differ by {difference:.1g}" if difference > 0 else None


@GENERATOR.check
def depends_on_the_image(case: Case) -> str | None:
    """Different images have different translations.

    A generator that ignores its input returns one image for each target.
    """
    with torch.no_grad():
        fake = run(perturbed(case.new_instance().eval()), case)
    is_equal = any(max_difference(fake[0], image) < MIN_DIFFERENCE for image in fake[1:])
    return "two images have the same translation" if is_equal else None


@GENERATOR.check
def gradients_reach_all_parameters(case: Case) -> str | None:
    """For images of all domains, each parameter has a gradient that is not 0.

    A parameter without gradient is never trained.
    """
    network = perturbed(case.new_instance())
    domains = case.label_encoder.domains
    source, target = domains.repeat_interleave(len(domains), 0), domains.repeat(len(domains), 1)
    real = random_images(len(source), case.size)
    with fixed_random_numbers():
        weighted = network(real, source, target) * torch.linspace(0.5, 1.5, case.size)
        names = params_without_gradient(network, weighted.square().mean())
    return f"{len(names)} without gradient, such as {names[0]}" if names else None


@GENERATOR.check
def gradients_reach_the_image(case: Case) -> str | None:
    """The translation has a gradient with respect to the image.

    The cycle-consistency loss passes through the generator twice.
    """
    real = case.real.clone().requires_grad_()
    with fixed_random_numbers():
        fake = run(case.new_instance(), case, image=real)
    if not fake.requires_grad:
        return "none"
    (gradient,) = torch.autograd.grad(fake.square().sum(), real)
    return None if gradient.isfinite().all() and gradient.any() else "0, or not finite"


@GENERATOR.check
def training_mode_equals_evaluation_mode(case: Case) -> str | None:
    """The output in training mode equals that in evaluation mode, unless `is_stochastic = True`.

    With running statistics, a trained generator would return other images than those that the losses saw.
    """
    network = perturbed(case.new_instance())
    if network.is_stochastic:
        raise NotApplicable("is_stochastic is True")
    with torch.no_grad():
        difference = max_difference(run(network.train(), case), run(network.eval(), case))
    return f"outputs differ by {difference:.3g}" if difference > TOLERANCE else None


@GENERATOR.check
def can_be_exported(case: Case) -> str | None:
    """`torch.export` captures it with the same output; banks are exempt.

    `mdtranslate export` uses it.
    """
    case.require_single_network()
    network = perturbed(case.new_instance().eval())
    with torch.no_grad():
        expected = run(network, case)
        exported: Any = torch.export.export(network, (case.real, case.source, case.target)).module()
        output = exported(case.real, case.source, case.target)
    difference = max_difference(expected, output)
    return f"outputs differ by {difference:.3g}" if difference > TOLERANCE else None


@GENERATOR.check
def style_code_is_valid(case: Case) -> str | None:
    """`style_code` returns None, or finite codes (B, ...) that `forward` accepts, the same for the same arguments.

    An image keeps its style when it is translated back.
    """
    network = case.new_instance().eval()
    noise = torch.randn(len(case.target), 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = network.style_code(case.target, noise), network.style_code(case.target, noise)
    if first is None or second is None:
        return None if first is second else "None only one of two times"
    if len(first) != len(case.target) or not first.isfinite().all():
        return f"{list(first.shape)}"
    with torch.no_grad():
        fake = network(case.real, case.source, case.target, first)
    if fake.shape != case.real.shape:
        return f"images of shape {list(fake.shape)} with a style code"
    return None if torch.equal(first, second) else "another code the second time"


@GENERATOR.check
def network_count_is_valid(case: Case) -> str | None:
    """`network_count` is an integer above 0: the number of networks that are trained independently, mostly 1.

    Benchmarks plan their budgets with it before anything is built.
    """
    count = case.component.network_count(case.config, case.label_encoder)
    return None if type(count) is int and count > 0 else repr(count)


def _translate_to_all_domains(case: Case) -> list[Tensor]:
    """Translates one image from the first domain to each of the others, in evaluation mode."""
    network = perturbed(case.new_instance().eval())
    domains = case.label_encoder.domains
    with torch.no_grad():
        return [network(case.real[:1], domains[:1], target[None]) for target in domains[1:]]
