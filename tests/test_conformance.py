# SPDX-License-Identifier: BSD-3-Clause
"""docs/conformance.md names tests: they exist."""

import ast
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
