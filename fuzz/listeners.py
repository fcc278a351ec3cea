# SPDX-License-Identifier: BSD-3-Clause
"""Sends mutations of valid input to each listener of a running `aiot run`.

    python fuzz/listeners.py                            10,000 inputs per listener
    python fuzz/listeners.py --listener coap --inputs 500 --seed 7

Of each listener it reports: whether the service lives, how much its memory grew after a warm-up,
and how long good requests took, at this listener and at the others, between the inputs. The exit
code is 1 if the service ended, logged a traceback, grew by more than 2 MB, or if a good request
took more than 50 ms (`--limit-ms`). The inputs are the same for the same seed.

Nodes must be registered (`--admission known`): invented names would take memory, up to the limits
that other tests reach.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final, Self

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz.run import load_targets, mutations

HOST: Final = "127.0.0.1"
HONEST_HOST: Final = "127.0.0.2"
"""Where good requests come from: each host has a share of its own."""
UID: Final = "0123456789ABCDE"
"""The node of the corpus. It is registered."""
HONEST: Final = ("honest-coap", "honest-node")
"""Nodes of good requests. They are registered, too."""
MEMORY_GROWTH_MAX: Final = 2_000_000
"""Bytes by which the process may grow after the warm-up."""
WARM_UP: Final = 0.4
"""Share of the inputs after which memory is measured first."""
PROBES: Final = 20
"""How often good requests are sent to all listeners, while one gets inputs."""
ATTEMPTS: Final = 3
PAUSE_LIMIT_MS: Final = 1000.0
START_LIMIT_S: Final = 30.0
ANSWER_LIMIT_S: Final = 5.0
CLOSE_WAIT_S: Final = 0.02
"""How long a connection waits for an answer to an input, which may be incomplete."""
FRAME_WAIT_S: Final = 0.002


class System:
    """`aiot run` as a process with all its listeners."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self.folder = folder
        self.log = folder / "log"
        environment = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("AIOT_", "XDG_"))
        }
        arguments = [sys.executable, "-m", "pyaiot"]
        environment |= {"HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        # Where admission is `known`, MQTT requires the credential of a device.
        environment["AIOT_REGISTRY_ADMISSION_OF"] = "MQTT=open"
        self.keys = folder / "keys"
        if not self.keys.exists():
            subprocess.run(
                [*arguments, "generate-keys", "--key-file", self.keys],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        # The port for DTLS is open while a device has a key.
        for protocol in ("coap", "oscore"):
            subprocess.run(
                [*arguments, "device", "add", f"secured-{protocol}", "--protocol", protocol],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        coaps = free_udp_port()
        flags = [
            "--coaps-port",
            str(coaps),
            "--web-port",
            "0",
            "--coap-port",
            "0",
            "--ws-port",
            "0",
            "--mqtt-port",
            "0",
        ]
        flags += ["--mqttsn-port", "0", "--key-file", str(self.keys), "--admission", "known"]
        if tls:
            flags += ["--tls-cert", str(certificate(folder)), "--tls-listener", "web"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*arguments, "run", *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        text = self._startup()
        scheme = "https" if tls else "http"
        patterns = {
            "web": rf"{scheme}://[^ /]*:(\d+)/",
            "coap": r"CoAP: UDP port (\d+)",
            "node": r"WebSocket: TCP port (\d+)",
            "mqtt": r"MQTT: TCP port (\d+)",
            "mqttsn": r"MQTT-SN: UDP port (\d+)",
        }
        self.ports: dict[str, int] = {"coaps": coaps}
        for name, pattern in patterns.items():
            found = re.search(pattern, text)
            assert found is not None, text
            self.ports[name] = int(found[1])
        if not tls:
            body = {"nodes": [{"uid": uid} for uid in (UID, "A", "hnode", *HONEST)]}
            request = urllib.request.Request(
                f"http://{HOST}:{self.ports['web']}/api/nodes",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    @property
    def problems(self) -> list[str]:
        """Lines of the log that must not be there."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if "Traceback" in line or " CRITICAL " in line]

    def resident_bytes(self) -> int:
        text = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    def gateway_token(self) -> str:
        from pyaiot.broker.keys import load_keys, mint_token  # slow to import

        return mint_token(load_keys(self.keys))

    def _startup(self) -> str:
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until and self.lives:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            if "(Ctrl+C ends it)" in text:
                return text
            time.sleep(0.05)
        raise SystemExit(f"aiot run did not start: {self.log.read_text(encoding='utf-8')}")


def certificate(folder: Path) -> Path:
    """A self-signed certificate and its key in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = folder / "certificate.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path.touch(mode=0o600)
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


# -- how inputs are sent --------------------------------------------------------------------------


class Connections:
    """Each input is the begin of a new TCP connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), 2) as tcp:
            # It is reset at the end: thousands of closed connections would take all ports.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tcp.settimeout(CLOSE_WAIT_S)
            tcp.sendall(data)
            tcp.recv(65536)

    def close(self) -> None:
        """Nothing is open."""


class Datagrams:
    """Each input is a datagram from the same port."""

    def __init__(self, port: int) -> None:
        self._udp = udp(port)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a datagram that is too long
            self._udp.send(data)
        while select.select([self._udp], [], [], 0)[0]:
            self._udp.recv(65536)

    def close(self) -> None:
        self._udp.close()


class Frames:
    """Each input is a message on a WebSocket, or bytes in place of a frame."""

    def __init__(self, port: int, path: str, protocols: Callable[[], str], seed: int) -> None:
        self._open: Callable[[], socket.socket] = lambda: websocket(port, path, protocols())
        self._chance = random.Random(seed)
        self._tcp: socket.socket | None = None

    def send(self, data: bytes) -> None:
        try:
            if self._tcp is None:
                self._tcp = self._open()
            whole = frame(data[:65535])
            if self._chance.random() < 0.2:
                whole = bytes([self._chance.randrange(256)]) + whole[1:]
            self._tcp.sendall(whole)
            while select.select([self._tcp], [], [], FRAME_WAIT_S)[0]:
                received = self._tcp.recv(65536)
                if not received or received[-2:][:1] == b"\x88" or received[:1] == b"\x88":
                    self.close()
                    return
        except OSError:
            self.close()

    def close(self) -> None:
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None


def udp(port: int, source: str = HOST) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((source, 0))
    made.connect((HOST, port))
    made.settimeout(ANSWER_LIMIT_S)
    return made


def frame(payload: bytes) -> bytes:
    """A masked text frame; a mask of zeros leaves it readable (RFC 6455 section 5.2)."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return b"\x81" + length + bytes(4) + payload


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def honest_tcp(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), ANSWER_LIMIT_S, (HONEST_HOST, 0))


def websocket(port: int, path: str, protocols: str, source: str = HOST) -> socket.socket:
    tcp = socket.create_connection((HOST, port), ANSWER_LIMIT_S, (source, 0))
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {HOST}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: eDEyMzQ1Njc4OTAxMjM0NQ==",
        *([f"Sec-WebSocket-Protocol: {protocols}"] if protocols else []),
    ]
    tcp.sendall("\r\n".join([*lines, "", ""]).encode())
    received = tcp.recv(65536)
    if not received.startswith(b"HTTP/1.1 101"):
        tcp.close()
        raise ConnectionError(received[:100])
    return tcp


# -- good requests --------------------------------------------------------------------------------


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


def good_node(port: int) -> None:
    with websocket(port, "/node", "", HONEST_HOST) as tcp:
        tcp.sendall(frame(b'{"type":"new","uid":"honest-node"}'))
        tcp.sendall(frame(b'{"type":"update","data":{"t":1}}') + b"\x89\x80" + bytes(4))
        received = b""
        while b"\x8a" not in received:  # the answer to the ping, after the messages before it
            piece = tcp.recv(65536)
            assert piece, received
            received += piece


def good_coap(port: int) -> None:
    with udp(port, HONEST_HOST) as node:
        number = random.randrange(1 << 16)
        head = struct.pack("!BBH", 0x40, 2, number)
        node.send(head + b"\xb5alive\x10\xffalive:honest-coap")
        while node.recv(2048)[:4] != struct.pack("!BBH", 0x60, 0x44, number):
            continue


@cache
def dtls_hello() -> bytes:
    return load_targets()["dtls_client_hello"].corpus[0]


def good_dtls(port: int) -> None:
    """A ClientHello without a cookie gets a HelloVerifyRequest (RFC 6347 section 4.2.1)."""
    with udp(port, HONEST_HOST) as device:
        device.send(dtls_hello())
        answer = device.recv(2048)
        assert answer[:1] == b"\x16"
        assert answer[13:14] == b"\x03"


def good_mqtt(port: int) -> None:
    with honest_tcp(port) as tcp:
        tcp.sendall(bytes.fromhex("1012 0004 4d515454 04 02 003c 0006") + b"honest")
        assert tcp.recv(4)[:1] == b"\x20"
        tcp.sendall(b"\xc0\x00")
        assert tcp.recv(2) == b"\xd0\x00"


def good_mqttsn(port: int) -> None:
    with udp(port, HONEST_HOST) as node:
        node.send(b"\x0c\x04\x04\x01\x00\x3chonest")
        while node.recv(2048)[:3] != b"\x03\x05\x00":
            continue
        node.send(b"\x02\x18")


# -- listeners ------------------------------------------------------------------------------------

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
MQTT: Final = [
    bytes.fromhex(text.replace(" ", ""))
    for text in (
        "100d 0004 4d515454 04 02 003c 0001 61",
        "100d 0004 4d515454 04 02 003c 0001 61 8208 0001 0003 612f62 01 3007 0003 612f62 3131",
        "100d 0004 4d515454 04 02 003c 0001 61 3209 0003 612f62 0001 3131 c000 e000",
        "101c 0004 4d515454 04 c6 003c 0001 61 0001 77 0001 6d 0001 75 0001 70",
        "1010 0004 4d515454 05 02 003c 03 210014 0001 61",
    )
]
GATEWAY: Final = [
    b'[{"type":"hello","name":"fuzz","protocol":"CoAP","version":"1","instance":"x","clock":1}]',
    f'[{{"type":"new","uid":"{UID}","ts":1.5}}]'.encode(),
    f'[{{"type":"update","uid":"{UID}","endpoint":"t","data":"23.5 C","ts":1}}]'.encode(),
    b'[{"type":"receipt","id":"1","state":"confirmed"},{"type":"checkpoint","id":1}]',
    b'[{"type":"out","uid":"A"},{"type":"reset","uid":"A"}]',
]


@dataclass
class Listener:
    """What one listener gets, and how a good request looks."""

    name: str
    corpus: list[bytes]
    sender: Callable[[System, int], Connections | Datagrams | Frames]
    good: Callable[[System], None]
    tls: bool = False


def listeners() -> list[Listener]:
    """All of them. A listener that needs a system of its own with TLS comes last."""
    targets = load_targets()

    def corpus(*names: str) -> list[bytes]:
        return [data for name in names for data in targets[name].corpus]

    return [
        Listener("web", HTTP, lambda it, _: Connections(it.ports["web"]), on(good_http, "web")),
        Listener(
            "client",
            corpus("messages"),
            lambda it, seed: Frames(it.ports["web"], "/ws", lambda: "pyaiot.v2", seed),
            on(good_client, "web"),
        ),
        Listener(
            "gateway",
            GATEWAY + corpus("messages"),
            lambda it, seed: Frames(
                it.ports["web"], "/gw", lambda: f"pyaiot.v2, token, {it.gateway_token()}", seed
            ),
            on(good_client, "web"),
        ),
        Listener(
            "node",
            corpus("websocket_node"),
            lambda it, seed: Frames(it.ports["node"], "/node", str, seed),
            on(good_node, "node"),
        ),
        Listener(
            "coap",
            corpus("coap_message", "coap_post", "coap_request", "coap_intake", "oscore_messages"),
            lambda it, _: Datagrams(it.ports["coap"]),
            on(good_coap, "coap"),
        ),
        Listener(
            "coaps",
            corpus("dtls_client_hello", "dtls_records"),
            lambda it, _: Datagrams(it.ports["coaps"]),
            on(good_dtls, "coaps"),
        ),
        Listener(
            "mqttsn",
            corpus("mqttsn_packets"),
            lambda it, _: Datagrams(it.ports["mqttsn"]),
            on(good_mqttsn, "mqttsn"),
        ),
        Listener("mqtt", MQTT, lambda it, _: Connections(it.ports["mqtt"]), on(good_mqtt, "mqtt")),
        Listener(
            "tls",
            [client_hello(), *HTTP[:3], *corpus("plain_http")],
            lambda it, _: Connections(it.ports["web"]),
            on(good_https, "web"),
            tls=True,
        ),
    ]


def on(request: Callable[[int], None], port: str) -> Callable[[System], None]:
    return lambda system: request(system.ports[port])


def client_hello() -> bytes:
    """The first bytes of a TLS client."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(received, sent, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


# -- the run --------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What happened to one listener."""

    name: str
    inputs: int
    growth: int = 0
    own_ms: list[float] = field(default_factory=list)
    others_ms: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        own, others = max(self.own_ms, default=0.0), max(self.others_ms, default=0.0)
        return (
            f"{self.name:<8} {self.inputs:>7,} {self.growth / 1e6:>+9.2f} MB {own:>7.1f} ms"
            f" {others:>7.1f} ms  {'; '.join(self.problems) or 'ok'}"
        )


def attack(
    system: System,
    listener: Listener,
    others: list[Listener],
    *,
    inputs: int,
    seed: int,
    limit_ms: float,
) -> Outcome:
    """Send inputs to one listener, and good requests to all of them meanwhile."""
    outcome = Outcome(listener.name, inputs)
    sender = listener.sender(system, seed)
    every = max(1, inputs // PROBES)
    warm = 0
    for number, data in enumerate(islice(mutations(listener.corpus, seed), inputs), 1):
        sender.send(data)
        if number % every == 0:
            outcome.own_ms.append(timed(outcome, listener, system, limit_ms))
            outcome.others_ms += [timed(outcome, it, system, limit_ms) for it in others]
        if number == int(inputs * WARM_UP):
            warm = system.resident_bytes()
        if not system.lives:
            outcome.problems.append(f"the service ended after input {number}: {data[:80]!r}")
            return outcome
    sender.close()
    outcome.growth = system.resident_bytes() - warm
    return outcome


def timed(outcome: Outcome, listener: Listener, system: System, limit_ms: float) -> float:
    """Milliseconds of a good request.

    One that takes too long is repeated at once, twice at most, and the fastest counts: another
    process may have the processor. No repetition hides a pause of `PAUSE_LIMIT_MS`.
    """
    fastest = float("inf")
    for _ in range(ATTEMPTS):
        start = time.monotonic()
        try:
            listener.good(system)
        except (OSError, AssertionError) as error:
            outcome.problems.append(f"a good request to {listener.name} failed: {error!r}")
        took_ms = (time.monotonic() - start) * 1000
        if took_ms > PAUSE_LIMIT_MS:
            outcome.problems.append(f"a good request to {listener.name} took {took_ms:.0f} ms")
        fastest = min(fastest, took_ms)
        if fastest <= limit_ms:
            break
    return fastest


def judge(outcome: Outcome, system: System, limit_ms: float, growth_max: int) -> None:
    """Add what must not be to the problems of an outcome."""
    if outcome.growth > growth_max:
        outcome.problems.append(f"grew by more than {growth_max / 1e6:.0f} MB")
    slow = max([*outcome.own_ms, *outcome.others_ms], default=0.0)
    if slow > limit_ms:
        outcome.problems.append(f"a good request took more than {limit_ms:.0f} ms")
    outcome.problems += system.problems[:3]


def run(
    names: list[str], *, inputs: int, seed: int, limit_ms: float, growth_max: int
) -> Iterator[Outcome]:
    """Attack each of the named listeners, in one system, or in one with TLS."""
    chosen = [it for it in listeners() if it.name in names]
    for tls in (False, True):
        some = [it for it in chosen if it.tls == tls]
        if not some:
            continue
        beside = [it for it in listeners() if it.tls == tls]
        with (
            tempfile.TemporaryDirectory(prefix="aiot-fuzz-") as folder,
            System(Path(folder), tls=tls) as system,
        ):
            for listener in some:
                others = [it for it in beside if it.name != listener.name]
                outcome = attack(
                    system, listener, others, inputs=inputs, seed=seed, limit_ms=limit_ms
                )
                judge(outcome, system, limit_ms, growth_max)
                yield outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = [listener.name for listener in listeners()]
    parser.add_argument("--listener", choices=known, action="append", help="only this one")
    parser.add_argument("--inputs", type=int, default=10_000, help="per listener")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit-ms", type=float, default=50.0, help="of a good request")
    parser.add_argument("--growth-max", type=int, default=MEMORY_GROWTH_MAX, help="in bytes")
    given = parser.parse_args()
    print("listener  inputs       memory   at it    at others")
    failed = False
    for outcome in run(
        given.listener or known,
        inputs=given.inputs,
        seed=given.seed,
        limit_ms=given.limit_ms,
        growth_max=given.growth_max,
    ):
        print(outcome.line(), flush=True)
        failed |= bool(outcome.problems)
    sys.exit(failed)


if __name__ == "__main__":
    main()
