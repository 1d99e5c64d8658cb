"""CycleGAN's losses (Zhu et al. 2017, sections 3, 4 and 5.2); its cycle-consistency loss is the same as StarGAN's."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import LabelEncoder, Loss, Ramp, Terms, Translation, Value


class LeastSquares(Loss):
    """Least-squares adversarial loss (Mao et al. 2017) with a pool of earlier fake images (Zhu et al. 2017, section 4).

    - Discriminator: `real`, half the mean squared difference of the score map from 1 for real images; and `fake`, half
      the mean squared difference from 0 for fake images.
    - Generator: mean squared difference from 1 for fake images.

    With `pool_size`, the discriminator also sees earlier fake images (Shrivastava et al. 2017, section 2.3). There is
    one pool per attribute value. While it fills, fake images are used and stored; once it is full, each is exchanged
    for a random one of the pool with probability 1/2. A fake image belongs to the first value in which its target label
    differs from its source label. Images of the pool are scored without source images.
    """

    name = "lsgan"

    class Config(Loss.Config):
        """The weight, and the size of the pools."""

        pool_size: int = Field(
            0, ge=0, le=10_000, description="earlier fake images to keep per attribute value; 50 in CycleGAN, 0: none"
        )

    def __init__(self, config: Any, *, label_encoder: LabelEncoder, image_size: int) -> None:
        """Initialises empty pools, as buffers that are kept in checkpoints; see `Loss` for the arguments."""
        super().__init__(config, label_encoder=label_encoder, image_size=image_size)
        values = [
            (dataset, attribute.name, value)
            for dataset, labelled in enumerate(label_encoder.attributes)
            for attribute in labelled
            for value in attribute.allowed_values
        ]
        self.pool_index = {value: index for index, value in enumerate(values)}
        if config.pool_size:
            count = len(values)
            self.register_buffer("pool_images", torch.zeros(count, config.pool_size, 3, image_size, image_size))
            self.register_buffer("pool_counts", torch.zeros(count, dtype=torch.int64))

    def discriminator(self, t: Translation) -> Terms:
        """Computes the terms `real` and `fake`, each of shape `(B,)`."""
        fake_output = t.discriminate(self._sample_pool(t), t.target) if self.config.pool_size else t.fake_output
        return {
            "real": 0.5 * _squared_difference(t.real_output.score, 1.0),
            "fake": 0.5 * _squared_difference(fake_output.score, 0.0),
        }

    def generator(self, t: Translation) -> Terms:
        """Computes the term of the fake images, `(B,)`."""
        return _squared_difference(t.fake_output.score, 1.0)

    @torch.no_grad()
    def _sample_pool(self, t: Translation) -> Tensor:
        """Stores fake images `(B, 3, S, S)` in their pools; returns these or earlier ones."""
        images, pool_images, pool_counts = t.fake.detach().clone(), self.pool_images, self.pool_counts
        assert isinstance(pool_images, Tensor) and isinstance(pool_counts, Tensor)
        is_finite = images.flatten(1).isfinite().all(1).tolist()
        for row, (pool, uniform) in enumerate(zip(self._pools(t), t.random("pool").tolist(), strict=True)):
            count = int(pool_counts[pool])
            if not is_finite[row]:  # This step is skipped; stored, the image would spoil later steps, too.
                continue
            if count < self.config.pool_size:
                pool_images[pool, count] = images[row]
                pool_counts[pool] += 1
            elif uniform < 0.5:
                index = int(uniform * 2 * self.config.pool_size)
                earlier_image = pool_images[pool, index].clone()
                pool_images[pool, index] = images[row]
                images[row] = earlier_image
        return images

    def _pools(self, t: Translation) -> list[int]:
        """Returns the pool of each sample: that of the first value that changes, or of the first value if none does."""
        datasets = self.label_encoder.dataset_index(t.target).tolist()
        pools = []
        for dataset, source, target in zip(datasets, t.source.cpu(), t.target.cpu(), strict=True):
            old, new = self.label_encoder.decode(source), self.label_encoder.decode(target)
            changed: dict[str, Value] = {name: value for name, value in new.items() if (name, value) not in old.items()}
            name, value = next(iter((changed or new).items()))
            pools.append(self.pool_index[dataset, name, value])
        return pools


class Identity(Loss):
    """Identity loss (Zhu et al. 2017, section 5.2): an image that already has the target value should stay as it is.

    Mean absolute difference between the real image and its translation to its own label. Source and target labels of
    the batch are exchanged for it, so that a bank uses the generator that produces the image's own value.
    """

    name = "identity"

    class Config(Loss.Config):
        """The weight, by default as in the paper: half of the cycle-consistency loss's."""

        weight: float | Ramp = Field(5.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        """Computes the mean absolute difference per sample, `(B,)`."""
        return (t.generate(t.real, t.target, t.source) - t.real).abs().mean((1, 2, 3))


def _squared_difference(score: Tensor, target: float) -> Tensor:
    """Returns the mean squared difference of scores `(B, ...)` from `target`, `(B,)`."""
    return (score.reshape(len(score), -1) - target).square().mean(1)
