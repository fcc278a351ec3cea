# SPDX-License-Identifier: BSD-3-Clause
"""The documents of the repository: their headings, prose and fenced blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, without its indentation."""

    path: Path
    line: int
    language: str
    text: str

    @staticmethod
    def of(path: Path) -> Iterator["Block"]:
        """The blocks of a document, in order."""
        lines = iter(enumerate(path.read_text("utf-8").splitlines(), start=1))
        for number, line in lines:
            if fence := FENCE.fullmatch(line):
                inside = []
                for _, inner in lines:
                    if inner.strip() == "```":
                        break
                    inside.append(inner.removeprefix(fence["indent"]) + "\n")
                yield Block(path, number, fence["language"], "".join(inside))

    def commands(self) -> list[str]:
        """The commands of a shell block, without comments and output."""
        lines = self.text.replace("\\\n", " ").splitlines()
        typed = (re.sub(r"(^|\s+)# .*", "", line).strip() for line in lines)
        return [line for line in typed if line]


def documents() -> list[Path]:
    """Every document: those of the root, of docs/ and of examples/."""
    folders = (ROOT / "docs", ROOT / "examples")
    return sorted([*ROOT.glob("*.md"), *(path for f in folders for path in f.rglob("*.md"))])


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    text = path.read_text("utf-8")
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that a heading gets on the sites where Markdown is read."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
