# SPDX-License-Identifier: BSD-3-Clause
"""The threat model names tests that exist, and has every listener."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "explanation" / "threat-model.md").read_text("utf-8")
ATTACKS = re.compile(
    r"^\| (?!attack |asset |actor |---)([^|]+) \| ([^|]+) \| (`test_[^|]+) \|$", re.MULTILINE
)


def known_tests() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found |= set(re.findall(r"def (test_\w+)\(", path.read_text("utf-8")))
    return found


def test_each_named_test_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 60
    assert named - known_tests() == set()


def test_each_fault_of_the_page_on_reliability_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "reference" / "reliability.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 8
    assert named - known_tests() == set()


def test_each_attack_has_a_defence_and_a_test() -> None:
    sections = TEXT.partition("## The web listener")[2].partition("## Supply chain")[0]
    rows = [row for row in sections.splitlines() if row.startswith("| ") and "| --- |" not in row]
    attacks = [row for row in rows if not row.startswith("| attack |")]
    assert len(attacks) > 30
    assert [row for row in attacks if not ATTACKS.match(row)] == []


def test_each_listener_has_a_section() -> None:
    for word in ("web listener", "/gw", "CoAP", "MQTT-SN", "WebSocket nodes", "files"):
        assert re.search(rf"^## .*{re.escape(word)}", TEXT, re.MULTILINE), word
