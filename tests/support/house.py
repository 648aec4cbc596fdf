"""Measure how a tree is built: `python -m tests.support.house [TREE …]` prints a column for each checkout.

`tests/test_house.py` holds this tree to the limits of CONTRIBUTING. Imports are read as text, so any tree can be
measured, also an old one that has other dependencies.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.support.stage import REPOSITORY

PACKAGE = "bridge"
PUBLIC_ANYWAY = {"_replace", "_asdict", "_fields", "_make", "_exit"}  # of named tuples, and of `os`
NO_VERB = re.compile(
    "an?|the|what|who|whose|which|where|when|whether|how|why|one|all|of|in|on|at|to|from|for|by|with|its|their|it|this"
    "|that|these|those|each|every|some|any|no|not|as|if|is|are|may|must|most|only|also|both|else|none|nothing|same|more"
    "|less|there",
    re.IGNORECASE,
)
NO_IMPERATIVE = re.compile(r"[A-Z][a-z]+(?:[^s]s|ed|ing)")  # Returns, Returned, Returning
VERBS = {"Bring", "Embed", "Feed", "Focus", "Heed", "Need", "Proceed", "Ring", "Shed", "Speed", "String"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class House:
    """What was found in one tree.

    Attributes:
        lines: Of each Python file.
        functions: Lines of the body of each function, without its docstring.
        arrows: Imports between rooms: folders and modules that stand directly in the package.
        private: How many private names of others each file uses.
        aliases: Names of ours that are imported under another one.
        wordless: Docstrings of functions that do not begin with an imperative verb.
        statements: Lines of each SQL statement, without comments.
        schema: Lines of each file of the schema.
    """

    lines: dict[str, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    docstrings: list[str] = field(default_factory=list)
    arrows: set[tuple[str, str]] = field(default_factory=set)
    private: Counter[str] = field(default_factory=Counter)
    aliases: list[str] = field(default_factory=list)
    wordless: list[str] = field(default_factory=list)
    statements: dict[str, int] = field(default_factory=dict)
    schema: dict[str, int] = field(default_factory=dict)

    @property
    def rooms(self) -> set[str]:
        """The folders and modules that stand directly in the package."""
        return {room_of(Path(name)) for name in self.lines}


def measure(tree: Path) -> House:
    """Measure the package in a checkout."""
    listed = subprocess.run(
        ["git", "-C", tree, "ls-files", "--cached", "--others", "--exclude-standard", PACKAGE],
        capture_output=True,
        text=True,
        check=True,
    )
    house = House()
    names = [name for name in listed.stdout.split() if (tree / name).exists()]
    modules = {module_of(Path(name)): room_of(Path(name)) for name in names if name.endswith(".py")}
    for name in names:
        if name.endswith(".py"):
            _measure_module(house, name, (tree / name).read_text(), modules)
        elif name.endswith(".sql"):
            text = (tree / name).read_text()
            sort = house.schema if "schema" in name or "migrations" in name else house.statements
            sort[name] = sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("--"))
    return house


def module_of(path: Path) -> str:
    """Return the dotted name of a file's module."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(path: Path) -> str:
    """Return the folder or the module of a file that stands directly in the package."""
    return path.parts[1] if len(path.parts) > 2 else path.stem


