# SPDX-License-Identifier: BSD-3-Clause
"""Names of resources as text for people. The dashboard is tested with the same file."""

import json
from pathlib import Path

import pytest

from pyaiot.model.names import title_of

NAMES = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "title"), NAMES)
def test_a_name_is_shown_in_words(name: str, title: str) -> None:
    assert title_of(name) == title
