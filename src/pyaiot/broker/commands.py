# SPDX-License-Identifier: BSD-3-Clause
"""Commands in flight: each ends in exactly one receipt. Pure."""

from collections import Counter
from typing import Final

import msgspec

from pyaiot.errors import Refused
from pyaiot.messages import Command, Reading, Receipt, ReceiptState, echoes

IN_FLIGHT_MAX: Final = 10_000
"""Largest number of commands without a receipt. Further ones are refused at once."""
IN_FLIGHT_PER_CLIENT_MAX: Final = 200
"""Largest number of commands of one client without a receipt. Further ones are refused, so that a
client whose nodes do not answer leaves room for others."""
GATEWAY_GRACE_S: Final = 1.0
"""Time that the broker waits for a receipt beyond the deadline, which the gateway itself
observes."""


class _InFlight(msgspec.Struct, frozen=True):
    command: Command
    client: str
    client_command_id: str
    gateway: int
    sent_at: float
    deadline: float
    acknowledged: bool
    """Whether the gateway sends receipts. Legacy gateways do not: the new value of the node
    confirms."""


class ReceiptFor(msgspec.Struct, frozen=True):
    """A receipt and the client that issued the command."""

    client: str
    """Empty if the client has left."""
    receipt: Receipt
    command: Command
    """The command as it was sent."""


class CommandTable:
    """The commands in flight. `now` is the loop's time in seconds."""

    def __init__(self) -> None:
        self._in_flight: dict[str, _InFlight] = {}
        self._of_client: Counter[str] = Counter()
        self._awaiting_value: dict[tuple[str, str], list[str]] = {}
        """Ids of commands that a new value of the node confirms, by uid and resource."""
        self._count = 0

    def __len__(self) -> int:
        return len(self._in_flight)

    def start(
        self,
        command: Command,
        *,
        client: str,
        gateway: int,
        acknowledged: bool,
        now: float,
        not_after: float | None = None,
        is_broker: bool = False,
    ) -> Command:
        """The command to send to the gateway, with a new id. Raises `Refused` at a limit.

        `not_after`: its deadline on the clock of the gateway. `is_broker`: the client is another
        broker, which limits its own clients.
        """
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            raise Refused(f"{IN_FLIGHT_MAX} commands are already in flight")
        if self._of_client[client] >= IN_FLIGHT_PER_CLIENT_MAX and not is_broker:
            raise Refused(f"{IN_FLIGHT_PER_CLIENT_MAX} of your commands are already in flight")
        self._of_client[client] += 1
        self._count += 1
        command_id = str(self._count)
        # Built from scratch: other fields of the client's message are not forwarded.
        sent = Command(
            id=command_id,
            uid=command.uid,
            resource=command.resource,
            payload=command.payload,
            timeout_s=command.timeout_s,
            not_after=not_after,
            client=client,
        )
        grace_s = GATEWAY_GRACE_S if acknowledged else 0.0
        self._in_flight[command_id] = _InFlight(
            sent,
            client,
            command.id,
            gateway,
            now,
            now + command.timeout_s + grace_s,
            acknowledged,
        )
        if not acknowledged:
            self._awaiting_value.setdefault((command.uid, command.resource), []).append(command_id)
        return sent

    def finish(self, receipt: Receipt, gateway: int, now: float) -> ReceiptFor | None:
        """The receipt for the client; None if no command of this gateway waits for it."""
        flight = self._in_flight.get(receipt.id)
        if flight is None or flight.gateway != gateway:
            return None
        self._pop(receipt.id)
        return _receipt(flight, receipt.state, receipt.detail, now)

    def gateway_of(self, command_id: str) -> int | None:
        """The gateway to which a command was sent; None if it has ended."""
        flight = self._in_flight.get(command_id)
        return None if flight is None else flight.gateway

    @property
    def awaits_readings(self) -> bool:
        """Whether readings confirm some commands, because their gateways send no receipts."""
        return bool(self._awaiting_value)

    def reading(self, reading: Reading, gateway: int, now: float) -> list[ReceiptFor]:
        """The receipts of the commands that this reading confirms, for gateways without
        receipts."""
        waiting = self._awaiting_value.get((reading.uid, reading.resource))
        if not waiting:
            return []
        confirmed = []
        for command_id in waiting:
            flight = self._in_flight[command_id]
            if flight.gateway == gateway and echoes(flight.command.payload, reading.data):
                confirmed.append(command_id)
        return [_receipt(self._pop(i), "confirmed", "", now) for i in confirmed]

    def expire(self, now: float) -> list[ReceiptFor]:
        """The receipts of commands whose deadline has passed."""
        expired = [i for i, flight in self._in_flight.items() if flight.deadline <= now]
        receipts = []
        for command_id in expired:
            flight = self._pop(command_id)
            if flight.acknowledged:
                receipts.append(_receipt(flight, "timeout", "the gateway did not answer", now))
            else:
                receipts.append(_receipt(flight, "sent", "this gateway sends no receipts", now))
        return receipts

    def gateway_lost(self, gateway: int, now: float) -> list[ReceiptFor]:
        lost = [i for i, flight in self._in_flight.items() if flight.gateway == gateway]
        return [_receipt(self._pop(i), "unreachable", "the gateway is lost", now) for i in lost]

    def client_left(self, client: str) -> None:
        """Discard the receipts of a client from now on. Its commands are not withdrawn."""
        self._of_client.pop(client, None)
        for command_id, flight in self._in_flight.items():
            if flight.client == client:
                self._in_flight[command_id] = msgspec.structs.replace(flight, client="")

    def _pop(self, command_id: str) -> _InFlight:
        flight = self._in_flight.pop(command_id)
        if flight.client:
            self._of_client[flight.client] -= 1
            if not self._of_client[flight.client]:
                del self._of_client[flight.client]
        if not flight.acknowledged:
            key = (flight.command.uid, flight.command.resource)
            self._awaiting_value[key].remove(command_id)
            if not self._awaiting_value[key]:
                del self._awaiting_value[key]
        return flight


def _receipt(flight: _InFlight, state: ReceiptState, detail: str, now: float) -> ReceiptFor:
    elapsed_ms = round((now - flight.sent_at) * 1000, 3)
    receipt = Receipt(
        id=flight.client_command_id, state=state, detail=detail, elapsed_ms=elapsed_ms
    )
    return ReceiptFor(flight.client, receipt, flight.command)
