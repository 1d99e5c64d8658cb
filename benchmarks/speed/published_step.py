"""The published training step, written out plainly: the reference of all speed-ups.

From the paper (Choi et al. 2018, sections 3.1 and 3.2, appendix) and what is known of the released code: three separate
passes of the discriminator over real, translated and interpolated images; the generator with its graph in updates of
the discriminator, which do not use it; double backward of autograd for the gradient penalty; unfused Adam with a step
for each tensor; float32. It uses nothing of mdtranslate but the weights that a benchmark copies in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CYCLE_WEIGHT, CLASSIFICATION_WEIGHT, PENALTY_WEIGHT = 10.0, 1.0, 10.0


def _instance_norm(channels: int) -> nn.InstanceNorm2d:
    # With running statistics, as released: they are updated, but never used in training mode.
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _instance_norm(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _instance_norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = x + self.main(x)
        return output


class Generator(nn.Module):
    """The generator of the appendix, table 4: the target label is repeated as channels beside the image."""

    def __init__(self, num_labels: int, channels: int = 64, blocks: int = 6) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3 + num_labels, channels, 7, padding=3, bias=False),
            _instance_norm(channels),
            nn.ReLU(True),
        ]
        for _ in range(2):
            down = nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, bias=False)
            channels *= 2
            layers += [down, _instance_norm(channels), nn.ReLU(True)]
        layers += [_ResidualBlock(channels) for _ in range(blocks)]
        for _ in range(2):
            up = nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False)
            channels //= 2
            layers += [up, _instance_norm(channels), nn.ReLU(True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(channels, 3, 7, padding=3, bias=False), nn.Tanh())

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Translates images `(B, 3, S, S)` in [-1, 1] to labels `(B, L)`."""
        label_channels = label[:, :, None, None].repeat(1, 1, *image.shape[2:])
        fake: Tensor = self.main(torch.cat([image, label_channels], 1))
        return fake


class Discriminator(nn.Module):
    """The discriminator of the appendix, table 5: scores of patches, and logits of the labels."""

    def __init__(self, size: int, num_labels: int, channels: int = 64, layers: int = 6) -> None:
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
        for _ in range(layers - 1):
            modules += [nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            channels *= 2
        self.main = nn.Sequential(*modules)
        self.conv1 = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, num_labels, size // 2**layers, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the score map and logits `(B, L)` of images `(B, 3, S, S)`."""
        features = self.main(image)
        return self.conv1(features), self.conv2(features).flatten(1)


@dataclass
class PublishedModel:
    """Both networks, their optimizers and the two updates.

    Attributes:
        generator: Generator, called with images and target labels.
        discriminator: Discriminator, which returns scores and logits.
    """

    generator: nn.Module
    discriminator: nn.Module

    def __post_init__(self) -> None:
        self._generator_optimizer = self._create_adam(self.generator)
        self._discriminator_optimizer = self._create_adam(self.discriminator)

    @staticmethod
    def _create_adam(network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), 1e-4, (0.5, 0.999), foreach=False)

    def update_discriminator(self, real: Tensor, source: Tensor, target: Tensor, mix: Tensor) -> dict[str, Tensor]:
        """Updates the discriminator (equation 5).

        Args:
            real: Images of shape `(B, 3, S, S)` in [-1, 1].
            source: Binary labels of the images, `(B, L)`.
            target: Binary labels to translate to, `(B, L)`.
            mix: Weight of the real image in each interpolation of the gradient penalty, `(B,)`.

        Returns:
            The terms of the loss.
        """
        score, logits = self.discriminator(real)
        classification = F.binary_cross_entropy_with_logits(logits, source, reduction="sum") / len(real)
        distance = -score.mean()
        fake = self.generator(real, target)
        distance = distance + self.discriminator(fake.detach())[0].mean()
        weight = mix[:, None, None, None]
        interpolated = (weight * real + (1 - weight) * fake).detach().requires_grad_()
        score, _ = self.discriminator(interpolated)
        (gradient,) = torch.autograd.grad(
            score, interpolated, torch.ones_like(score), retain_graph=True, create_graph=True
        )
        penalty = ((gradient.flatten(1).square().sum(1).sqrt() - 1) ** 2).mean()
        self._zero_grad()
        (distance + CLASSIFICATION_WEIGHT * classification + PENALTY_WEIGHT * penalty).backward()
        self._discriminator_optimizer.step()
        return {"distance": distance, "classification": classification, "penalty": PENALTY_WEIGHT * penalty}

    def update_generator(self, real: Tensor, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Updates the generator (equation 6); see `update_discriminator`."""
        fake = self.generator(real, target)
        score, logits = self.discriminator(fake)
        classification = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(real)
        cycle = (real - self.generator(fake, source)).abs().mean()
        self._zero_grad()
        (-score.mean() + CLASSIFICATION_WEIGHT * classification + CYCLE_WEIGHT * cycle).backward()
        self._generator_optimizer.step()
        return {"realism": -score.mean(), "classification": classification, "cycle": cycle}

    def _zero_grad(self) -> None:
        self._generator_optimizer.zero_grad()
        self._discriminator_optimizer.zero_grad()
