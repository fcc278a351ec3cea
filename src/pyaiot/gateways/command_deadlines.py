# SPDX-License-Identifier: BSD-3-Clause
"""The deadlines of commands that are published to an MQTT broker. Pure.

MQTT 3.1.1 cannot transmit a deadline. The MQTT gateway records it here, and the MQTT-SN gateway of
the same process, which may keep the command for a sleeping client, looks it up. `now` is the loop's
time in seconds.
"""

from collections import OrderedDict
from typing import Final

from pyaiot.messages import COMMAND_TIMEOUT_MAX_S

COMMAND_S_MAX: Final = COMMAND_TIMEOUT_MAX_S
"""How long a command (QoS 0) is kept for a sleeping MQTT-SN client if its deadline is unknown,
because the gateways run in separate processes. No deadline is longer."""
COMMANDS_MAX: Final = 4096
"""Commands whose deadlines are remembered. Beyond that, the oldest is forgotten and may be
delivered late."""
REMEMBERED_S: Final = 60.0
"""How long a deadline is remembered after it has passed, for commands that arrive late."""


class CommandDeadlines:
    """The deadline of the latest command of each topic and payload."""

    def __init__(self) -> None:
        self._deadlines: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, topic: str, payload: bytes, deadline: float, *, now: float) -> None:
        """A command is about to be published."""
        self._deadlines[topic, payload] = deadline
        self._deadlines.move_to_end((topic, payload))
        while self._deadlines:
            oldest = next(iter(self._deadlines.values()))
            if len(self._deadlines) <= COMMANDS_MAX and oldest + REMEMBERED_S > now:
                return
            self._deadlines.popitem(last=False)

    def find(self, topic: str, payload: bytes) -> float | None:
        """The deadline of a command that has arrived; None: it is not from this process."""
        return self._deadlines.get((topic, payload))
