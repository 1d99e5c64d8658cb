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
        """What it is: commands, a script, python, toml, or text that nobody types."""
        first = self.text.lstrip().splitlines()[0]
        if first.startswith("#!"):
            return "script"
        if self.language in ("toml", "python", "text"):
            return self.language
        if self.language.startswith("{"):
            return "text"  # A directive of Sphinx's.
        if re.match(r"(\S*/)?(mdtranslate|python3?|pip|pytest|torchrun|srun|cd|export)\b", first):
            return "commands"
        if re.match(r"\[[\w.-]+\]", first) or re.match(r"[\w.-]+ = ", first):
            return "toml"
        if re.match(r"(import|from|def|class|@)\b", first) or first.startswith("@"):
            return "python"
        return "text"


def blocks(page: Path) -> Iterator[Block]:
    """Every block: between fences, or four blanks in after an empty line."""
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
            yield Block(page, number + 1, "\n".join(each[4:] for each in lines[number:end]).rstrip())
            number = end
        else:
            number += 1


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a block: lines, and what `&&` joins; comments are none."""
    text = re.sub(r"\\\n\s*", " ", text)
    for line in text.splitlines():
        for part in line.split("&&"):
            if words := shlex.split(part, comments=True):
                yield words


def in_text(page: Path) -> Iterator[list[str]]:
    """The words of each command that stands in the text, between backticks."""
    text = page.read_text("utf-8")
    for found in re.finditer(r"(?<!`)`((?:mdtranslate|python) [^`\n]+)`", text):
        cleaned = found[1].replace("[", "").replace("]", "").replace("...", "").replace("|", " ")
        yield shlex.split(cleaned)
