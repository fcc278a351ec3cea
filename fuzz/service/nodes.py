# SPDX-License-Identifier: BSD-3-Clause
"""The listener of WebSocket nodes."""

from typing import Final

from fuzz.service.listener import Listener, corpus, on
from fuzz.service.sockets import HONEST_HOST, Frames, frame, websocket


def good_node(port: int) -> None:
    with websocket(port, "/node", "", HONEST_HOST) as tcp:
        tcp.sendall(frame(b'{"type":"new","uid":"honest-node"}'))
        tcp.sendall(frame(b'{"type":"update","data":{"t":1}}') + b"\x89\x80" + bytes(4))
        received = b""
        while b"\x8a" not in received:  # the answer to the ping, after the messages before it
            piece = tcp.recv(65536)
            assert piece, received
            received += piece


NODE: Final = Listener(
    "node",
    corpus("websocket_node"),
    lambda it, seed: Frames(it.ports["node"], "/node", str, seed),
    on(good_node, "node"),
)
