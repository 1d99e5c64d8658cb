"""The published training step, written out plainly: what every figure of speed is a ratio to.

From the paper (Choi et al. 2018, sections 3.1 and 3.2, appendix) and what is known of the released code: three separate
passes of the discriminator over real, translated and mixed pictures; the generator run with its graph in updates of the
discriminator that throw it away; autograd's double backward for the penalty; unfused Adam, a step for each tensor;
float32. Nothing of mdtranslate is used here but the weights that a measurement copies in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CYCLE, CLASSIFICATION, PENALTY = 10.0, 1.0, 10.0


def _normed(channels: int) -> nn.InstanceNorm2d:
    # With running statistics, as released: they are kept, and never used while it trains.
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _normed(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _normed(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        carried: Tensor = x + self.main(x)
        return carried


class Generator(nn.Module):
    """Appendix, table 4: the target's label as planes beside the picture."""

    def __init__(self, labels: int, wide: int = 64, blocks: int = 6) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3 + labels, wide, 7, padding=3, bias=False), _normed(wide), nn.ReLU(True)]
        for _ in range(2):
            layers += [nn.Conv2d(wide, 2 * wide, 4, stride=2, padding=1, bias=False), _normed(2 * wide), nn.ReLU(True)]
            wide *= 2
        layers += [_Residual(wide) for _ in range(blocks)]
        for _ in range(2):
            up = nn.ConvTranspose2d(wide, wide // 2, 4, stride=2, padding=1, bias=False)
            layers += [up, _normed(wide // 2), nn.ReLU(True)]
            wide //= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(wide, 3, 7, padding=3, bias=False), nn.Tanh())

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        planes = label[:, :, None, None].repeat(1, 1, *image.shape[2:])
        made: Tensor = self.main(torch.cat([image, planes], 1))
        return made


class Discriminator(nn.Module):
    """Appendix, table 5: scores of patches, and the domain's logits."""

    def __init__(self, size: int, labels: int, wide: int = 64, layers: int = 6) -> None:
        super().__init__()
        found: list[nn.Module] = [nn.Conv2d(3, wide, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
        for _ in range(layers - 1):
            found += [nn.Conv2d(wide, 2 * wide, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            wide *= 2
        self.main = nn.Sequential(*found)
        self.conv1 = nn.Conv2d(wide, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(wide, labels, size // 2**layers, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.main(image)
        return self.conv1(features), self.conv2(features).flatten(1)


@dataclass
class Published:
    """Both networks, their optimizers and one step of them."""

    generator: nn.Module
    discriminator: nn.Module

    def __post_init__(self) -> None:
        self.of_generator = self._adam(self.generator)
        self.of_discriminator = self._adam(self.discriminator)

    @staticmethod
    def _adam(network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), 1e-4, (0.5, 0.999), foreach=False)

    def update_discriminator(self, real: Tensor, source: Tensor, target: Tensor, mix: Tensor) -> dict[str, Tensor]:
        """Equation 5. `source`, `target`: yes/no labels [B, L]; `mix` [B]: shares of the real picture."""
        score, logits = self.discriminator(real)
        classification = F.binary_cross_entropy_with_logits(logits, source, reduction="sum") / len(real)
        distance = -score.mean()
        fake = self.generator(real, target)
        distance = distance + self.discriminator(fake.detach())[0].mean()
        share = mix[:, None, None, None]
        between = (share * real + (1 - share) * fake).detach().requires_grad_()
        score, _ = self.discriminator(between)
        (slope,) = torch.autograd.grad(score, between, torch.ones_like(score), retain_graph=True, create_graph=True)
        penalty = ((slope.flatten(1).square().sum(1).sqrt() - 1) ** 2).mean()
        self._forget()
        (distance + CLASSIFICATION * classification + PENALTY * penalty).backward()
        self.of_discriminator.step()
        return {"distance": distance, "classification": classification, "penalty": PENALTY * penalty}

    def update_generator(self, real: Tensor, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Equation 6."""
        fake = self.generator(real, target)
        score, logits = self.discriminator(fake)
        classification = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(real)
        cycle = (real - self.generator(fake, source)).abs().mean()
        self._forget()
        (-score.mean() + CLASSIFICATION * classification + CYCLE * cycle).backward()
        self.of_generator.step()
        return {"realism": -score.mean(), "classification": classification, "cycle": cycle}

    def _forget(self) -> None:
        self.of_generator.zero_grad()
        self.of_discriminator.zero_grad()
