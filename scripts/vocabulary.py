#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Find words that this project does not use. docs/reference/glossary.md lists the words to use.

Usage: vocabulary.py [PATH...]

Without a path, all sources, tests, documents, scripts, examples and texts of the dashboard are
read. Each finding is a line `file:line: word: text`; the exit code is 1 if there are any. In Python
sources, names of identifiers, comments, docstrings and other texts are searched. Words of the wire
and of quoted code are allowed: text between backticks is not searched.
"""

import ast
import functools
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

NAMES: Final = frozenset(
    {
        *("say", "says", "said", "tell", "tells", "told", "untold", "hear", "hears", "heard"),
        *("wish", "wishes", "wished", "asked", "asker", "askers", "unasked", "spoke", "speak"),
        *("door", "doors", "doorkeeper", "stranger", "strangers", "meant", "lies"),
        *("asks", "asking", "hog", "hogs", "keeper", "whom"),
    }
)
"""Parts of an identifier that carry no meaning: `_told`, `metrics_door`, `StrangersMax`."""

PHRASES: Final = (
    *("door", "doors", "stranger", "strangers", "whom", "whomever", "whoever", "whosoever"),
    *("so many", "so long", "so often", "so much", "so soon"),
    *("taken for", "is none of", "are none of", "that is none", "counts no more", "is not good"),
    *("are not good", "is told", "are told", "was told", "were told", "is heard", "are heard"),
    *("was heard", "hears of", "tells of", "has said", "had said", "who said", "what was said"),
    *("said nothing", "says nothing", "brought along", "of its own accord", "is whole", "to mend"),
    *("mended", "mends", "in vain", "as one pleases", "the road", "lest", "silence limit"),
    *("here since", "who comes", "who came", "who is there", "who asks", "who asked", "who reads"),
    *("a moment ago", "gone for", "gone since", "gone now", "gone with"),
    *("say", "says", "said", "tells", "told", "hears", "heard", "whatever", "the begin of"),
    *("is asked", "are asked", "was asked", "were asked", "is not here", "are not here"),
)
PATTERNS: Final = (
    # `its own token`, `a separate process`
    r"of (?:its|their|our|one's) own(?=\W*$|[^\w ]| (?:and|or|in|at|on|with|which|that|for)\b)",
    # `is not a file`
    r"(?<!there )(?:is|are|was|were) no(?= (?!longer|more|such)\w)",
)
"""Phrases that depend on the words around them."""
_HINTS: Final = (*PHRASES, " own", " no ")
_WORDS_OF_HINTS: Final = tuple((hint, frozenset(re.findall("[a-z]+", hint))) for hint in _HINTS)
_PHRASE: Final = re.compile(rf"\b(?:{'|'.join((*PHRASES, *PATTERNS))})\b", re.IGNORECASE)

ALLOWED: Final = re.compile(r"https?://\S+|`[^`\n]*`|\"\"\"", re.IGNORECASE)
"""Text that is not searched."""

DOCUMENTS: Final = (
    *("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("docs", "examples"),
)
PROGRAMS: Final = ("src/pyaiot", "tests", "fuzz", "examples", "scripts", "benchmarks")
OTHERS: Final = ("deploy", "examples", "scripts", "tests", "Dockerfile", "pyproject.toml")
OTHER_SUFFIXES: Final = frozenset(
    {"", ".yml", ".yaml", ".toml", ".sh", ".c", ".h", ".cpp", ".conf"}
)
"""Settings, shell scripts and C sources are read as text, with the code in them."""
NOT_SEARCHED: Final = frozenset(
    {"docs/reference/glossary.md", "scripts/vocabulary.py", "tests/test_vocabulary.py"}
)
KEPT: Final[dict[str, frozenset[str]]] = {
    "src/pyaiot/client/client.py": frozenset({"tell"}),
    "src/pyaiot/client/view.py": frozenset({"heard_at"}),
    "src/pyaiot/fleet/report.py": frozenset({'"strangers"'}),
    "src/pyaiot/homeassistant/units.py": frozenset({'"door"'}),
    "tests/end_to_end/test_fleet.py": frozenset({'"strangers"'}),
    "tests/interop/test_coap_directory.py": frozenset({"</door>"}),
    **dict.fromkeys(
        (
            "src/pyaiot/gateways/mqttsn/admission.py",
            "src/pyaiot/gateways/mqttsn/gateway.py",
            "src/pyaiot/gateways/mqttsn/metrics.py",
        ),
        frozenset(
            {"over the rate of strangers", "too long for a client that said nothing but CONNECT"}
        ),
    ),
}
"""Exceptions by file: names and texts that users' programs and alerts rely on (public parameters
and attributes, JSON keys, values of metric labels)."""
ONE_METAPHOR: Final = "Pyaiot is one road"
"""The sentence of ARCHITECTURE.md that may keep the metaphor of the project."""


_LETTERS: Final = re.compile("[A-Za-z]+")


def parts(name: str) -> list[str]:
    """`_toldAt_S` becomes told, at, s."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


