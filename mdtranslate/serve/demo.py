"""The demo without HTTP: what the page shows of a translator, and the operations it offers."""

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

from mdtranslate.api.attribute import format_value
from mdtranslate.data.batches import normalise
from mdtranslate.errors import RecipeError
from mdtranslate.inference.preprocessing import Pixels, PreparedImage
from mdtranslate.inference.translator import Translator
from mdtranslate.serve.demo_samples import Sample, load_samples
from mdtranslate.serve.model_info import model_info
from mdtranslate.utils.image_files import open_image

MAX_CACHED_IMAGES: Final = 8
"""Number of prepared images that are cached: the page sends the image again with every request."""

MAX_PIXELS: Final = 40_000_000
"""Largest number of pixels of an image: a file of a few kilobytes may expand to gigabytes in memory."""


class Demo:
    """The operations of the demo's page. It is not thread-safe.

    Images are passed as the content of a file, and returned as `data:` URLs. Values of attributes are text, by the
    names of `Translator.edits`.

    Attributes:
        translator: The translator.
        samples: Test images of the run's datasets.
        missing_samples: One line for each dataset without samples, which says why.
        info: Facts about the model, see `model_info`.
    """

    def __init__(self, translator: Translator, run: Path) -> None:
        """Initialises the demo.

        Args:
            translator: The translator.
            run: Folder of the run, for test images and evaluation results.
        """
        self.translator = translator
        self.samples: Sequence[Sample]
        self.samples, self.missing_samples = load_samples(translator, run)
        self.info = model_info(translator, run)
        self._cache: OrderedDict[bytes, PreparedImage] = OrderedDict()

    def model(self) -> dict[str, Any]:
        """Returns what the page shows before an image is chosen.

        Returns:
            JSON with `datasets`; `controls`: for each attribute its `name`, its `values`, the values that make an edit
            (`edits`), whether it is yes/no (`is_binary`), and its `datasets`; `samples`; `missing_samples`; `info`.
        """
        label_encoder, parser = self.translator.label_encoder, self.translator.edit_parser
        controls: dict[str, dict[str, Any]] = {}
        for index, attributes in enumerate(label_encoder.attributes):
            single_edits = parser.single_edits(index, {})
            for attribute in attributes:
                name = parser.qualified_name(index, attribute.name)
                control = {
                    "name": name,
                    "values": [format_value(value) for value in attribute.allowed_values],
                    "edits": [format_value(edit[attribute.name]) for edit in single_edits if attribute.name in edit],
                    "is_binary": not attribute.values,
                    "datasets": [],
                }
                controls.setdefault(name, control)["datasets"].append(label_encoder.datasets[index])
        samples = [{"key": sample.key, "dataset": sample.dataset, "known": sample.known} for sample in self.samples]
        return {
            "datasets": label_encoder.datasets,
            "controls": [*controls.values()],
            "samples": samples,
            "missing_samples": self.missing_samples,
            "info": self.info,
        }

    def inspect(self, image: bytes, source: Mapping[str, str], dataset: str | None) -> dict[str, Any]:
        """Infers the attributes of an image.

        Args:
            image: The content of an image file.
            source: Known attributes of the image.
            dataset: The dataset that the image resembles; None for each attribute's own.

        Returns:
            JSON with `original`: the image as the generator sees it; `source`: known and inferred attributes;
            `required`: names of attributes that cannot be inferred, and must be set by the user.

        Raises:
            RecipeError: A name or value is unknown.
            DataError: The image cannot be read.
        """
        prepared = self._prepare(image)
        label_encoder, parser = self.translator.label_encoder, self.translator.edit_parser
        values_by_dataset = parser.spread_shared(parser.parse(source, dataset))
        attributes: dict[str, str] = {}
        required: dict[str, None] = {}  # A set that keeps the order.
        for index, values in values_by_dataset.items():
            real = normalise(torch.from_numpy(prepared.squares[dataset or label_encoder.datasets[index]][None]))
            try:
                label = self.translator.infer(real, label_encoder.encode(values, index)[None])
                values = label_encoder.decode(label[0].cpu())
            except RecipeError:
                unknown = [item.name for item in label_encoder.attributes[index] if item.name not in values]
                required |= dict.fromkeys(parser.qualified_name(index, name) for name in unknown)
            for name, value in values.items():
                attributes.setdefault(parser.qualified_name(index, name), format_value(value))
        original = prepared.generator_input(dataset or label_encoder.datasets[0])
        return {"original": _data_url(original), "source": attributes, "required": [*required]}

    def translate(
        self, image: bytes, edits: Mapping[str, str], source: Mapping[str, str], dataset: str | None
    ) -> dict[str, str]:
        """Applies all edits to an image.

        Args:
            image: The content of an image file.
            edits: Values to set.
            source: Known attributes of the image.
            dataset: The dataset that the image resembles; None for that of the edit.

        Returns:
            JSON with `original`: the image as the generator sees it, and `translated`.

        Raises:
            RecipeError: A name or value is unknown, or an attribute cannot be inferred.
            DataError: The image cannot be read.
        """
        prepared = self._prepare(image)
        edited_dataset = next(iter(self.translator.edit_parser.parse_edits(edits, dataset)))
        translation = self.translator(prepared, dataset=dataset, source=source, edits=edits)
        original = prepared.generator_input(dataset or self.translator.label_encoder.datasets[edited_dataset])
        return {"original": _data_url(original), "translated": _data_url(np.asarray(translation))}

    def _prepare(self, image: bytes) -> PreparedImage:
        """Reads, crops and resizes an image; the last few are cached."""
        key = blake2b(image, digest_size=32).digest()
        if key not in self._cache:
            with open_image(BytesIO(image), MAX_PIXELS):  # Reads only the header, and checks the size.
                pass
            self._cache[key] = self.translator.prepare_image(BytesIO(image))
            if len(self._cache) > MAX_CACHED_IMAGES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]


def _data_url(pixels: Pixels) -> str:
    """Encodes an image, uint8 `(H, W, 3)`, as PNG in a `data:` URL."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
