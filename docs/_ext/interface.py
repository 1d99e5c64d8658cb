"""Generates the reference page of the Python API from the source: classes, attributes, methods and functions."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mdtranslate

SECTIONS = {
    "Datasets": ("api.dataset", "api.attribute"),
    "Label encoders": ("api.label_encoder",),
    "Networks": ("api.networks",),
    "Losses": ("api.loss",),
    "Input of losses": ("api.translation",),
    "Metrics": ("api.metric",),
    "Realism": ("evaluation.gap_closed",),
    "Feature networks": ("api.features",),
    "Importers": ("api.importer",),
    "All components": ("api.component",),
    "Nested components": ("config.choice",),
    "Hooks and API version": ("api.hookspecs",),
    "Trained models": ("inference.translator",),
    "Helpers for plugins": (
        "utils.image_folder",
        "utils.image_io",
        "utils.files",
        "utils.state_dict",
        "utils.timm_factory",
    ),
    "Errors": ("errors",),
    "Checks for tests": ("testing",),
}
"""Sections of the page, and the modules of each."""

PUBLIC_MODULES = {"errors", "testing"}
"""Modules that plugins import directly; all their documented names are on the page."""

INTERNAL = {"nearest", "first_line"}
"""Names in public modules that only the core uses."""

LIST_SECTIONS, TEXT_SECTIONS = ("Args", "Attributes", "Raises"), ("Returns", "Yields")
"""Sections of docstrings: those that are lists of names, and those that are text."""


class Definition(NamedTuple):
    """A name that a module or class defines.

    Attributes:
        name: The name.
        node: Its definition.
        docstring: Its docstring; for a variable, the string below it; empty if there is none.
    """

    name: str
    node: ast.stmt
    docstring: str


def render_page() -> str:
    """Returns the page as Markdown."""
    lines = ["# Python", "", "The public API: what plugins and programs may import from `mdtranslate`.", ""]
    for title, modules in SECTIONS.items():
        lines += [f"## {title}", ""]
        for module in modules:
            if module in PUBLIC_MODULES:
                lines += [f"Import from `mdtranslate.{module}`.", ""]
            for definition in _public_definitions(module):
                lines += [f"### {definition.name}", "", *_render_definition(definition)]
    return "\n".join(lines) + "\n"


def to_markdown(docstring: str) -> str:
    """Converts a Google-style docstring to Markdown: the names of sections become bold, and their entries lists."""
    lines: list[str] = []
    section = ""
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            name = line.removesuffix(":")
            section = name if line.endswith(":") and name in (*LIST_SECTIONS, *TEXT_SECTIONS) else ""
            lines += [f"**{section}**", ""] if section else [line]
        elif section in LIST_SECTIONS and re.match(r" {4}\S", line):
            name, _, text = line.strip().partition(": ")
            lines.append(f"- `{name}`: {text}")
        elif section in LIST_SECTIONS:
            lines.append(f"  {line.strip()}".rstrip())
        elif section in TEXT_SECTIONS:
            lines.append(line.removeprefix("    "))
        else:
            lines.append(line)
    return "\n".join(lines).replace("::\n", ":\n")


def _public_definitions(module: str) -> Iterator[Definition]:
    """Yields the definitions of a module that are on the page."""
    path = Path(mdtranslate.__file__).parent / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for definition in _definitions(ast.parse(file.read_text("utf-8")).body):
        is_variable = isinstance(definition.node, ast.Assign | ast.AnnAssign)
        in_public_module = module in PUBLIC_MODULES and not is_variable and definition.name not in INTERNAL
        if definition.name in mdtranslate.__all__ or in_public_module:
            yield definition


def _definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    """Yields the public names that a module or class defines."""
    for node, following in zip(body, [*body[1:], None], strict=True):
        docstring = ""
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
                continue
            name, docstring = node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = ast.unparse(target)
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docstring = inspect.cleandoc(str(following.value.value))
        else:
            continue
        if not name.startswith("_") or (name in ("__init__", "__call__") and docstring):
            yield Definition(name, node, docstring)


def _render_definition(definition: Definition) -> Iterator[str]:
    node, docstring = definition.node, to_markdown(definition.docstring)
    if not isinstance(node, ast.ClassDef):
        yield from ["```python", _signature(node), "```", "", docstring, ""]
        return
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    # Settings (`Config`) are on the pages of the components.
    members = [member for member in _definitions(node.body) if member.name not in ("Config", "model_config")]
    yield from ["```python", f"class {node.name}({bases}):" if bases else f"class {node.name}:"]
    yield from [f"    {_signature(member.node)}" for member in members if not member.docstring]
    yield from ["```", "", docstring, ""]
    for member in members:
        if member.docstring:
            yield from [f"#### {node.name}.{member.name}", "", "```python", _signature(member.node), "```", ""]
            yield from [to_markdown(member.docstring), ""]


def _signature(node: ast.stmt) -> str:
    """Returns the definition of a name without its body, in one line if possible."""
    if not isinstance(node, ast.FunctionDef):
        return ast.unparse(node)
    function = ast.FunctionDef(node.name, node.args, [ast.Expr(ast.Constant(...))], node.decorator_list, node.returns)
    function.decorator_list = [item for item in function.decorator_list if ast.unparse(item) != "abstractmethod"]
    function.type_params = []
    text = ast.unparse(ast.fix_missing_locations(function)).removesuffix("\n    ...").removesuffix(":")
    return text.replace("@lazy_property\n", "@property\n")
