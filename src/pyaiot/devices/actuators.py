# SPDX-License-Identifier: BSD-3-Clause
"""Simulated actuators: how a board handles the bytes that are written to a resource."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple


class Actuator(NamedTuple):
    """A writable resource of a board.

    `write` returns the new text of the resource. It raises `ValueError` if the board refuses the
    value.
    """

    initial_text: str
    write: Callable[[bytes], str]


def _one_of(*texts: bytes) -> Callable[[bytes], str]:
    def write(body: bytes) -> str:
        if body not in texts:
            raise ValueError("invalid value")
        return body.decode()

    return write


def _speeds(body: bytes) -> str:
    speeds = re.fullmatch(rb"(-?\d{1,3}):(-?\d{1,3}):(-?\d{1,3})\n?", body)
    if speeds is None or any(abs(int(speed)) > 255 for speed in speeds.groups()):
        raise ValueError("not three speeds")
    return body.decode()


# By the name of the resource.
ACTUATORS: Final[dict[str, Actuator]] = {
    "led": Actuator("0", _one_of(b"0", b"1")),
    "robot": Actuator("s", _one_of(b"u", b"l", b"r", b"s")),
    "ribot": Actuator("0:0:0\n", _speeds),
    "js": Actuator("", bytes.decode),
}
