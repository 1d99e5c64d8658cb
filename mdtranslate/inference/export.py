"""A translator's generator as one file for other programs: ONNX, or a program of `torch.export`."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim

from mdtranslate.api.dataset import spell
from mdtranslate.api.translation import NOISE
from mdtranslate.errors import PluginError, RecipeError, first_line
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.files import write_bytes

Kind = Literal["onnx", "torch"]

INPUTS: Final = ("image", "source", "target")
KEY: Final = "mdtranslate"
"""Under which the file has its facts: ONNX's metadata, or an extra file of torch's (`mdtranslate.json`)."""

FREE: Final = 4096
"""The largest side and batch of a file that takes any."""

MOST: Final = 1.0
"""Grey levels by which a file may differ from the translator."""


class Shipped(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] with labels `source`, `target` [B, L] to pictures, as `Translator.translate`."""

    noise: Tensor

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.generator = translator.model.generator
        self.register_buffer("noise", torch.randn(1, NOISE, generator=torch.Generator().manual_seed(0)))
        self.eval()

    def forward(self, image: Tensor, source: Tensor, target: Tensor) -> Tensor:
        code = self.generator.code(target, self.noise.expand(image.shape[0], -1))  # len() would fix it.
        made: Tensor = self.generator(image, source, target, code)
        return made.clamp(-1, 1)


def export(translator: Translator, to: Kind, file: Path, size: int | None, batch: int | None) -> str:
    """Writes the file and says how near its pictures are to the translator's, by what reads it.

    `size`: side of its pictures, `batch`: how many it takes at once; None: any. Raises `RecipeError` for a generator
    that no graph can hold, or whose sides that size is not; `PluginError` where ONNX is not installed.
    """
    generator, needed = translator.model.generator, ("onnx", "onnxscript", "onnxruntime")
    least = translator.inference.least
    if size is not None and (size % generator.multiple or size < least):
        raise RecipeError(
            f"--size {size}: sides must be multiples of {generator.multiple} from {least} on for {generator.name!r}"
        )
    if to == "onnx" and (missing := [name for name in needed if find_spec(name) is None]):
        raise PluginError(f"--to onnx needs {', '.join(missing)}: pip install 'mdtranslate[export]'")
    module = Shipped(translator)
    side = size or max(translator.image_size, 2 * generator.multiple)
    given = example(translator, batch or 2, side, side)
    with _quiet():
        try:
            program = torch.export.export(module, given, dynamic_shapes=_shapes(generator.multiple, size, batch))
        except Exception as error:  # It raises dozens of kinds.
            raise RecipeError(
                f"generator {generator.name!r} cannot be exported: no graph can hold it ({first_line(error)})"
            ) from error
        facts = json.dumps(describe(translator, size, batch))
        content, read = (_onnx if to == "onnx" else _torch)(program, facts)
        height, width = (size, size) if size is not None else (2 * side, side)
        tried = example(translator, batch or 3, height, width)
        apart = float((read(*tried) - module(*tried)).abs().max()) * 127.5
    if not apart <= MOST:
        raise RecipeError(f"{file}: its pictures are {apart:.1f} grey levels from the translator's")
    write_bytes(file, content)
    by = "onnxruntime" if to == "onnx" else "torch"
    return f"{len(tried[0])} pictures of {height} x {width}, read by {by}: within {apart:.2g} grey levels"


def describe(translator: Translator, size: int | None, batch: int | None) -> dict[str, Any]:
    """What a program has to know to use the file: what goes in and comes out, and what labels mean."""
    encoder = translator.encoder
    labels = {
        name: {
            "unknown": encoder.encode({}, number).tolist(),
            "attributes": {
                each.name: {spell(value): encoder.encode({each.name: value}, number).tolist() for value in each.allowed}
                for each in own
            },
        }
        for number, (name, own) in enumerate(zip(encoder.datasets, encoder.attributes, strict=True))
    }
    return {
        "image": "float32 [B, 3, H, W], RGB, grey level / 127.5 - 1",
        "source, target": "float32 [B, L]: the label of the picture, and the one that it shall have. A label is that "
        "of its dataset with nothing known, and, where the label of an attribute's value differs from it, that one's",
        "output": "float32 [B, 3, H, W] in [-1, 1]",
        "size": size,
        "batch": batch,
        "sides": {
            "multiple_of": translator.model.generator.multiple,
            "least": translator.inference.least if size is not None else 2 * translator.model.generator.multiple,
            "most": FREE,
        },
        "reads": translator.model.generator.reads,
        "trained_at": translator.image_size,
        "preparation": "of a picture like those of a dataset, the square that `crops` says: its side in shares of the "
        "shorter side, its centre (x, y) in shares of width and height, moved inside where it would reach over an "
        "edge; then scaled to trained_at pixels, bilinear with antialiasing. Where `ranges` has a dataset, its values "
        "are black and white, and those between are scaled to 0..255 first",
        "crops": {name: asdict(crop) for name, crop in translator.crops.items()},
        "ranges": translator.ranges,
        "labels": labels,
        "credit": list(translator.credit),
        "trained": translator.trained,
    }


def example(translator: Translator, count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures at random with labels that exist, on the processor."""
    image = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    own = translator.encoder.attributes[0]
    rows = [{each.name: each.allowed[place % len(each.allowed)] for each in own} for place in range(count + 1)]
    labels = torch.stack([translator.encoder.encode(row, 0) for row in rows])
    return image, labels[:-1].clone(), labels[1:].clone()


def _shapes(multiple: int, size: int | None, batch: int | None) -> Any:
    """Which sides of the inputs are free."""
    first = {} if batch is not None else {0: Dim("batch", min=1, max=FREE)}
    sides = {}
    if size is None:
        high, wide = (Dim(name, min=2, max=FREE // multiple) for name in ("high", "wide"))
        sides = {2: multiple * high, 3: multiple * wide}
    return {"image": first | sides, "source": first, "target": first}


def _onnx(program: Any, facts: str) -> tuple[bytes, Callable[..., Tensor]]:
    import onnxruntime  # type: ignore[import-untyped]

    made: Any = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=list(INPUTS), output_names=["translated"]
    )
    made.model.metadata_props[KEY] = facts
    proto = made.model_proto
    # What is free is called by an expression; people read it in the file's inputs.
    shown = [each.type.tensor_type.shape.dim for each in proto.graph.input if each.name == INPUTS[0]]
    names = {
        dim.dim_param: name
        for dim, name in zip(shown[0], ("batch", "3", "height", "width"), strict=True)
        if dim.dim_param
    }
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]
    content: bytes = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(*given: Tensor) -> Tensor:
        (out,) = session.run(None, {name: each.numpy() for name, each in zip(INPUTS, given, strict=True)})
        return torch.from_numpy(out)

    return content, run


def _torch(program: Any, facts: str) -> tuple[bytes, Callable[..., Tensor]]:
    file = BytesIO()
    torch.export.save(program, file, extra_files={f"{KEY}.json": facts})
    content = file.getvalue()
    return content, torch.export.load(BytesIO(content)).module()


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters talk of their passes; what matters is in the line that `export` gives."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # Of a graph that fails torch prints all that it has of it.
        with redirect_stderr(StringIO()), warnings.catch_warnings(action="ignore"), torch.no_grad():
            yield
    finally:
        logging.disable(before)
