# SPDX-License-Identifier: BSD-3-Clause
"""docs/conformance.md: the named tests exist, and rows are in the order of sections."""

import ast
import itertools
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "conformance.md").read_text("utf-8")


def test_every_test_that_conformance_names_exists() -> None:
    texts = {path: path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    files = {path.name for path in texts}
    named = re.findall(r"`(test_\w+(?:\.py)?)`", PAGE)
    assert len(named) > 30
    defined = {path: set(re.findall(r"\bdef (test_\w+)", text)) for path, text in texts.items()}
    functions = {
        node.name
        for path, text in texts.items()
        if not defined[path].isdisjoint(named)  # to parse all files takes long
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [name for name in named if name not in functions and name not in files] == []


def section(cell: str) -> list[str]:
    """The first section in a cell, as a key for sorting: `4.10` after `4.9`, appendices last."""
    first = re.match(r"[\w.]+", cell)
    assert first is not None
    return [part.rjust(3, "0") for part in first[0].split(".")]


def test_rows_are_in_the_order_of_sections() -> None:
    tables = re.findall(r"(?m)^\| section \|.*\n\|.*\n((?:\|.*\n)+)", PAGE)
    assert len(tables) > 10
    for table in tables:
        cells = [row.split("|")[1].strip() for row in table.splitlines()]
        # `4279: 5.3` and `RFC 8516` are of another standard than the rows before.
        for is_other, group in itertools.groupby(
            cells, lambda cell: bool(re.match(r"\d{4}|RFC", cell))
        ):
            rows = list(group)
            assert is_other or rows == sorted(rows, key=section)
