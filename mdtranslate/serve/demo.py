"""What the demo tells its page, and makes of pictures. It knows nothing of HTTP."""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from mdtranslate.api.dataset import spell
from mdtranslate.data.batches import normalise
from mdtranslate.errors import RecipeError
from mdtranslate.inference.preprocessing import Pixels, View
from mdtranslate.inference.translator import Translator
from mdtranslate.serve.model_facts import card
from mdtranslate.serve.test_samples import Sample, samples
from mdtranslate.utils.image_files import opened

KEPT: Final = 8
"""Views of pictures that are kept in memory: a page sends the picture anew with every change."""


MOST: Final = 40_000_000
"""Pixels of a picture: a file of some kilobytes may hold as many as are let in, each of which takes memory."""


class Demo:
    """A translator as its page sees it. One thread at a time may ask it.

    Pictures come as the content of a file. Values are text, by the names that `Translator.words` gives; `source` is
    what a picture is known to have, and `dataset` the one that it is like, as for a call of `Translator`. Pictures go
    back as `data:` addresses. `RecipeError` is raised for a name or value that there is not, `DataError` for a picture
    that cannot be read.
    """

    def __init__(self, translator: Translator, run: Path) -> None:
        self.translator = translator
        self.samples: Sequence[Sample]
        self.samples, self.missing = samples(translator, run)
        self.card = card(translator, run)
        self._views: OrderedDict[bytes, View] = OrderedDict()

    def model(self) -> dict[str, Any]:
        """What there is to choose from, and the model's card. `edits`: values that are worth showing by themselves."""
        encoder, words = self.translator.encoder, self.translator.words
        controls: dict[str, dict[str, Any]] = {}
        for number, own in enumerate(encoder.attributes):
            worth = words.single(number, {})
            for each in own:
                name = words.name(number, each.name)
                new = {
                    "name": name,
                    "values": [spell(value) for value in each.allowed],
                    "edits": [spell(change[each.name]) for change in worth if each.name in change],
                    "switch": not each.values,
                    "datasets": [],
                }
                controls.setdefault(name, new)["datasets"].append(encoder.datasets[number])
        shown = [{"key": each.key, "dataset": each.dataset, "known": each.known} for each in self.samples]
        return {
            "datasets": encoder.datasets,
            "controls": [*controls.values()],
            "samples": shown,
            "missing": self.missing,
            "card": self.card,
        }

    def look(self, picture: bytes, source: Mapping[str, str], dataset: str | None) -> dict[str, Any]:
        """What a picture has: `source`, the unknown inferred; and `asked`, what no network tells and people must."""
        view, encoder, words = self._view(picture), self.translator.encoder, self.translator.words
        known = words.everywhere(words.read(source, dataset))
        found: dict[str, str] = {}
        asked: dict[str, None] = {}
        for number, own in known.items():
            real = normalise(torch.from_numpy(view.squares[dataset or encoder.datasets[number]][None]))
            try:
                label = self.translator.infer(real, encoder.encode(own, number)[None])
                own = encoder.decode(label[0].cpu())
            except RecipeError:
                names = [words.name(number, each.name) for each in encoder.attributes[number] if each.name not in own]
                asked |= dict.fromkeys(names)
            for name, value in own.items():
                found.setdefault(words.name(number, name), spell(value))
        return {"original": _address(self._shown(view, dataset)), "source": found, "asked": [*asked]}

    def translate(
        self, picture: bytes, changes: Mapping[str, str], source: Mapping[str, str], dataset: str | None
    ) -> dict[str, str]:
        """A picture with all `changes`, beside the square of it that was translated."""
        view, words = self._view(picture), self.translator.words
        first = next(iter(words.read_some(changes, dataset)))
        made = self.translator(view, dataset=dataset, source=source, edits=changes)
        like = dataset or self.translator.encoder.datasets[first]
        return {"original": _address(view.shown(like)), "translated": _address(np.asarray(made))}

    def _shown(self, view: View, dataset: str | None) -> Pixels:
        return view.shown(dataset or self.translator.encoder.datasets[0])

    def _view(self, picture: bytes) -> View:
        """What networks are shown of a picture; of the last pictures it is remembered."""
        key = blake2b(picture, digest_size=32).digest()
        if key not in self._views:
            with opened(BytesIO(picture), MOST):  # Of its size alone.
                pass
            self._views[key] = self.translator.view(BytesIO(picture))
            if len(self._views) > KEPT:
                self._views.popitem(last=False)
        self._views.move_to_end(key)
        return self._views[key]


def _address(pixels: Pixels) -> str:
    """Pixels [H, W, 3] as a PNG in an address."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
