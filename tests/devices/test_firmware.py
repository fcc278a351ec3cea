# SPDX-License-Identifier: BSD-3-Clause
"""Simulated firmware and its updates."""

import random

import pytest

from pyaiot.devices.firmware import DOWNLOAD_PERCENT, Firmware, SuitState, next_version
from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.schedule import Schedule


def texts_of(count: int, seed: int = 1) -> list[dict[str, str]]:
    firmware = Firmware("2026.07", random.Random(seed))
    return [firmware.read() for _ in range(count)]


def test_the_first_reading_has_all_texts_and_later_ones_only_changes() -> None:
    first, *later = texts_of(300)
    assert first == {"suit_state": "0", "dwnld": "0%", "version": "2026.07"}
    assert {} in later
    reported = first
    for texts in later:
        assert all(reported[name] != text for name, text in texts.items())
        reported |= texts


def test_an_update_passes_every_state_and_ends_in_a_new_version_or_a_failure() -> None:
    states = [texts["suit_state"] for texts in texts_of(2000) if "suit_state" in texts]
    steps = ["0", "1", "2", "6", "9"]
    ends = set()
    for start in range(0, len(states) - 6, 6):
        *way, end = states[start : start + 6]
        assert way == steps
        ends.add(end)
    assert ends == {SuitState.DOWNLOADED, SuitState.DIGEST_INVALID}


def test_only_a_successful_download_changes_the_version() -> None:
    state = ""
    for texts in texts_of(2000)[1:]:
        state = texts.get("suit_state", state)
        if "version" in texts:
            assert state == SuitState.DOWNLOADED


def test_download_progress_is_reported() -> None:
    percents = [texts["dwnld"] for texts in texts_of(26) if "dwnld" in texts]
    assert percents == [f"{percent}%" for percent in DOWNLOAD_PERCENT]


@pytest.mark.parametrize(
    ("version", "later"),
    [("2026.07", "2026.08"), ("v9", "v10"), ("1.99", "1.100"), ("dev", "dev.1"), ("", "1")],
)
def test_a_later_version_counts_on(version: str, later: str) -> None:
    assert next_version(version) == later


def test_firmware_is_read_in_the_period_of_the_sensors() -> None:
    schedule = Schedule(NodeConfig(updates=True, period_s=10.0), random.Random(1))
    assert schedule.read_all().keys() == {"suit_state", "dwnld", "version"}
    schedule.start(now=0.0)
    read: dict[str, str] = {}
    for _ in range(12):
        timer = schedule.get_timer()
        assert timer is not None
        read |= schedule.read_due(now=timer)
    assert read["suit_state"] == SuitState.TRIGGERED
    timer = schedule.get_timer()
    assert timer is not None
    assert 120.0 <= timer <= 130.0
