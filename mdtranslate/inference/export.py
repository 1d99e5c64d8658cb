"""Exports a translator's generator as one file for other programs: ONNX, or a `torch.export` program."""

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

from mdtranslate.api.attribute import format_value
from mdtranslate.api.translation import NOISE_SIZE
from mdtranslate.errors import PluginError, RecipeError, first_line
from mdtranslate.inference.translator import Translator
from mdtranslate.utils.files import write_bytes

Format = Literal["onnx", "torch"]

INPUT_NAMES: Final = ("image", "source", "target")
METADATA_KEY: Final = "mdtranslate"
"""Key of the metadata in the file: of ONNX's properties, or of an extra file of torch's (`mdtranslate.json`)."""

MAX_SIZE: Final = 4096
"""Largest height, width and batch size of files in which they are not fixed."""

MAX_GREY_LEVEL_ERROR: Final = 1.0
"""Largest difference between the file's outputs and the translator's, in grey levels of 0 to 255."""


class ExportedGenerator(nn.Module):
    """A generator with the fixed noise and the clamping of `Translator.translate`."""

    noise: Tensor

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.generator = translator.model.generator
        self.register_buffer("noise", torch.randn(1, NOISE_SIZE, generator=torch.Generator().manual_seed(0)))
        self.eval()

    def forward(self, image: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Translates images `(B, 3, H, W)` in [-1, 1] from labels `source` to labels `target`, `(B, L)`."""
        # `len(image)` would fix the batch size in the graph.
        style_code = self.generator.style_code(target, self.noise.expand(image.shape[0], -1))
        fake: Tensor = self.generator(image, source, target, style_code)
        return fake.clamp(-1, 1)


def export(translator: Translator, to: Format, file: Path, size: int | None, batch: int | None) -> str:
    """Writes the file, after comparing its outputs with the translator's.

    Args:
        translator: The translator.
        to: The format of the file.
        file: The file to write.
        size: Height and width of its images in pixels; None for any.
        batch: Number of images that it takes at once; None for any.

    Returns:
        A line for the user: how large the difference is.

    Raises:
        RecipeError: The generator cannot be exported, does not take images of this size, or the file's outputs differ.
        PluginError: A package that the format needs is not installed.
    """
    generator, required_packages = translator.model.generator, ("onnx", "onnxscript", "onnxruntime")
    min_side = translator.runner.min_side
    if size is not None and (size % generator.size_multiple or size < min_side):
        raise RecipeError(
            f"--size {size}: generator {generator.name!r} needs a multiple of {generator.size_multiple}, at least "
            f"{min_side}"
        )
    if to == "onnx" and (missing := [name for name in required_packages if find_spec(name) is None]):
        raise PluginError(f"--to onnx needs {', '.join(missing)}: pip install 'mdtranslate[export]'")
    module = ExportedGenerator(translator)
    side = size or max(translator.image_size, 2 * generator.size_multiple)
    inputs = example_inputs(translator, batch or 2, side, side)
    with _silence():
        try:
            shapes = _dynamic_shapes(generator.size_multiple, size, batch)
            program = torch.export.export(module, inputs, dynamic_shapes=shapes)
        except Exception as error:  # torch.export raises many types.
            raise RecipeError(
                f"generator {generator.name!r} cannot be exported by torch.export: {first_line(error)}"
            ) from error
        metadata = json.dumps(describe(translator, size, batch))
        content, run = (_export_onnx if to == "onnx" else _export_torch)(program, metadata)
        # Compared at another size than that of the export, where the size is not fixed.
        height, width = (size, size) if size is not None else (2 * side, side)
        inputs = example_inputs(translator, batch or 3, height, width)
        difference = float((run(*inputs) - module(*inputs)).abs().max()) * 127.5
    if not difference <= MAX_GREY_LEVEL_ERROR:
        raise RecipeError(f"{file}: not written: images differ from the translator's by {difference:.1f} grey levels")
    write_bytes(file, content)
    reader = "onnxruntime" if to == "onnx" else "torch"
    return f"{len(inputs[0])} images of {height} x {width} in {reader}: differ by at most {difference:.2g} grey levels"


def describe(translator: Translator, size: int | None, batch: int | None) -> dict[str, Any]:
    """Returns the metadata that a program needs to use the file: inputs, output, and the meaning of labels."""
    generator, label_encoder = translator.model.generator, translator.label_encoder
    labels = {
        dataset: {
            "unknown": label_encoder.encode({}, index).tolist(),
            "attributes": {
                attribute.name: {
                    format_value(value): label_encoder.encode({attribute.name: value}, index).tolist()
                    for value in attribute.allowed_values
                }
                for attribute in attributes
            },
        }
        for index, (dataset, attributes) in enumerate(
            zip(label_encoder.datasets, label_encoder.attributes, strict=True)
        )
    }
    return {
        "image": "float32 [B, 3, H, W], RGB, grey level / 127.5 - 1",
        "source, target": "float32 [B, L]: the label of the image, and the label to translate to. To make one, start "
        "with `unknown` of the dataset; for each attribute, copy the entries in which its value differs from `unknown`",
        "output": "float32 [B, 3, H, W] in [-1, 1]",
        "size": size,
        "batch": batch,
        "side": {
            "multiple_of": generator.size_multiple,
            "min": translator.runner.min_side if size is not None else 2 * generator.size_multiple,
            "max": MAX_SIZE,
        },
        "required_labels": generator.required_labels,
        "image_size": translator.image_size,
        "preprocessing": "crop the square in `crops` (side as a fraction of the shorter side; centre x, y as fractions "
        "of width and height; moved inside where it reaches over an edge), then resize it to image_size pixels, "
        "bilinear with antialiasing. If `ranges` has the dataset, first scale these two values to 0 and 255",
        "crops": {name: asdict(crop) for name, crop in translator.crops.items()},
        "ranges": translator.ranges,
        "labels": labels,
        "credit": list(translator.credit),
        "trained": translator.trained,
    }


def example_inputs(translator: Translator, count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns random images `(count, 3, height, width)` with valid source and target labels, on the CPU."""
    image = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    attributes = translator.label_encoder.attributes[0]
    rows = [
        {attribute.name: attribute.allowed_values[row % len(attribute.allowed_values)] for attribute in attributes}
        for row in range(count + 1)
    ]
    labels = torch.stack([translator.label_encoder.encode(values, 0) for values in rows])
    return image, labels[:-1].clone(), labels[1:].clone()


def _dynamic_shapes(multiple: int, size: int | None, batch: int | None) -> Any:
    """Returns which dimensions of the inputs are dynamic, as `torch.export` takes them."""
    batch_dim = {} if batch is not None else {0: Dim("batch", min=1, max=MAX_SIZE)}
    side_dims = {}
    if size is None:
        height, width = (Dim(name, min=2, max=MAX_SIZE // multiple) for name in ("high", "wide"))
        side_dims = {2: multiple * height, 3: multiple * width}
    return {"image": batch_dim | side_dims, "source": batch_dim, "target": batch_dim}


def _export_onnx(program: Any, metadata: str) -> tuple[bytes, Callable[..., Tensor]]:
    """Returns the content of the ONNX file, and a function that runs it."""
    import onnxruntime  # type: ignore[import-untyped]

    exported: Any = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=list(INPUT_NAMES), output_names=["translated"]
    )
    exported.model.metadata_props[METADATA_KEY] = metadata
    model = exported.model_proto
    # Dynamic dimensions are named by expressions such as 4*high; tools show these names to users.
    (image_dims,) = [value.type.tensor_type.shape.dim for value in model.graph.input if value.name == INPUT_NAMES[0]]
    names = {
        dim.dim_param: name
        for dim, name in zip(image_dims, ("batch", "3", "height", "width"), strict=True)
        if dim.dim_param
    }
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        (output,) = session.run(None, {name: tensor.numpy() for name, tensor in zip(INPUT_NAMES, inputs, strict=True)})
        return torch.from_numpy(output)

    return content, run


def _export_torch(program: Any, metadata: str) -> tuple[bytes, Callable[..., Tensor]]:
    """Returns the content of the file of `torch.export.save`, and a function that runs it."""
    file = BytesIO()
    torch.export.save(program, file, extra_files={f"{METADATA_KEY}.json": metadata})
    content = file.getvalue()
    return content, torch.export.load(BytesIO(content)).module()


@contextmanager
def _silence() -> Iterator[None]:
    """Silences logs, warnings and standard error of the exporters; `export` reports what matters in one line."""
    disabled_level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # torch prints the whole graph of an export that fails.
        with redirect_stderr(StringIO()), warnings.catch_warnings(action="ignore"), torch.no_grad():
            yield
    finally:
        logging.disable(disabled_level)
