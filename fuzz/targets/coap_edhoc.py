# SPDX-License-Identifier: BSD-3-Clause
"""A series of messages to the responder of EDHOC after the start of a handshake."""

import contextlib
from itertools import count

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.gateways.coap.oscore import edhoc
from pyaiot.gateways.coap.oscore.contexts import OscoreContexts
from pyaiot.protocols.edhoc.credentials import public_key_of
from pyaiot.protocols.edhoc.messages import write_identifier
from pyaiot.protocols.edhoc.responder import EdhocRefused

GATEWAY_KEY = bytes(31) + b"\x01"
LAMP = DeviceCredential("lamp", "edhoc", public_key_of(bytes(31) + b"\x02"), 0.0)
MESSAGE_1 = bytes.fromhex(
    "f50302582021af63fec541770db38e5a927a7b7d21f4e86893c7cfe959558761998d7e506714"
)
IDENTIFIER = b"abc"


def row(*messages: bytes) -> bytes:
    """Each message behind its length."""
    return b"".join(bytes((len(message),)) + message for message in messages)


CORPUS: list[bytes] = [
    row(MESSAGE_1, write_identifier(IDENTIFIER) + b"\x52" + bytes(18)),
    row(write_identifier(IDENTIFIER) + b"\x58\x20" + bytes(32), MESSAGE_1),
    row(MESSAGE_1[:-1] + b"\x43xyz\x00", b"\x0e\x41\x00"),
    b"",
]


def fuzz_one(data: bytes) -> None:
    """No peer without the key of the device gets a context."""
    # Each input starts without effects of earlier ones on contexts or rates.
    contexts = OscoreContexts(None)  # type: ignore[arg-type]  # it stores nothing
    identifiers = count(int.from_bytes(IDENTIFIER, "big"))
    responder = edhoc.EdhocResponder(
        *(GATEWAY_KEY, contexts, lambda _uid: None),
        random_bytes=lambda size: next(identifiers).to_bytes(size, "big"),
    )
    responder.set_devices([LAMP])
    responder.receive_message(MESSAGE_1, "10.0.0.1", 0.0)
    now = 0.0
    while data:
        message, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        now += 1.0
        with contextlib.suppress(EdhocRefused):
            assert len(responder.receive_message(message, "10.0.0.1", now)) <= 64
        assert responder.opened == 0
