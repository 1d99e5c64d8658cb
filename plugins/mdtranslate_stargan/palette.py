"""An output layer that mixes the input, a generated image, and a palette of colours that is chosen for each image."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GENERATED_CHANNELS = 3
"""Channels of the generated image; the weights of all candidates follow."""

INITIAL_INPUT_SHARE = 0.73
"""Weight of the input in an untrained output, the same as of a blend whose mask starts at a bias of -1."""


class PaletteOutput(nn.Module):
    """Mixes candidates for each pixel with weights that add up to 1.

    The candidates are the input image, an image that the last convolution generates, and `colors` plain colours. Each
    colour is a blend of a predicted one and of the mean colour of a region of the input, such as the skin around
    glasses, and is the same for all pixels of an image. A region that takes a colour of the palette is therefore even,
    whereas generated pixels keep a faint noise for the whole of a short training.

    Mixing several images by predicted weights: Tang et al. 2019, "Multi-Channel Attention Selection GAN", equation 4.
    """

    def __init__(self, channels: int, colors: int, scale: int) -> None:
        """Initialises the layers.

        Args:
            channels: Channels of the features that colours are predicted from.
            colors: Number of colours.
            scale: Height and width of the image, divided by those of the features.
        """
        super().__init__()
        self.scale = scale
        self.region = nn.Conv2d(channels, colors, 1, bias=False)  # The softmax would ignore a bias.
        self.color = nn.Parameter(torch.randn(colors, channels, 4) / channels**0.5)
        self.color_bias = nn.Parameter(torch.zeros(colors, 4))
        self.input_channels = GENERATED_CHANNELS + 2 + colors

    def initialise(self, last: nn.Conv2d) -> None:
        """Initialises the last convolution, so that the input has the weight `INITIAL_INPUT_SHARE`."""
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        others = self.input_channels - GENERATED_CHANNELS - 1
        odds = INITIAL_INPUT_SHARE / (1 - INITIAL_INPUT_SHARE)
        nn.init.constant_(last.bias[GENERATED_CHANNELS : GENERATED_CHANNELS + 1], log(others * odds))

    def colors(self, features: Tensor, image: Tensor) -> Tensor:
        """Chooses the palette of each image.

        Args:
            features: Features of low resolution, `(B, C, H / scale, W / scale)`.
            image: Input images, `(B, 3, H, W)` in [-1, 1].

        Returns:
            Colours `(B, K, 3)` in [-1, 1].
        """
        region = self.region(features).flatten(2).softmax(2)
        small = F.avg_pool2d(image, self.scale).flatten(2)
        mean_color = torch.einsum("bkn,bcn->bkc", region, small.to(region.dtype))
        pooled = torch.einsum("bkn,bcn->bkc", region, features.flatten(2))
        raw = torch.einsum("bkc,kcd->bkd", pooled, self.color) + self.color_bias
        return torch.lerp(mean_color.to(raw.dtype), raw[..., :3].tanh(), raw[..., 3:].sigmoid())

    def forward(self, image: Tensor, raw: Tensor, colors: Tensor) -> Tensor:
        """Mixes the candidates.

        Args:
            image: Input images, `(B, 3, H, W)` in [-1, 1].
            raw: Output of the last convolution, `(B, input_channels, H, W)`.
            colors: The palette, `(B, K, 3)`.

        Returns:
            Images `(B, 3, H, W)` in [-1, 1], of the dtype of `image`.
        """
        raw, colors = raw.to(image.dtype), colors.to(image.dtype)  # Layers return another dtype under autocast.
        weights = raw[:, GENERATED_CHANNELS:].softmax(1)
        generated = raw[:, :GENERATED_CHANNELS].tanh()
        plain = torch.einsum("bkhw,bkc->bchw", weights[:, 2:], colors)
        mixed: Tensor = weights[:, :1] * image + weights[:, 1:2] * generated + plain
        return mixed
