# SPDX-License-Identifier: BSD-3-Clause
"""The search for words that the glossary replaces."""

from pathlib import Path

import pytest

from scripts import vocabulary


def found(text: str) -> list[str]:
    return [word.lower() for _, word, _ in vocabulary.text_findings(text)]


@pytest.mark.parametrize("phrase", vocabulary.PHRASES)
def test_each_phrase_is_found(phrase: str) -> None:
    assert phrase in found(f"The broker {phrase.upper()} nodes.")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A gateway with a token of its own.", "of its own"),
        ("gateways in processes of their own and", "of their own"),
        ("It needs a namespace of its own", "of its own"),
        ("This is no file.", "is no"),
        ("Failed attempts are no events.", "are no"),
    ],
)
def test_patterns_depend_on_the_next_word(text: str, word: str) -> None:
    assert found(text) == [word]


@pytest.mark.parametrize(
    "text",
    [
        "the readings of its own gateways",
        "The key is no longer valid, and there is no other.",
        "`said` is a word of the wire",
        "https://example.org/whom",
        "Nodes assay the essay.",
    ],
)
def test_other_uses_are_allowed(text: str) -> None:
    assert found(text) == []


def test_names_comments_and_texts_of_python_are_searched_but_not_keys(tmp_path: Path) -> None:
    path = tmp_path / "it.py"
    path.write_text(
        "def _told() -> None: ...\n# whatever it is\nKEY = 'says'\nTEXT = 'it says more'\n"
    )
    assert [(line, word) for line, word, _ in vocabulary.python_findings(path)] == [
        (1, "told"),
        (2, "whatever"),
        (4, "says"),
    ]
