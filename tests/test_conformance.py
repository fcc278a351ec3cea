# SPDX-License-Identifier: BSD-3-Clause
"""docs/conformance.md names tests: they exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "conformance.md").read_text("utf-8")


def test_every_test_that_conformance_names_exists() -> None:
    paths = list((ROOT / "tests").rglob("test_*.py"))
    files = {path.name for path in paths}
    functions = {
        node.name
        for path in paths
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named = re.findall(r"`(test_\w+(?:\.py)?)`", PAGE)
    assert len(named) > 30
    assert [name for name in named if name not in functions and name not in files] == []
