# SPDX-License-Identifier: BSD-3-Clause
"""Until when a command may be delivered that went out over an MQTT broker. Pure.

MQTT 3.1.1 has no word for it on the wire. The MQTT gateway writes down what it publishes, the
MQTT-SN gateway of the same process, which may keep it for a client that sleeps, looks it up.
`now` is the loop's time in seconds.
"""

from collections import OrderedDict
from typing import Final

from pyaiot.messages import COMMAND_TIMEOUT_MAX_S

COMMAND_S_MAX: Final = COMMAND_TIMEOUT_MAX_S
"""How long a command (QoS 0) is kept for a client of MQTT-SN that sleeps, where its deadline is not
known: the gateways are processes of their own, and no deadline is longer."""
COMMANDS_MAX: Final = 4096
"""Commands whose deadlines are remembered. Beyond, the oldest is forgotten, and may be late."""
REMEMBERED_S: Final = 60.0
"""How long a deadline is remembered after it is over: so late a command may come to the gateway."""


class CommandDeadlines:
    """The deadline of the latest command of each topic and payload."""

    def __init__(self) -> None:
        self._deadlines: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, topic: str, payload: bytes, deadline: float, *, now: float) -> None:
        """It is about to be published."""
        self._deadlines[topic, payload] = deadline
        self._deadlines.move_to_end((topic, payload))
        while self._deadlines:
            oldest = next(iter(self._deadlines.values()))
            if len(self._deadlines) <= COMMANDS_MAX and oldest + REMEMBERED_S > now:
                return
            self._deadlines.popitem(last=False)

    def find(self, topic: str, payload: bytes) -> float | None:
        """When it is too late for a command that comes now; None: it is none of ours."""
        return self._deadlines.get((topic, payload))
