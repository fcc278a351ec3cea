# SPDX-License-Identifier: BSD-3-Clause
"""OSCORE of a simulated node, in the form of a session with its gateway."""

from collections.abc import Sequence
from pathlib import Path

from pyaiot.devices.sequence_file import SequenceFile
from pyaiot.protocols.oscore.client import OscoreClient
from pyaiot.protocols.oscore.context import SecurityContext
from pyaiot.protocols.oscore.ids import GATEWAY_ID, device_id


class OscoreSession:
    """Has the methods of `DtlsClient`. There is nothing to establish, and no timer."""

    def __init__(self, uid: str, secret: bytes, sequence_file: Path) -> None:
        """Raises `OperatorError` if the file of the sequence numbers cannot be used."""
        context = SecurityContext(secret, sender_id=device_id(uid), recipient_id=GATEWAY_ID)
        self._client = OscoreClient(context, SequenceFile(sequence_file).take)

    def send(self, plaintext: bytes, *, now: float) -> None:  # noqa: ARG002 - see the class
        self._client.send(plaintext)

    def receive_datagram(self, datagram: bytes, *, now: float) -> Sequence[bytes]:  # noqa: ARG002
        return self._client.receive_datagram(datagram)

    def datagrams_to_send(self) -> list[bytes]:
        return self._client.datagrams_to_send()

    def get_timer(self) -> float | None:
        return None

    def handle_timer(self, *, now: float) -> None:
        """Does nothing."""
