"""For each check of generators and of discriminators, one that breaks it."""

from __future__ import annotations

import random

import torch
from bad_settings import break_common_checks, subclass_factory
from torch import nn
from torch.nn import functional as F

from mdtranslate import DiscriminatorOutput
from mdtranslate.testing.sample_components import TinyDiscriminator, TinyGenerator


class GoodGenerator(TinyGenerator):
    """A generator that fulfils the contract."""

    name = "good-generator"


class GoodDiscriminator(TinyDiscriminator):
    """A discriminator that fulfils the contract."""

    name = "good-discriminator"


generator, discriminator = subclass_factory(GoodGenerator), subclass_factory(GoodDiscriminator)


def generator_forward(change):
    """Changes a generator's output: `change(self, image, target, output)`."""

    def forward(self, image, source, target, style_code=None):
        return change(self, image, target, GoodGenerator.forward(self, image, source, target, style_code))

    return generator(forward=forward)


def discriminator_forward(change):
    """Changes a discriminator's output: `change(self, image, label, output)`."""

    def forward(self, image, label, source_image=None):
        return change(self, image, label, GoodDiscriminator.forward(self, image, label, source_image))

    return discriminator(forward=forward)


def after_init(variant, good, change):
    """Changes a network after it is built."""

    def __init__(self, *args, **kwargs):
        good.__init__(self, *args, **kwargs)
        change(self)

    return variant(__init__=__init__)


def map_image(function):
    """Applies `function(self, image)` to a generator's output."""
    return generator_forward(lambda self, image, target, output: function(self, output))


def map_output(function):
    """Applies `function(self, tensor)` to the score and the logits of a discriminator."""
    return discriminator_forward(
        lambda self, image, label, output: DiscriminatorOutput(
            function(self, output.score), function(self, output.logits)
        )
    )


UNSEEDED = torch.Generator()
UNSEEDED.seed()


def _break_graph():
    torch._dynamo.graph_break()
    return 1.0


def _hidden_factor(good):
    class HiddenFactor(good):
        """Multiplies by a tensor that is not in the state dict."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.factor = torch.rand(())

        def forward(self, *args):
            output = super().forward(*args)
            if isinstance(output, torch.Tensor):
                return output * self.factor
            return DiscriminatorOutput(output.score * self.factor, output.logits)

    return HiddenFactor


def _shared_by_copies(good):
    class SharedByCopies(good):
        """Copies share weights with the original."""

        def __deepcopy__(self, memo):
            copy = type(self)(self.config, label_encoder=self.label_encoder, image_size=self.image_size)
            copy.first = self.first
            return copy

    return SharedByCopies


def _strided(good):
    class Strided(good):
        """Assumes that images are contiguous in memory."""

        def forward(self, image, *args):
            rows = torch.as_strided(image, (len(image), image[0].numel()), (image[0].numel(), 1))
            return super().forward(rows.reshape(image.shape), *args)

    return Strided


def _modifying(good):
    class Modifying(good):
        """Modifies its input images."""

        def forward(self, image, *args):
            with torch.no_grad():
                image.mul_(0.5)
            return super().forward(image, *args)

    return Modifying


def _without_message(good):
    class WithoutMessage(good):
        """Refuses a size without a message."""

        def __init__(self, config, *, label_encoder, image_size):
            if image_size == 100:
                raise ValueError
            super().__init__(config, label_encoder=label_encoder, image_size=image_size)

    return WithoutMessage


def _three_channels(good):
    class ThreeChannels(good):
        """Assumes conditions of three channels."""

        def forward(self, image, source, target=None, *args):
            F.linear(self.label_encoder.condition(source), torch.ones(1, 3))
            return super().forward(image, source, target, *args)

    return ThreeChannels


def break_shared_checks(good, variant, change):
    """Returns networks for the checks of both kinds; `change` is `map_image` or `map_output`."""
    return {
        **break_common_checks(good, variant),
        "initial_weights_follow_the_seed": after_init(
            variant, good, lambda self: nn.init.normal_(self.first.weight, generator=UNSEEDED)
        ),
        "samples_are_independent": change(lambda self, output: output - output.mean(0) * 0.5),
        "is_deterministic": change(lambda self, output: output * (1 - 1e-3 * random.random())),
        "draws_no_random_numbers_in_eval": change(lambda self, output: output + 0 * torch.rand(())),
        "runs_in_bf16": change(lambda self, output: output / 0 if torch.is_autocast_enabled("cpu") else output),
        "compiles_to_one_graph": change(lambda self, output: output * _break_graph()),
        "weights_survive_saving": _hidden_factor(good),
        "can_be_copied": _shared_by_copies(good),
        "accepts_channels_last": _strided(good),
        "does_not_modify_its_input": _modifying(good),
        "supports_or_rejects_image_sizes": _without_message(good),
        "supports_any_labels": _three_channels(good),
    }


class ZeroInitialised(GoodGenerator):
    """Uses batch statistics behind a last layer that is initialised with 0."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm = nn.BatchNorm2d(3)
        nn.init.zeros_(self.norm.weight)

    def forward(self, image, source, target, style_code=None):
        output = super().forward(image, source, target, style_code)
        mixed = self.norm(output) + self.norm.weight[:, None, None] * output.mean(0)
        return (image + mixed).clamp(-1, 1)


