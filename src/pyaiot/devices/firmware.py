# SPDX-License-Identifier: BSD-3-Clause
"""Simulated firmware that updates itself repeatedly and reports its progress. Pure.

The codes of `suit_state` are those of deployed RIOT firmware (updates according to RFC 9019).
"""

import random
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final


class SuitState(StrEnum):
    """Values of `suit_state`."""

    NONE = "0"
    TRIGGERED = "1"
    VALIDATING_SIGNATURE = "2"
    DOWNLOADING = "6"
    VALIDATING_DIGEST = "9"
    DIGEST_INVALID = "10"
    DOWNLOADED = "11"


IDLE_READINGS: Final = 12
"""Readings between two updates."""
RESULT_READINGS: Final = 4
"""Readings that show the result of an update: long enough for a person to read it."""
DOWNLOAD_PERCENT: Final = (0, 9, 21, 34, 48, 61, 77, 92, 100)
FAILURE_RATE: Final = 0.2
"""Share of the downloads whose digest is invalid."""


class Firmware:
    """Call `read` for each reading. The first returns all texts, later ones only changes."""

    def __init__(self, version: str, rng: random.Random) -> None:
        self._version = version
        self._rng = rng
        self._reported: dict[str, str] = {}
        self._states = self._update_states()

    def read(self) -> dict[str, str]:
        """Texts by the name of their resource: `suit_state`, `dwnld` and `version`."""
        state, percent = next(self._states)
        texts = {"suit_state": state.value, "dwnld": f"{percent}%", "version": self._version}
        changed = {name: text for name, text in texts.items() if self._reported.get(name) != text}
        self._reported = texts
        return changed

    def _update_states(self) -> Iterator[tuple[SuitState, int]]:
        percent = 0
        while True:
            for _ in range(IDLE_READINGS):
                yield SuitState.NONE, percent
            for state in (SuitState.TRIGGERED, SuitState.VALIDATING_SIGNATURE):
                yield state, 0
            for percent in DOWNLOAD_PERCENT:
                yield SuitState.DOWNLOADING, percent
            yield SuitState.VALIDATING_DIGEST, percent
            result = SuitState.DIGEST_INVALID
            if self._rng.random() >= FAILURE_RATE:
                result = SuitState.DOWNLOADED
                self._version = next_version(self._version)
            for _ in range(RESULT_READINGS):
                yield result, percent


def next_version(version: str) -> str:
    """`2026.07` → `2026.08`. A version without a number at its end gets `.1`."""
    number = re.search(r"[0-9]+$", version)
    if number is None:
        return f"{version}.1".removeprefix(".")
    return version[: number.start()] + f"{int(number[0]) + 1:0{len(number[0])}d}"
