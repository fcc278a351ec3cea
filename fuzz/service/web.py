# SPDX-License-Identifier: BSD-3-Clause
"""The web listener: HTTP, clients, gateways, TLS."""

import contextlib
import http.client
import ssl
from typing import Final

from fuzz.service.listener import Listener, corpus, on
from fuzz.service.sockets import (
    ANSWER_LIMIT_S,
    HONEST_HOST,
    HOST,
    Connections,
    Frames,
    frame,
    honest_tcp,
    websocket,
)
from fuzz.service.system import UID

EDIT: Final = '{"label":"x","tags":["a","b"]}'
CHUNKS: Final = '20\r\n{"resource":"led","payload":"1"}\r\n0\r\n\r\n'
HTTP: Final = [
    f"{line}\r\nHost: {HOST}\r\n{rest}".encode()
    for line, rest in (
        ("GET /api/nodes?limit=10&tag=a&uid=x HTTP/1.1", "Accept: application/json\r\n\r\n"),
        (f"GET /api/nodes/{UID} HTTP/1.1", 'If-None-Match: "x"\r\n\r\n'),
        (f"GET /api/nodes/{UID}/resources/led/history?from=-1h&every=60 HTTP/1.1", "\r\n"),
        ("GET /api/history/events?limit=5&kind=new&order=newest HTTP/1.1", "\r\n"),
        ("GET /api/audit?who=a&limit=3&from=2026-11-25T10:00:00Z HTTP/1.1", "\r\n"),
        ("GET /api/export?format=csv HTTP/1.1", "\r\n"),
        ("GET /api/events HTTP/1.1", "Last-Event-ID: 1\r\n\r\n"),
        ("HEAD / HTTP/1.1", "\r\n"),
        ("GET /metrics HTTP/1.0", "\r\n"),
        ("GET /ws HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        (
            f"PUT /api/nodes/{UID}/resources/led?timeout=0.1 HTTP/1.1",
            "Idempotency-Key: k\r\nPrefer: respond-async\r\nContent-Length: 1\r\n\r\n1",
        ),
        (
            "PATCH /api/nodes/A HTTP/1.1",
            "Content-Type: application/json\r\nContent-Length: 30\r\n\r\n" + EDIT,
        ),
        (
            "POST /api/commands?uid=A HTTP/1.1",
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        ),
    )
]
GATEWAY: Final = [
    b'[{"type":"hello","name":"fuzz","protocol":"CoAP","version":"1","instance":"x","clock":1}]',
    f'[{{"type":"new","uid":"{UID}","ts":1.5}}]'.encode(),
    f'[{{"type":"update","uid":"{UID}","endpoint":"t","data":"23.5 C","ts":1}}]'.encode(),
    b'[{"type":"receipt","id":"1","state":"confirmed"},{"type":"checkpoint","id":1}]',
    b'[{"type":"out","uid":"A"},{"type":"reset","uid":"A"}]',
]


def good_http(port: int) -> None:
    connection = http.client.HTTPConnection(
        HOST, port, timeout=ANSWER_LIMIT_S, source_address=(HONEST_HOST, 0)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/api/info")
        assert connection.getresponse().status == 200


def good_https(port: int) -> None:
    with honest_tcp(port) as tcp:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(tcp) as tls:
            tls.sendall(f"GET /healthz HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
            assert tls.recv(65536).startswith(b"HTTP/1.1 200")


def good_client(port: int) -> None:
    with websocket(port, "/ws", "pyaiot.v2", HONEST_HOST) as tcp:
        tcp.sendall(frame(b'[{"type":"subscribe","uids":[]},{"type":"new","data":"client"}]'))
        received = b""
        while b'"joined"' not in received:
            piece = tcp.recv(65536)
            assert piece, received
            received += piece


def client_hello() -> bytes:
    """The first bytes of a TLS client."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(received, sent, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


WEB: Final = Listener("web", HTTP, lambda it, _: Connections(it.ports["web"]), on(good_http, "web"))
CLIENT: Final = Listener(
    "client",
    corpus("messages"),
    lambda it, seed: Frames(it.ports["web"], "/ws", lambda: "pyaiot.v2", seed),
    on(good_client, "web"),
)
GATEWAY_LINK: Final = Listener(
    "gateway",
    GATEWAY + corpus("messages"),
    lambda it, seed: Frames(
        it.ports["web"], "/gw", lambda: f"pyaiot.v2, token, {it.gateway_token()}", seed
    ),
    on(good_client, "web"),
)
TLS: Final = Listener(
    "tls",
    [client_hello(), *HTTP[:3], *corpus("plain_http")],
    lambda it, _: Connections(it.ports["web"]),
    on(good_https, "web"),
    tls=True,
)
