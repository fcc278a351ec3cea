# SPDX-License-Identifier: BSD-3-Clause
"""Simulated firmware that updates itself over and over, and says how far it is. Pure.

The codes of `suit_state` are those that deployed RIOT firmware says (an update as RFC 9019 has it).
"""

import random
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final


class SuitState(StrEnum):
    """What `suit_state` says."""

    NONE = "0"
    TRIGGERED = "1"
    VALIDATING_SIGNATURE = "2"
    DOWNLOADING = "6"
    VALIDATING_DIGEST = "9"
    DIGEST_INVALID = "10"
    DOWNLOADED = "11"


QUIET_READINGS: Final = 12
"""Readings between two updates."""
SHOWN_READINGS: Final = 4
"""Readings for which the end of an update is told, so that a person can read it."""
DOWNLOAD_PERCENT: Final = (0, 9, 21, 34, 48, 61, 77, 92, 100)
SPOILED: Final = 0.2
"""Share of the downloads that came out wrong."""


class Firmware:
    """Call `read` for each reading: the first gives every text, the later ones what changed."""

    def __init__(self, version: str, rng: random.Random) -> None:
        self._version = version
        self._rng = rng
        self._said: dict[str, str] = {}
        self._story = self._tell()

    def read(self) -> dict[str, str]:
        """Texts by the name of their resource: `suit_state`, `dwnld` and `version`."""
        state, percent = next(self._story)
        texts = {"suit_state": state.value, "dwnld": f"{percent}%", "version": self._version}
        changed = {name: text for name, text in texts.items() if self._said.get(name) != text}
        self._said = texts
        return changed

    def _tell(self) -> Iterator[tuple[SuitState, int]]:
        percent = 0
        while True:
            for _ in range(QUIET_READINGS):
                yield SuitState.NONE, percent
            for state in (SuitState.TRIGGERED, SuitState.VALIDATING_SIGNATURE):
                yield state, 0
            for percent in DOWNLOAD_PERCENT:
                yield SuitState.DOWNLOADING, percent
            yield SuitState.VALIDATING_DIGEST, percent
            end = SuitState.DIGEST_INVALID
            if self._rng.random() >= SPOILED:
                end = SuitState.DOWNLOADED
                self._version = next_version(self._version)
            for _ in range(SHOWN_READINGS):
                yield end, percent


def next_version(version: str) -> str:
    """`2026.07` → `2026.08`; what has no number at its end gets one."""
    number = re.search(r"[0-9]+$", version)
    if number is None:
        return f"{version}.1".removeprefix(".")
    return version[: number.start()] + f"{int(number[0]) + 1:0{len(number[0])}d}"
