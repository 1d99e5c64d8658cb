"""The reference page of what `mdtranslate` itself names: classes, their attributes and methods, from the source."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import mdtranslate

SECTIONS = {
    "Datasets": "interfaces.dataset",
    "Label encoders": "interfaces.labels",
    "Networks": "interfaces.networks",
    "Losses": "interfaces.loss",
    "What losses look at": "translation",
    "Metrics": "interfaces.metric",
    "Feature networks": "interfaces.features",
    "Importers": "interfaces.importer",
    "Every component": "interfaces.component",
    "A component inside another": "choice",
    "Hooks and the version of the contract": "hookspecs",
    "Trained models": "translator",
    "Failures": "errors",
    "Checks for tests": "testing",
}
"""The parts of the page, each from one module."""
ALSO = {"errors", "testing"}
"""Modules of which all is shown that has a docstring: it is imported from there."""
UNSHOWN = {"nearest", "first_line"}
"""What is in them for the core alone."""


def page() -> str:
    """The page, as Markdown."""
    lines = ["# Python", "", "What `import mdtranslate` names, and what each is for.", ""]
    for title, module in SECTIONS.items():
        lines += [f"## {title}", ""]
        if module in ALSO:
            lines += [f"From `mdtranslate.{module}`.", ""]
        for name, node, said in _documented(module):
            lines += [f"### {name}", "", *_entry(node, said)]
    return "\n".join(lines) + "\n"


def prose(text: str) -> str:
    """A docstring as Markdown: `name::` before a block is of another markup."""
    return text.replace("::\n", ":\n")


def _documented(module: str) -> Iterator[tuple[str, ast.stmt, str]]:
    """The public names of a module that this page shows, what defines each, and what is said of it."""
    path = Path(mdtranslate.__file__).parent / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for name, node, said in _members(ast.parse(file.read_text("utf-8")).body):
        if name in mdtranslate.__all__ or (module in ALSO and not isinstance(node, ast.Assign) and name not in UNSHOWN):
            yield name, node, said


def _members(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt, str]]:
    """The public names that a module or class defines, with their docstrings; of a variable, the text after it."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        said = ""
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if any(ast.unparse(each) == "overload" for each in node.decorator_list):
                continue
            name, said = node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = ast.unparse(target)
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                said = inspect.cleandoc(str(after.value.value))
        else:
            continue
        if not name.startswith("_") or (name in ("__init__", "__call__") and said):
            yield name, node, said


def _entry(node: ast.stmt, said: str) -> Iterator[str]:
    if not isinstance(node, ast.ClassDef):
        yield from ["```python", _signature(node), "```", "", prose(said), ""]
        return
    bases = ", ".join(ast.unparse(each) for each in node.bases)
    # The settings (`Config`) are on every kind's own page.
    members = [each for each in _members(node.body) if each[0] not in ("Config", "model_config")]
    yield from ["```python", f"class {node.name}({bases}):" if bases else f"class {node.name}:"]
    yield from [f"    {_signature(member)}" for _, member, text in members if not text]
    yield from ["```", "", prose(said), ""]
    for name, member, text in members:
        if text:
            yield from [f"#### {node.name}.{name}", "", "```python", _signature(member), "```", "", prose(text), ""]


def _signature(node: ast.stmt) -> str:
    """How a name is defined, on one line where that is short."""
    if not isinstance(node, ast.FunctionDef):
        return ast.unparse(node)
    bare = ast.FunctionDef(node.name, node.args, [ast.Expr(ast.Constant(...))], node.decorator_list, node.returns)
    bare.decorator_list = [each for each in bare.decorator_list if ast.unparse(each) != "abstractmethod"]
    bare.type_params = []
    text = ast.unparse(ast.fix_missing_locations(bare)).removesuffix("\n    ...").removesuffix(":")
    return text.replace("@lazy\n", "@property\n")
