# SPDX-License-Identifier: BSD-3-Clause
"""Parts of this process that observe the broker: the history, alerts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from pyaiot.broker.deliveries import ToAll
from pyaiot.messages import Command, Reading, ReadingsDropped, Receipt, ToClient


class BrokerObserver(Protocol):
    """Observes the broker in this process. Called on its loop: it must never wait."""

    def message_published(self, message: ToClient) -> None:
        """This message is sent to all clients."""
        ...

    def readings_published(self, readings: Sequence[Reading]) -> None:
        """`message_published` for each of them, in one step."""
        ...

    def command_sent(self, command: Command, ts: float, who: str) -> None:
        """This command is sent to a gateway at the Unix time `ts`. `who` issued it; see
        `Principal`."""
        ...

    def command_ended(self, command: Command, receipt: Receipt, ts: float, who: str) -> None:
        """A command has this receipt. The id of a command that was not sent is empty."""
        ...

    def gap_reported(self, gateway: str, gap: ReadingsDropped) -> None:
        """The gateway of this name has lost readings."""
        ...


class Observers:
    """The observers of a broker."""

    def __init__(self, first: BrokerObserver | None = None) -> None:
        self._all = [] if first is None else [first]
        self._of_readings = list(self._all)
        self.of_registry: list[Callable[[ToClient], None]] = []
        """Called with each `node` and `forgotten` message. They must never wait."""
        self.elsewhere: Observers | None = None
        """Receives the messages of other brokers of a cluster; None if this broker is alone."""
        self.leads: Callable[[], bool] = lambda: True
        """Whether this broker does the tasks that only one broker of a cluster does."""

    def add(self, observer: BrokerObserver) -> None:
        """Add an observer, which receives everything except readings until `remove`."""
        self._all.append(observer)

    def remove(self, observer: BrokerObserver) -> None:
        self._all.remove(observer)
        self.set_readings(observer, wanted=False)

    def set_readings(self, observer: BrokerObserver, *, wanted: bool) -> None:
        """Set whether an observer also receives readings. They are most of the messages, so an
        observer that needs none costs nothing."""
        if observer in self._of_readings:
            self._of_readings.remove(observer)
        if wanted:
            self._of_readings.append(observer)

    @property
    def need_readings(self) -> bool:
        """Whether an observer receives readings."""
        return bool(self._of_readings)

    def readings_published(self, readings: Sequence[Reading]) -> None:
        """These readings are sent to all clients."""
        for observer in self._of_readings:
            observer.readings_published(readings)

    def published(self, deliveries: Iterable[ToAll]) -> None:
        """These messages are sent to all clients."""
        for delivery in deliveries:
            if delivery.is_registry:
                for receive in self.of_registry:
                    receive(delivery.message)
            else:
                is_reading = type(delivery.message) is Reading
                for observer in self._of_readings if is_reading else self._all:
                    observer.message_published(delivery.message)

    def command_sent(self, command: Command, ts: float, who: str) -> None:
        for observer in self._all:
            observer.command_sent(command, ts, who)

    def command_ended(self, command: Command, receipt: Receipt, ts: float, who: str) -> None:
        for observer in self._all:
            observer.command_ended(command, receipt, ts, who)

    def gap_reported(self, gateway: str, gap: ReadingsDropped) -> None:
        for observer in self._all:
            observer.gap_reported(gateway, gap)
