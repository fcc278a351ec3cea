# SPDX-License-Identifier: BSD-3-Clause
"""Filters of saved views, as a rule of alerts reads them."""

from pyaiot.errors import ProtocolError
from pyaiot.registry.record import Annotations, NodeRecord
from pyaiot.registry.view_filter import node_test

CORPUS: list[bytes] = [
    b'tag:lab -room:"East wing" gateway:roof protocol:CoAP uid:4A label:lamp',
    b"temp>25 state:stale kitchen",
    b'room:" "" - tag: :x -',
    "room:Küche".encode(),
]

RECORD = NodeRecord(
    uid="4A3A", protocol="CoAP", annotations=Annotations(label="Lamp", room="East wing")
)


def fuzz_one(data: bytes) -> None:
    """A filter is refused, or it can be applied to every node."""
    try:
        test = node_test(data.decode("utf-8", "replace"))
    except ProtocolError:
        return
    assert test(RECORD) in (True, False)