def _measure_module(house: House, name: str, text: str, modules: Mapping[str, str]) -> None:
    house.lines[name] = len(text.splitlines())
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            for target, alias in _imported(node):
                found = target if target in modules else target.rpartition(".")[0]
                if found in modules and modules[found] != room_of(Path(name)):
                    house.arrows.add((room_of(Path(name)), modules[found]))
                if found in modules and alias:
                    house.aliases.append(f"{name}: {target} as {alias}")
        elif isinstance(node, ast.Attribute):
            house.private[name] += _is_private_name_of_another(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _measure_function(house, f"{name}:{node.name}", node)


def _imported(node: ast.ImportFrom | ast.Import) -> Iterator[tuple[str, str]]:
    """Yield what an import names, and the other name that it gets."""
    for it in node.names:
        target = it.name if isinstance(node, ast.Import) else f"{node.module}.{it.name}"
        yield target, it.asname if it.asname and it.asname != it.name else ""


def _is_private_name_of_another(node: ast.Attribute) -> bool:
    """Tell whether this is `something._name`, and not `self._name`."""
    if not node.attr.startswith("_") or node.attr.startswith("__") or node.attr in PUBLIC_ANYWAY:
        return False
    owner = node.value.func if isinstance(node.value, ast.Call) else node.value
    return not (isinstance(owner, ast.Name) and owner.id in {"self", "cls", "super"})


def _measure_function(house: House, name: str, node: Function) -> None:
    documented = ast.get_docstring(node)
    body = node.body[1:] if documented else node.body
    house.functions[name] = node.end_lineno - body[0].lineno + 1 if body and node.end_lineno else 0
    decorators = " ".join(ast.unparse(it) for it in node.decorator_list)
    if documented and not re.search(r"\b(?:cached_)?property\b", decorators):
        house.docstrings.append(name)
        if not begins_with_a_verb(documented):
            house.wordless.append(f"{name}: {documented.splitlines()[0]}")


def begins_with_a_verb(docstring: str) -> bool:
    """Tell whether a docstring may begin with an imperative: what surely does not is known, verbs are not."""
    first = docstring.split(maxsplit=1)[0].rstrip(".,:;")
    if not re.fullmatch(r"[A-Z][a-z]+", first) or NO_VERB.fullmatch(first):
        return False
    return first in VERBS or not NO_IMPERATIVE.fullmatch(first)


def _most(sizes: Mapping[str, int]) -> str:
    """Return the largest size, and whose it is."""
    name = max(sizes, key=lambda it: sizes[it], default="")
    return f"{sizes[name]:,} ({name.removeprefix(f'{PACKAGE}/')})" if name else "-"


def rows(house: House) -> dict[str, str]:
    """Return the figures of a tree by their names."""
    borrowed = {name: number for name, number in house.private.items() if number}
    beside = [name for name in borrowed if "/broker/internals/" not in name]
    statements = house.statements
    return {
        "rooms: folders and modules in the package": f"{len(house.rooms)}",
        "arrows between them": f"{len(house.arrows)}",
        "modules directly in the package": f"{sum(Path(name).parent == Path(PACKAGE) for name in house.lines)}",
        "Python files": f"{len(house.lines)}",
        "Python lines": f"{sum(house.lines.values()):,}",
        "lines of a file, median": f"{median(house.lines.values()):.0f}",
        "longest file": _most(house.lines),
        "longest body of a function": _most(house.functions),
        "bodies over 40 lines": f"{sum(size > 40 for size in house.functions.values())}",
        "files with private names of others": f"{len(borrowed)}, {len(beside)} of them outside of broker/internals",
        "most private names in a file": _most(borrowed),
        "aliases of own names": f"{len(house.aliases)}",
        "SQL statements": f"{len(statements)}",
        "lines of a statement, median": f"{median(statements.values()):.0f}",
        "longest statement": _most(statements),
        "statements over 40 lines": f"{sum(size > 40 for size in statements.values())}",
        "files of the schema": f"{len(house.schema)}",
        "longest of them": _most(house.schema),
        "docstrings of functions": f"{len(house.docstrings)}",
        "of these without a verb in front": f"{len(house.wordless)}",
    }


def table(trees: Sequence[Path]) -> str:
    """Return a table in Markdown, a column for each tree."""
    columns = [rows(measure(tree)) for tree in trees]
    lines = [f"| | {' | '.join(tree.resolve().name for tree in trees)} |", f"| --- |{' --- |' * len(trees)}"]
    lines += [f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([Path(argument) for argument in sys.argv[1:]] or [REPOSITORY]))
