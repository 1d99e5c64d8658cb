"""CycleGAN's losses (Zhu et al. 2017, sections 3, 4 and 5.2); its cycle is the same as StarGAN's."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mdtranslate import LabelEncoder, Loss, Ramp, Terms, Translation, Value


class LeastSquares(Loss):
    """Real pictures are scored 1, made ones 0 (Mao et al. 2017), and the discriminator's term is halved (section 4).

    The discriminator is shown earlier pictures, too: of each value that an edit can have, the last made ones go through
    a pool. While it fills, a picture is shown as it comes; after that one of two is exchanged for one of the pool, at
    random (Shrivastava et al. 2017, section 2.3). A picture belongs to the first value in which its target differs from
    its source. What is shown is judged without the picture that it was made from.
    """

    name = "lsgan"

    class Config(Loss.Config):
        pool: int = Field(0, ge=0, le=10_000, description="earlier pictures that are kept of each value; CycleGAN: 50")

    def __init__(self, config: Any, *, encoder: LabelEncoder, image_size: int) -> None:
        super().__init__(config, encoder=encoder, image_size=image_size)
        self.slots = {
            (number, each.name, value): place
            for place, (number, each, value) in enumerate(
                (number, each, value)
                for number, own in enumerate(encoder.attributes)
                for each in own
                for value in each.allowed
            )
        }
        if config.pool:
            self.register_buffer("pictures", torch.zeros(len(self.slots), config.pool, 3, image_size, image_size))
            self.register_buffer("filled", torch.zeros(len(self.slots), dtype=torch.int64))

    def discriminator(self, t: Translation) -> Terms:
        made = t.judge(self._through_pool(t), t.target) if self.config.pool else t.verdict_on_fake
        return {
            "real": 0.5 * _distance(t.verdict_on_real.score, 1.0),
            "fake": 0.5 * _distance(made.score, 0.0),
        }

    def generator(self, t: Translation) -> Terms:
        return _distance(t.verdict_on_fake.score, 1.0)

    @torch.no_grad()
    def _through_pool(self, t: Translation) -> Tensor:
        shown, pictures, filled = t.fake.detach().clone(), self.pictures, self.filled
        assert isinstance(pictures, Tensor) and isinstance(filled, Tensor)
        finite = shown.flatten(1).isfinite().all(1).tolist()
        for row, (slot, drawn) in enumerate(zip(self._slots(t), t.random("pool").tolist(), strict=True)):
            there = int(filled[slot])
            if not finite[row]:  # The step is skipped for it; the pool would bring it back in later ones.
                continue
            if there < self.config.pool:
                pictures[slot, there] = shown[row]
                filled[slot] += 1
            elif drawn < 0.5:
                place = int(drawn * 2 * self.config.pool)
                earlier = pictures[slot, place].clone()
                pictures[slot, place] = shown[row]
                shown[row] = earlier
        return shown

    def _slots(self, t: Translation) -> list[int]:
        """Of each picture, the value that it was given."""
        numbers = self.encoder.dataset(t.target).tolist()
        found = []
        for number, before, after in zip(numbers, t.source.cpu(), t.target.cpu(), strict=True):
            old, new = self.encoder.decode(before), self.encoder.decode(after)
            changed: dict[str, Value] = {name: value for name, value in new.items() if (name, value) not in old.items()}
            name, value = next(iter((changed or new).items()))
            found.append(self.slots[number, name, value])
        return found


class Identity(Loss):
    """A picture that has a value already is left as it is by what gives that value: mean absolute difference.

    In a step of two domains each picture goes through the generator whose translations it looks like (section 5.2).
    """

    name = "identity"

    class Config(Loss.Config):
        weight: float | Ramp = Field(5.0, description="factor of the term: a number, or {start, end, steps}")

    def generator(self, t: Translation) -> Terms:
        return (t.generate(t.real, t.target, t.source) - t.real).abs().mean((1, 2, 3))


def _distance(score: Tensor, wanted: float) -> Tensor:
    """Mean squared distance of each picture's score map, [B]."""
    return (score.reshape(len(score), -1) - wanted).square().mean(1)
