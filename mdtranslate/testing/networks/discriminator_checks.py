"""Checks of discriminators alone."""

from __future__ import annotations

import torch

from mdtranslate.api import Discriminator, DiscriminatorOutput
from mdtranslate.api.networks import Reduction
from mdtranslate.testing.checks import NotApplicable
from mdtranslate.testing.networks.network_case import (
    DISCRIMINATOR,
    NetworkCase,
    fixed_random_numbers,
    max_difference,
    params_without_gradient,
    perturbed,
)
from mdtranslate.testing.networks.network_checks import TOLERANCE, concatenated
from mdtranslate.testing.sample_components import random_images

Case = NetworkCase[Discriminator]


@DISCRIMINATOR.prerequisite
def returns_discriminator_output(case: Case) -> str | None:
    """`forward` returns a `DiscriminatorOutput` with finite scores (B, ...), and logits (B, num_logits) or None.

    Losses use its fields by name.
    """
    network = case.new_instance()
    with torch.no_grad(), fixed_random_numbers():
        output = network(case.real, case.target, case.real if network.requires_truth else None)
    if not isinstance(output, DiscriminatorOutput):
        return f"{type(output).__name__}"
    if len(output.score) != len(case.real) or not output.score.isfinite().all():
        return f"a score of shape {list(output.score.shape)}"
    if output.logits is None:
        return None
    num_logits = case.label_encoder.num_logits
    if output.logits.shape == (len(case.real), num_logits) and output.logits.isfinite().all():
        return None
    return f"logits of shape {list(output.logits.shape)}, and num_logits is {num_logits}"


@DISCRIMINATOR.check
def depends_on_the_image(case: Case) -> str | None:
    """Different images have different outputs.

    Otherwise the discriminator is useless.
    """
    network = perturbed(case.new_instance().eval())
    label = case.target[:1].expand(len(case.real), -1)
    with torch.no_grad():
        outputs = concatenated(network(case.real, label, case.real if network.requires_truth else None))
    is_equal = any(max_difference(outputs[0], output) == 0 for output in outputs[1:])
    return "two images have the same output" if is_equal else None


@DISCRIMINATOR.check
def is_batch_independent_is_correct(case: Case) -> str | None:
    """With `is_batch_independent = True`, the output for a sample is the same alone and in a batch, also in training.

    Real and fake images are then scored in one forward pass, which batch statistics would mix.
    """
    network = perturbed(case.new_instance())
    if not network.is_batch_independent:
        raise NotApplicable("is_batch_independent is False")
    if network.is_stochastic:
        network.eval()  # In training, its random numbers differ between passes.
    source_image = case.real if network.requires_truth else None
    with torch.no_grad():
        output = concatenated(network(case.real, case.target, source_image))
        rows = [slice(index, index + 1) for index in range(len(case.real))]
        one_by_one = [
            concatenated(network(case.real[row], case.target[row], None if source_image is None else source_image[row]))
            for row in rows
        ]
    difference = max_difference(output, torch.cat(one_by_one))
    return f"outputs differ by {difference:.3g}" if difference > TOLERANCE else None


@DISCRIMINATOR.check
def gradients_reach_all_parameters(case: Case) -> str | None:
    """For images of all domains, each parameter has a gradient of the score or the logits that is not 0.

    A parameter without gradient is never trained.
    """
    network = perturbed(case.new_instance())
    domains = case.label_encoder.domains
    real = random_images(len(domains), case.size)
    with fixed_random_numbers():
        output = concatenated(network(real, domains, real if network.requires_truth else None))
    names = params_without_gradient(network, (output * torch.linspace(0.5, 1.5, output.shape[1])).sum())
    return f"{len(names)} without gradient, such as {names[0]}" if names else None


@DISCRIMINATOR.check
def gradients_reach_the_image(case: Case) -> str | None:
    """The score has a gradient with respect to the image.

    The generator is trained through it.
    """
    network = case.new_instance()
    real = case.real.clone().requires_grad_()
    with fixed_random_numbers():
        score = network(real, case.target, case.real if network.requires_truth else None).score
    if not score.requires_grad:
        return "none"
    (gradient,) = torch.autograd.grad(score.square().sum(), real)
    return None if gradient.isfinite().all() and gradient.any() else "0, or not finite"


@DISCRIMINATOR.check
def input_gradient_matches_autograd(case: Case) -> str | None:
    """`input_gradient` returns the gradient of each image's mean score, or sum of scores, with respect to the image.

    Gradient penalties use it, so an override must give the same as autograd.
    """
    network = case.new_instance()
    source_image = case.real if network.requires_truth else None
    reductions: tuple[Reduction, ...] = ("mean", "sum")
    for reduction in reductions:
        arguments = case.real, case.target, source_image
        with fixed_random_numbers():
            gradient = network.input_gradient(*arguments, reduction=reduction)
        with fixed_random_numbers():
            expected = Discriminator.input_gradient(network, *arguments, reduction=reduction)
        if gradient.shape != expected.shape:
            return f"shape {list(gradient.shape)}"
        if max_difference(gradient, expected) > TOLERANCE * max(1.0, float(expected.detach().abs().max())):
            return f"gradients differ by {max_difference(gradient, expected):.3g}"
    return None


@DISCRIMINATOR.check
def penalties_have_gradients(case: Case) -> str | None:
    """A penalty on `input_gradient` has the same gradients with respect to the parameters as through autograd.

    An input gradient without a graph makes a penalty that has no effect, and no error is raised.
    """
    network = case.new_instance()
    source_image = case.real if network.requires_truth else None
    params = [param for param in network.parameters() if param.requires_grad]
    gradients = []
    for input_gradient in (type(network).input_gradient, Discriminator.input_gradient):
        with fixed_random_numbers():
            gradient = input_gradient(network, case.real, case.target, source_image)
        penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        if not penalty.requires_grad:
            return "no gradient"
        gradients.append(torch.autograd.grad(penalty, params, allow_unused=True, materialize_grads=True))
    for actual, expected in zip(*gradients, strict=True):
        if max_difference(actual, expected) > 1e-3 * max(1.0, float(expected.abs().max())):
            return f"gradients differ by {max_difference(actual, expected):.3g}"
    return None


@DISCRIMINATOR.check
def requires_truth_is_correct(case: Case) -> str | None:
    """Without `requires_truth = True`, it works on images without their source images.

    Only paired data provides source images for real images.
    """
    network = case.new_instance().eval()
    if network.requires_truth:
        raise NotApplicable("it requires pairs of images")
    with torch.no_grad():
        network(case.real, case.target)
    return None


@DISCRIMINATOR.check
def accepts_source_images(case: Case) -> str | None:
    """`forward` accepts `source_image`, whether it uses it or not.

    The trainer passes it to every discriminator.
    """
    network = case.new_instance().eval()
    with torch.no_grad():
        output = network(case.real, case.target, case.real.flip(0))
    return None if len(output.score) == len(case.real) else f"{list(output.score.shape)}"
