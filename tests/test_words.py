"""No name of ours uses a word of `words.txt`: the project's standard terms are in docs/contributing and the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = {*(ROOT / "tests" / "words.txt").read_text().split()}


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that are defined or assigned, with their lines; those of comprehensions and lambdas are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Lambda | ast.comprehension):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.lineno, node.attr
        yield from names(node)


def words(name: str) -> set[str]:
    """The words of a name: `source`, `image` of `source_image` and of `SourceImage`."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def offences(file: Path) -> list[str]:
    found = names(ast.parse(file.read_text("utf-8")))
    return [f"{file.relative_to(ROOT)}:{line}: {name}" for line, name in found if words(name) & WORDS]


def test_names_use_standard_terms() -> None:
    files = [file for folder in ("mdtranslate", "plugins") for file in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    assert [offence for file in files for offence in offences(file)] == []


def test_what_counts_as_a_definition() -> None:
    tree = ast.parse("def judge(given): own = [each for each in x]\nclass FirstLook: pass\nself.found = told(there=1)")
    assert [name for _, name in names(tree) if words(name) & WORDS] == ["judge", "given", "own", "FirstLook", "found"]
