"""The model card: what a shared model is, in words, for the people who find it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mdtranslate._version import __version__

COLUMNS: Final = {
    "accuracy": ("edits judged as wanted", "{:.1%}"),
    "l1": ("L1 after an edit and back", "{:.3f}"),
    "psnr gain": ("PSNR against doing nothing", "{:+.1f} dB"),
}
"""Figures of each edited attribute, as metrics call them, and how the card does."""


@dataclass(frozen=True)
class Card:
    """What a card tells."""

    title: str
    where: str
    """What a person gives `mdtranslate pull`; of a folder, only its name is told."""
    licence: str | None
    facts: Mapping[str, Any]
    """The content of translator.json."""
    words: Mapping[str, Sequence[str]]
    """The values that can be set, by attribute."""
    usage: str
    """What `mdtranslate translate RUN` is given."""
    sample: str | None
    """The file of a sample grid."""
    recipe: str | None
    """The recipe as TOML."""
    report: Mapping[str, Any]
    """The content of report.json; empty where it was not evaluated."""
    strangers: Sequence[str]
    """Plugins that it was trained with and that are not mdtranslate's own."""
    outdated: bool
    """Whether it was evaluated, and trained on since."""

    def text(self) -> str:
        """README.md, with the front matter that Hugging Face reads."""
        return "\n\n".join(part for part in self._parts() if part) + "\n"

    def _parts(self) -> Iterator[str]:
        yield self._front()
        yield f"# {_plain(self.title)}"
        size = self.facts["image_size"]
        names = ", ".join(map(_plain, self.words))
        yield (
            f"A model that translates pictures to other domains: it changes {names} of a picture, "
            f"{size} x {size} pixels, and is to leave the rest as it is. Made with mdtranslate {__version__}."
        )
        if self.sample:
            yield f"![Each row: a picture, then the same picture after each edit]({self.sample})"
            # Whether they were held out is not known here: without a val split they are some of those trained on.
            yield f"*Pictures of the data, after step {int(self.sample.rpartition('/')[2].partition('.')[0]):,}.*"
        yield from self._use()
        yield "## What it changes"
        rows = ((name, ", ".join(values)) for name, values in self.words.items())
        yield _table(("attribute", "values"), rows)
        yield from self._figures()
        yield from self._training()
        yield from self._limits()

    def _front(self) -> str:
        lines = ["---"]
        if self.licence:
            lines.append(f"license: {self.licence}")
        tags = ["mdtranslate", "image-to-image", "gan"]
        lines += ["library_name: mdtranslate", "pipeline_tag: image-to-image", f"tags: {json.dumps(tags)}", "---"]
        return "\n".join(lines)

    def _use(self) -> Iterator[str]:
        local = self.title
        name, values = next(iter(self.words.items()))
        hub = self.where.startswith("hf://")
        source = self.where if hub else f"FOLDER/{local}"
        yield "## How to use it"
        extra = "'mdtranslate[hub]'" if hub else "mdtranslate"
        yield _code(
            f"pip install {extra}",
            f"mdtranslate pull {shlex.quote(source)}",
            f"mdtranslate translate {shlex.quote(local)} {self.usage}",
            f"mdtranslate translate {shlex.quote(local)} PHOTO --set {shlex.quote(f'{name}={values[-1]}')}",
        )
        yield "or in Python, after the pull:"
        yield _code(
            "import mdtranslate",
            "",
            f"translator = mdtranslate.Translator.load({json.dumps(local)})",
            f'translator("photo.jpg", edits={json.dumps({name: values[-1]})}).save("changed.png")',
        )
        needed = "; ".join(map(_plain, self.facts["plugins"]))
        yield f"It needs: {needed}. The weights are safetensors, the rest is JSON and TOML; nothing of it is run."

    def _figures(self) -> Iterator[str]:
        yield "## Figures"
        if self.outdated:
            yield "Its evaluation is not of these weights, or does not say of which: its figures are left out."
        if not self.report:
            yield "This model was not evaluated. `mdtranslate evaluate` measures it where its dataset is at hand."
            return
        yield (
            "Measured on test pictures by a classifier of its own, which was trained on the dataset's real pictures. "
            "How often it is right on those bounds what can be believed of the rest. `evaluation/report.json` has all "
            "figures."
        )
        for name, own in self.report["datasets"].items():
            figures = {key: value for each in own["figures"].values() for key, value in each.items()}
            real, guess = own["judge"]["accuracy_on_real_pictures"], own["judge"].get("share_of_commonest_value", {})
            shown = {key: COLUMNS[key] for key in COLUMNS if any(f"{each}/{key}" in figures for each in own["edited"])}
            rows = (
                (
                    each,
                    _form(real.get(each), "{:.1%}"),
                    _form(guess.get(each), "{:.1%}"),
                    *(_form(figures.get(f"{each}/{key}"), form) for key, (_, form) in shown.items()),
                )
                for each in own["edited"]
            )
            missing = f", {len(own['left_out'])} more cannot be read" if own.get("left_out") else ""
            yield f"**{_plain(name)}**: {own['pictures']} test pictures{missing}, {sum(own['edits'].values())} edits."
            yield _table(("edited", "judge on real pictures", "a guess", *(head for head, _ in shown.values())), rows)
            if "preservation" in figures:
                yield f"What was not edited is judged as it was in {figures['preservation']:.1%}."

    def _training(self) -> Iterator[str]:
        trained = self.facts["trained"]
        yield "## Training"
        if "imported" in trained:
            files = ", ".join(f"`{name}` (sha256 `{value}`)" for name, value in trained.get("files", {}).items())
            yield f"Not trained here: imported from {files}, as `mdtranslate import {trained['imported']}` reads them."
        elif "step" in trained:
            yield f"Recipe `{trained.get('recipe')}`, {trained['step']:,} steps."
        if more := [each for each in self.strangers if each not in self.facts["plugins"]]:
            yield f"To train or evaluate it, besides: {'; '.join(map(_plain, more))}."
        if self.recipe:
            yield (
                "Every setting, as in `recipe.toml`. Of folders and files elsewhere on the machine only the last part "
                "of the path is told."
            )
            yield f"<details><summary>Settings</summary>\n\n````toml\n{self.recipe.strip()}\n````\n\n</details>"
        yield "## Data and credit"
        own = self.facts["attributes"]
        labelled = ((name, ", ".join(each["name"] for each in attributes)) for name, attributes in own.items())
        yield _table(("dataset", "labelled with"), labelled)
        credit = self.facts["credit"]
        yield "\n".join(f"- {_plain(each)}" for each in credit) if credit else "The datasets name nobody to credit."

    def _limits(self) -> Iterator[str]:
        yield "## Limits"
        size, datasets = self.facts["image_size"], ", ".join(map(_plain, self.facts["attributes"]))
        yield (
            f"- It knows pictures like those of {datasets}, cut as they were and scaled to {size} pixels. On others, "
            "and on much larger ones, it edits little or wrongly.\n"
            "- An attribute is what those labels say, with whatever else goes with it in that data: that changes too.\n"
            "- What is preserved was judged of labelled attributes only; who a face belongs to was not.\n"
            "- Its pictures are made up. They are no evidence of how anybody looks."
        )


def _table(heads: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [heads, ["---"] * len(heads), *(map(_plain, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(*lines: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _plain(text: str) -> str:
    """Text of which Markdown makes nothing else."""
    flat = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in flat)


def _form(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
