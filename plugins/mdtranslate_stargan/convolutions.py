"""4 × 4 convolutions with stride 2 and padding 1, and their transposes, computed in the faster way on CPUs."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

MAX_MATMUL_POSITIONS = 16
"""Largest number of positions in a feature map for which a matrix product is used on CPUs.

Convolutions to such small maps are bound by reading their weights.
"""


def final_map_size(image_size: int, layers: int) -> int:
    """Returns the height and width of an image's feature map after a number of strided convolutions.

    Raises:
        ValueError: The image cannot be halved that often.
    """
    size: int = image_size // 2**layers
    if not size or size * 2**layers != image_size:
        raise ValueError(f"{layers} layers need an image_size that is a multiple of {2**layers}")
    return size


def conv4x4_stride2(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Applies a strided convolution, to small maps on CPUs as a matrix product.

    Args:
        x: Features of shape `(B, C, H, W)`.
        convolution: A convolution of kernel size 4, stride 2 and padding 1, with C input channels.

    Returns:
        Features of shape `(B, C', H / 2, W / 2)`.
    """
    height, width = x.shape[2] // 2, x.shape[3] // 2
    if not _use_matmul(x, height, width):
        return F.conv2d(x, convolution.weight, convolution.bias, stride=2, padding=1)
    patches = F.unfold(x, 4, padding=1, stride=2).transpose(1, 2)
    features = F.linear(patches, convolution.weight.flatten(1), convolution.bias)
    return features.transpose(1, 2).reshape(len(x), -1, height, width)


def conv4x4_stride2_transposed(gradient: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Propagates a gradient back through `conv4x4_stride2`.

    Args:
        gradient: Gradient of its output, `(B, C', H, W)`.
        convolution: The convolution.

    Returns:
        Gradient of its input, `(B, C, 2H, 2W)`.
    """
    height, width = gradient.shape[2:]
    if not _use_matmul(gradient, height, width):
        return F.conv_transpose2d(gradient, convolution.weight, stride=2, padding=1)
    patches = F.linear(gradient.flatten(2).transpose(1, 2), convolution.weight.flatten(1).T)
    return F.fold(patches.transpose(1, 2), (2 * height, 2 * width), 4, padding=1, stride=2)


def _use_matmul(x: Tensor, height: int, width: int) -> bool:
    return x.device.type == "cpu" and height * width <= MAX_MATMUL_POSITIONS