class FailsInForward(GoodGenerator):
    """Can be built for any size, but `forward` fails for some."""

    def forward(self, image, source, target, style_code=None):
        small = F.avg_pool2d(image, 8)
        return super().forward(image, source, target) * 0.9 + 0.1 * F.interpolate(small, scale_factor=8)


class RefusesStyleCodes(GoodGenerator):
    """Returns style codes that `forward` does not accept."""

    def style_code(self, target, noise):
        return noise[:, :2]

    def forward(self, image, source, target, style_code=None):
        assert style_code is None
        return super().forward(image, source, target)


class WithDropout(GoodDiscriminator):
    """Batch-independent, with dropout in training mode."""

    is_stochastic = True

    def forward(self, image, label, source_image=None):
        return super().forward(F.dropout2d(image, 0.5, self.training), label)


def _add_unused_layer(self):
    self.spare = nn.Linear(2, 2)


def _normalise_condition(self, image, target, output):
    # Instance normalisation removes a spatially constant condition, except for rounding.
    shift = self.shift(self.label_encoder.condition(target))[:, :, None, None]
    return self.last(F.instance_norm(self.first(image) + shift)).tanh()


def _input_gradient(change):
    def input_gradient(self, image, label, source_image=None, *, reduction="mean"):
        return change(GoodDiscriminator.input_gradient(self, image, label))

    return discriminator(input_gradient=input_gradient)


GENERATORS = {
    **break_shared_checks(GoodGenerator, generator, map_image),
    "training_mode_equals_evaluation_mode": map_image(lambda self, output: output if self.training else output * 0.5),
    "returns_images": map_image(lambda self, output: output * 3),
    "accepts_other_sizes": map_image(lambda self, output: output[..., :32, :32]),
    "size_multiple_is_valid": generator(size_multiple=0),
    "required_labels_is_valid": generator(required_labels="some"),
    "depends_on_the_target": generator_forward(_normalise_condition),
    "is_conditional_is_correct": generator(is_conditional=False),
    "depends_on_the_image": map_image(lambda self, output: output[:1].expand_as(output)),
    "gradients_reach_all_parameters": after_init(generator, GoodGenerator, _add_unused_layer),
    "gradients_reach_the_image": generator_forward(
        lambda self, image, target, output: GoodGenerator.forward(self, image.detach(), target, target)
    ),
    "can_be_exported": generator_forward(
        lambda self, image, target, output: output if float(output.max()) > -2 else image
    ),
    "style_code_is_valid": generator(style_code=lambda self, target, noise: torch.rand(len(target), 2)),
    "network_count_is_valid": generator(network_count=classmethod(lambda cls, config, label_encoder: 0)),
}
DISCRIMINATORS = {
    **break_shared_checks(GoodDiscriminator, discriminator, map_output),
    "returns_discriminator_output": discriminator_forward(lambda self, image, label, output: tuple(output)),
    "depends_on_the_image": map_output(lambda self, tensor: tensor * 0),
    "is_batch_independent_is_correct": map_output(lambda self, tensor: tensor - tensor.mean(0) * 0.5),
    "gradients_reach_all_parameters": after_init(discriminator, GoodDiscriminator, _add_unused_layer),
    "gradients_reach_the_image": discriminator_forward(
        lambda self, image, label, output: GoodDiscriminator.forward(self, image.detach(), label)
    ),
    "input_gradient_matches_autograd": _input_gradient(lambda gradient: gradient * 2),
    "penalties_have_gradients": _input_gradient(lambda gradient: gradient.detach()),
    "requires_truth_is_correct": discriminator(
        forward=lambda self, image, label, source_image=None: GoodDiscriminator.forward(
            self, image - source_image, label
        )
    ),
    "accepts_source_images": discriminator(
        forward=lambda self, image, label: GoodDiscriminator.forward(self, image, label)
    ),
}
