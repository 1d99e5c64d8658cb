"""The model card of a shared model: README.md, with the front matter that Hugging Face reads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mdtranslate._version import __version__
from mdtranslate.config.manifest import LICENCE, MANIFEST
from mdtranslate.inference.serialization import COMPACT

COLUMNS: Final = {
    "gap closed": ("gap closed", "{:.2f}"),
    "accuracy": ("accuracy on edited images", "{:.1%}"),
    "l1": ("L1 of the reconstruction", "{:.3f}"),
    "psnr gain": ("PSNR gain over the unedited image", "{:+.1f} dB"),
}
"""Heading and format of the figures of an attribute, by their names in report.json, without a feature network."""


@dataclass(frozen=True)
class ModelCard:
    """The content of a model card.

    Attributes:
        title: The name of the model.
        location: The argument of `mdtranslate pull`. If it is a folder, only its name is shown.
        licence: Identifier of the licence.
        terms: The model's own terms in one line; empty if it has none.
        notes: What its author says about intended use, bias and the like, as Markdown; may be empty.
        metadata: The content of translator.json.
        edits: Values of each attribute that can be edited.
        usage: Arguments of `mdtranslate translate RUN` that make every edit.
        sample_grid: Name of the sample grid's file.
        recipe: The recipe as TOML.
        report: The content of report.json; empty if there is none for these weights.
        third_party_plugins: Plugins outside mdtranslate that the model was trained with.
        is_report_outdated: Whether there is a report, but for other weights.
    """

    title: str
    location: str
    licence: str | None
    terms: str
    notes: str
    metadata: Mapping[str, Any]
    edits: Mapping[str, Sequence[str]]
    usage: str
    sample_grid: str | None
    recipe: str | None
    report: Mapping[str, Any]
    third_party_plugins: Sequence[str]
    is_report_outdated: bool

    def text(self) -> str:
        """Returns the card as Markdown with front matter in YAML."""
        return "\n\n".join(paragraph for paragraph in self._paragraphs() if paragraph) + "\n"

    def _paragraphs(self) -> Iterator[str]:
        yield self._front_matter()
        yield f"# {_escape(self.title)}"
        size = self.metadata["image_size"]
        names = ", ".join(map(_escape, self.edits))
        yield (
            f"An image-to-image translation model for images of {size} x {size} pixels. It edits {names}, and should "
            f"preserve everything else. Made with mdtranslate {__version__}."
        )
        if self.sample_grid:
            yield f"![Each row: an image, then the same image after each edit]({self.sample_grid})"
            # Without a validation split these are training images, so do not call them held out.
            step = int(self.sample_grid.rpartition("/")[2].partition(".")[0])
            yield f"*Images of the dataset, after step {step:,}.*"
        yield from self._usage()
        yield "## Attributes"
        rows = ((name, ", ".join(values)) for name, values in self.edits.items())
        yield _table(("attribute", "values"), rows)
        yield self.notes.strip()
        yield from self._evaluation()
        yield from self._compact()
        yield from self._training()
        yield from self._limitations()

    def _front_matter(self) -> str:
        lines = ["---"]
        if self.licence or self.terms:
            lines.append(f"license: {self.licence or 'other'}")
        if self.terms:
            lines.append(f"license_link: {LICENCE}")
        tags = ["mdtranslate", "image-to-image", "gan"]
        lines += ["library_name: mdtranslate", "pipeline_tag: image-to-image", f"tags: {json.dumps(tags)}", "---"]
        return "\n".join(lines)

    def _usage(self) -> Iterator[str]:
        folder = self.title
        name, values = next(iter(self.edits.items()))
        is_on_hub = self.location.startswith("hf://")
        yield "## Usage"
        package = "'mdtranslate[hub]'" if is_on_hub else "mdtranslate"
        pull = (f"mdtranslate pull {shlex.quote(self.location)}",) if is_on_hub else ()
        yield _code(
            f"pip install {package}",
            *pull,
            f"mdtranslate translate {shlex.quote(folder)} {self.usage}",
            f"mdtranslate translate {shlex.quote(folder)} PHOTO --set {shlex.quote(f'{name}={values[-1]}')}",
        )
        yield "or in Python:"
        yield _code(
            "import mdtranslate",
            "",
            f"translator = mdtranslate.Translator.load({json.dumps(folder)})",
            f'translator("photo.jpg", edits={json.dumps({name: values[-1]})}).save("edited.png")',
        )
        plugins = "; ".join(map(_escape, self.metadata["plugins"]))
        if not is_on_hub:
            yield f"`{folder}` is the path of this folder, or the name of the model if a plugin ships it."
        yield f"Required plugins: {plugins}. Weights are safetensors, the rest is JSON and TOML; it contains no code."

    def _evaluation(self) -> Iterator[str]:
        yield "## Evaluation"
        if self.is_report_outdated:
            yield "There are evaluation results, but they are for other weights, so they are left out."
        if not self.report:
            yield "This model was not evaluated. With its dataset, `mdtranslate evaluate` does so."
            return
        yield (
            "Measured on test images by an independent attribute classifier, which was trained on real images of the "
            "dataset. Its accuracy on real images limits how far the other figures can be trusted. All figures are in "
            "`evaluation/report.json`."
        )
        for dataset, result in self.report["datasets"].items():
            figures = {key: value for group in result["figures"].values() for key, value in group.items()}
            accuracy = result["classifier"]["accuracy_on_real_images"]
            majority_share = result["classifier"].get("majority_share", {})
            columns = {
                key: column
                for key, column in COLUMNS.items()
                if any(_figure(figures, f"{attribute}/{key}") is not None for attribute in result["edited"])
            }
            rows = (
                (
                    attribute,
                    _format(accuracy.get(attribute), "{:.1%}"),
                    _format(majority_share.get(attribute), "{:.1%}"),
                    *(_format(_figure(figures, f"{attribute}/{key}"), spec) for key, (_, spec) in columns.items()),
                )
                for attribute in result["edited"]
            )
            left_out = f" ({len(result['left_out'])} more could not be read)" if result.get("left_out") else ""
            num_edits = sum(result["edits"].values())
            yield f"**{_escape(dataset)}**: {result['images']} test images{left_out}, {num_edits} edits."
            yield from (_realism(name, value) for name, value in figures.items() if name.startswith("gap closed ("))
            headings = (heading for heading, _ in columns.values())
            yield _table(("edited", "accuracy on real images", "share of the commonest value", *headings), rows)
            if "preservation" in figures:
                yield f"Preservation (other attributes that are classified as before): {figures['preservation']:.1%}."

    def _compact(self) -> Iterator[str]:
        changes = self.metadata["trained"].get(COMPACT)
        if not changes:
            return
        yield "## Compact weights"
        yield (
            f"Weights are stored as {changes['weights']} and loaded as float32. Translations of {changes['images']} "
            "validation images to every edit differ from those of the trained weights by at most "
            f"{changes['max_difference']} of 255 grey levels, {changes['mean_difference']:.3f} on average. Training "
            "that starts from this model (`train.init`) takes the generator only."
        )
        if "accuracy" not in changes:
            return
        yield (
            f"The discriminator is replaced by a small one with {changes['parameters']:,} parameters. It was trained "
            f"for {changes['steps']} steps on the train images, only to classify: it infers source labels that are not "
            "given, and its score has no meaning. Share of labels of validation images that are inferred correctly:"
        )
        before = changes["discriminator_accuracy"]
        rows = (
            (f"{dataset}.{name}", f"{share:.1%}", f"{before[dataset][name]:.1%}")
            for dataset, shares in changes["accuracy"].items()
            for name, share in shares.items()
        )
        yield _table(("attribute", "small classifier", "discriminator of the run"), rows)

    def _training(self) -> Iterator[str]:
        trained = self.metadata["trained"]
        yield "## Training"
        if "imported" in trained:
            files = ", ".join(f"`{name}` (sha256 `{value}`)" for name, value in trained.get("files", {}).items())
            yield f"Imported from {files} by `mdtranslate import {trained['imported']}`."
        elif "step" in trained:
            yield f"Recipe `{trained.get('recipe')}`, {trained['step']:,} steps."
        plugins = [plugin for plugin in self.third_party_plugins if plugin not in self.metadata["plugins"]]
        if plugins:
            yield f"Training and evaluation require further plugins: {'; '.join(map(_escape, plugins))}."
        if self.recipe:
            yield "All settings, as in `recipe.toml`. Absolute paths are shortened to their last part."
            yield f"<details><summary>Settings</summary>\n\n````toml\n{self.recipe.strip()}\n````\n\n</details>"
        weights = ", ".join(f"`{name}` `{value}`" for name, value in self.metadata["files"].items())
        yield f"SHA-256 of the weights: {weights}. `{MANIFEST}` has the hash of every file."
        yield "## Data and terms"
        attribute_names = (
            (dataset, ", ".join(attribute["name"] for attribute in attributes))
            for dataset, attributes in self.metadata["attributes"].items()
        )
        yield _table(("dataset", "attributes"), attribute_names)
        credit = self.metadata["credit"]
        yield "\n".join(f"- {_escape(line)}" for line in credit) if credit else "The datasets have no credit lines."
        if self.terms:
            yield f"Terms of this model: **{_escape(self.terms)}**. They are in the file `{LICENCE}`."
        elif self.licence:
            yield f"Licence of this model: {_escape(self.licence)}."

    def _limitations(self) -> Iterator[str]:
        yield "## Limitations"
        size, datasets = self.metadata["image_size"], ", ".join(map(_escape, self.metadata["attributes"]))
        yield (
            f"- The model was trained on {datasets}, cropped and resized to {size} pixels. On other images, and on "
            "much larger ones, edits may be weak or wrong.\n"
            "- An attribute means what the labels of the dataset mean; properties that are correlated with it in the "
            "dataset change, too.\n"
            "- Preservation was measured for labelled attributes only, not for the identity of a face.\n"
            "- The results are synthetic images. They are no evidence of how anybody looks."
        )


def _realism(name: str, value: float) -> str:
    """Returns a sentence on the mean gap closed, whose name ends with the feature network."""
    return (
        f"**{_escape(name.capitalize())}: {value:.2f}**, the mean over edits. 1: as good as real images of the target "
        "value, by the features of this network; 0: as good as no edit."
    )


def _figure(figures: Mapping[str, float], name: str) -> float | None:
    """Returns a figure whose name may end with a feature network; None if there is none."""
    return next((value for key, value in figures.items() if key == name or key.startswith(f"{name} (")), None)


def _table(headings: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headings, ["---"] * len(headings), *(map(_escape, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(*lines: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _escape(text: str) -> str:
    """Escapes what Markdown and HTML would interpret."""
    line = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in line)


def _format(value: float | None, spec: str) -> str:
    return "" if value is None else spec.format(value)