@functools.cache
def _has_forbidden_part(letters: str) -> bool:
    return not NAMES.isdisjoint(parts(letters))


def _may_have_phrase(text: str) -> bool:
    """Whether a line has a phrase. The expression is slow: it searches only lines with a hint, and
    hints are searched only where the text has all their words."""
    lower = text.lower()
    words = set(_LETTERS.findall(lower))
    for hint, words_of_hint in _WORDS_OF_HINTS:
        at = lower.find(hint) if words_of_hint <= words else -1
        while at >= 0:
            begin, end = lower.rfind("\n", 0, at) + 1, lower.find("\n", at)
            end = len(lower) if end < 0 else end
            if _PHRASE.search(lower, begin, end):
                return True
            at = lower.find(hint, end)
    return False


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that a module defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def python_findings(path: Path) -> Iterator[tuple[int, str, str]]:
    text = path.read_text("utf-8")
    # Most files have none of the words, and parsing takes long.
    if any(map(_has_forbidden_part, set(_LETTERS.findall(text)))):
        for line, name in identifiers(ast.parse(text)):
            for part in parts(name):
                if part in NAMES:
                    yield line, part, name
    if not _may_have_phrase(text) and not _may_have_phrase(ALLOWED.sub(" ", text)):
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        # A string without spaces is a key or a name.
        if token.type == tokenize.COMMENT or (
            token.type == tokenize.STRING and " " in token.string
        ):
            yield from text_findings(token.string, token.start[0])


def text_findings(text: str, first_line: int = 1) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), first_line):
        if ONE_METAPHOR in line:
            continue
        searched = ALLOWED.sub(" ", line)
        for found in _PHRASE.finditer(searched):
            yield number, found[0], line.strip()[:80]


def documents() -> Iterator[Path]:
    for name in DOCUMENTS:
        path = ROOT / name
        yield from sorted(path.rglob("*.md")) if path.is_dir() else [path]


def others() -> Iterator[Path]:
    for name in OTHERS:
        path = ROOT / name
        for found in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if found.suffix in OTHER_SUFFIXES and found.is_file():
                yield found


def all_paths() -> list[Path]:
    return [
        *(path for name in PROGRAMS for path in sorted((ROOT / name).rglob("*.py"))),
        *documents(),
        *others(),
        ROOT / "dashboard" / "src" / "i18n" / "en.ts",
    ]


def files_of(arguments: list[str]) -> Iterator[Path]:
    for argument in arguments:
        path = Path(argument).resolve()
        if path.is_dir():
            yield from sorted(
                found for found in path.rglob("*") if found.suffix in {".py", ".md", ".ts"}
            )
        else:
            yield path


def findings(paths: list[Path]) -> list[str]:
    """Each finding as a line."""
    found = []
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if name in NOT_SEARCHED:
            continue
        lines = (
            python_findings(path)
            if path.suffix == ".py"
            else text_findings(path.read_text("utf-8"))
        )
        kept = KEPT.get(name, frozenset())
        found += [
            f"{name}:{line}: {word}: {text}"
            for line, word, text in lines
            if not any(part in text for part in kept)
        ]
    return found


def main() -> int:
    paths = list(files_of(sys.argv[1:])) or all_paths()
    found = findings(paths)
    print("\n".join(found) if found else "No word is used that the glossary replaces.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
