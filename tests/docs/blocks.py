"""The code blocks of the documentation, and the commands in its text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "examples").glob("*/README.md"))


@dataclass(frozen=True)
class Block:
    """One code block."""

    page: Path
    line: int
    text: str
    language: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def kind(self) -> str:
        """`commands`, `script`, `python`, `toml` or `text`."""
        first = self.text.lstrip().splitlines()[0]
        if first.startswith("#!"):
            return "script"
        if self.language in ("toml", "python", "text"):
            return self.language
        if self.language.startswith("{"):
            return "text"  # A directive of Sphinx.
        if re.match(r"(\S*/)?(mdtranslate|python3?|pip|pytest|torchrun|srun|cd|export)\b", first):
            return "commands"
        if re.match(r"\[[\w.-]+\]", first) or re.match(r"[\w.-]+ = ", first):
            return "toml"
        if re.match(r"(import|from|def|class|@)\b", first) or first.startswith("@"):
            return "python"
        return "text"


def blocks(page: Path) -> Iterator[Block]:
    """Yields the blocks of a page: between fences, or indented by four after an empty line."""
    lines = page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        if fence := re.match(r"(`{3,})(.*)", line):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].startswith(fence[1]))
            yield Block(page, number + 1, "\n".join(lines[number + 1 : end]), fence[2].strip())
            number = end + 1
        elif line.startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield Block(page, number + 1, "\n".join(line[4:] for line in lines[number:end]).rstrip())
            number = end
        else:
            number += 1


def commands(text: str) -> Iterator[list[str]]:
    """Yields the arguments of each command of a block: of each line, split at `&&`, without comments."""
    text = re.sub(r"\\\n\s*", " ", text)
    for line in text.splitlines():
        for command in line.split("&&"):
            if arguments := shlex.split(command, comments=True):
                yield arguments


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yields the arguments of each command between backticks in the text of a page."""
    text = page.read_text("utf-8")
    for match in re.finditer(r"(?<!`)`((?:mdtranslate|python) [^`\n]+)`", text):
        cleaned = match[1].replace("[", "").replace("]", "").replace("...", "").replace("|", " ")
        yield shlex.split(cleaned)
