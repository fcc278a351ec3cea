# SPDX-License-Identifier: BSD-3-Clause
"""A TLS listener of HTTP: handshakes, their limits, and reloads under open connections."""

import asyncio
import errno
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from pyaiot.transport import http_connection, http_server, tls_listener
from pyaiot.transport.host_rate_limit import Rate
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer
from pyaiot.transport.resolver import open_http_session
from pyaiot.transport.tls import ServerTls, client_context, read_certificate
from pyaiot.transport.websocket import TransportSink
from tests.authority import Authority, certify_again, new_authority
from tests.time_limits import Stopwatch

pytestmark = pytest.mark.sockets

FLOOD = 8 * 1024 * 1024


class Served:
    """An application behind TLS, which answers `hello` and echoes on a WebSocket."""

    def __init__(self, made: Authority, connections_max: int) -> None:
        self.made = made
        self.tls = ServerTls(str(made.certificate("server")), str(made.key("server")))
        self.log = ServerLog(lambda _: None)
        self.server: HttpServer
        self.unread = 0
        """Bytes that the client of `/flood` has not read, as last measured."""
        self._flooded: asyncio.Transport
        self.written, self.read = asyncio.Event(), asyncio.Event()
        self._connections_max = connections_max

    async def open(self) -> None:
        app = web.Application()
        app.router.add_get("/", self._hello)
        app.router.add_get("/ws", self._echo)
        app.router.add_get("/flood", self._flood)
        self.server = await HttpServer.open(
            app,
            "127.0.0.1",
            0,
            service="It",
            flag="--port",
            server_log=self.log,
            connections_max=self._connections_max,
            tls=self.tls,
        )

    async def _hello(self, request: web.Request) -> web.Response:
        return web.Response(text=f"hello over {request.scheme}")

    async def _flood(self, request: web.Request) -> web.StreamResponse:
        """Write much at once, and wait until the client is gone."""
        assert request.transport is not None
        self._flooded = request.transport
        sink = TransportSink(request.transport, asyncio.get_running_loop())
        for _ in range(FLOOD // 65536):
            sink.write(b"x" * 65536)
        self.measure()
        self.written.set()
        await self.read.wait()
        return web.Response()

    def measure(self) -> None:
        self.unread = self._flooded.get_write_buffer_size()

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            await socket.send_str(frame.data)
        return socket

    async def hello(self) -> str:
        """A request on a new connection that trusts the authority."""
        trust = client_context(str(self.made.ca))
        async with (
            open_http_session(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.get(self.server.url, ssl=trust) as answer,
        ):
            return await answer.text()

    async def plain(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.port)

    async def shown_fingerprint(self) -> str:
        pem = await asyncio.to_thread(
            ssl.get_server_certificate, ("127.0.0.1", self.server.port), timeout=10
        )
        path = self.made.folder / "shown.pem"
        path.write_text(pem)
        return read_certificate(path).fingerprint


@asynccontextmanager
async def served(folder: Path, *, connections_max: int = 100) -> AsyncIterator[Served]:
    one = Served(new_authority(folder), connections_max)
    await one.open()
    try:
        yield one
    finally:
        await one.server.close()


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, also with a reset."""
    received = b""
    try:
        while piece := await reader.read(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


async def test_application_is_served_over_tls(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        assert it.server.url.startswith("https://127.0.0.1:")
        assert await it.hello() == "hello over https"


@pytest.mark.skipif(
    sys.version_info < (3, 11, 4),
    reason="abort() of a closed TLS transport raises there",
)
@pytest.mark.sockets(speed=2)
async def test_application_is_served_over_tls_on_the_loop_of_asyncio(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        assert await it.hello() == "hello over https"
        reader, writer = await it.plain()
        writer.write(b"\x16\x03\x01\x00\x01\x00")
        await ends(reader)
        writer.close()
        trust = client_context(str(it.made.ca))
        async with (
            open_http_session() as session,
            session.ws_connect(it.server.url + "ws", ssl=trust) as socket,
        ):
            await socket.send_str("one")
            assert await socket.receive_str() == "one"


async def test_bytes_that_a_stalled_client_does_not_read_are_counted(tmp_path: Path) -> None:
    """So that the limits on the memory of slow clients hold with TLS, too."""
    async with served(tmp_path) as it:
        trust = client_context(str(it.made.ca))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", it.server.port, ssl=trust, limit=1024
        )
        writer.write(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await it.written.wait()
        before = it.unread
        assert FLOOD // 2 < before <= FLOOD
        while len(await reader.read(65536)) > 0 and it.unread > before // 2:
            it.measure()
        it.read.set()
        writer.close()


async def test_client_that_does_not_trust_the_certificate_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as it:
        async with open_http_session() as session:
            with pytest.raises(aiohttp.ClientSSLError):
                await session.get(it.server.url, ssl=client_context())
        assert await it.hello() == "hello over https"
    assert "Traceback" not in caplog.text


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_1_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", it.server.port, ssl=old)
        assert it.log.refused_connections == 1
        assert await it.hello() == "hello over https"


async def test_request_without_tls_is_answered(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        reader, writer = await it.plain()
        writer.write(f"GET /login HTTP/1.1\r\nHost: 127.0.0.1:{it.server.port}\r\n\r\n".encode())
        answer = await ends(reader)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 307 ")
        assert f"Location: {it.server.url}login\r\n".encode() in answer
        reader, writer = await it.plain()
        writer.write(b"MQTT?\r\n")
        assert (await ends(reader)).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_garbage_is_closed_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as it:
        for data in (b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"\x00" * 100, b"\x16", b"\x80\x01"):
            reader, writer = await it.plain()
            writer.write(data)
            if len(data) < 3:
                writer.write_eof()
            await ends(reader)
            writer.close()
        assert await it.hello() == "hello over https"
    assert "Traceback" not in caplog.text
    assert "TLS handshake: " in caplog.text
    assert "TLS handshake: \n" not in caplog.text


async def test_unfinished_handshake_ends_at_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "HANDSHAKE_LIMIT_S", 0.2)
    async with served(tmp_path) as it:
        silent, begun = await it.plain(), await it.plain()
        begun[1].write(b"\x16\x03\x01\x02\x00")
        await ends(silent[0])
        await ends(begun[0])
        assert it.log.timed_out_connections == 2
        assert await it.hello() == "hello over https"
        for _, writer in (silent, begun):
            writer.close()


async def test_unfinished_handshakes_make_room_for_new_connections(tmp_path: Path) -> None:
    async with served(tmp_path, connections_max=10) as it:
        held = [await it.plain() for _ in range(30)]
        assert await it.hello() == "hello over https"
        # The listener is at its limit: the oldest were closed.
        await ends(held[0][0])
        assert it.log.refused_connections >= 20
        for _, writer in held:
            writer.close()


async def test_five_hundred_unfinished_handshakes_delay_nobody(tmp_path: Path) -> None:
    async with served(tmp_path, connections_max=1000) as it:
        held = await asyncio.gather(*(it.plain() for _ in range(500)))
        for _, writer in held[:250]:
            writer.write(b"\x16\x03\x01\x02\x00\x01")
        watch = Stopwatch()
        assert await it.hello() == "hello over https"
        assert watch.elapsed_s < 1.0
        for _, writer in held:
            writer.transport.abort()


async def test_handshakes_of_one_address_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "HANDSHAKES_PER_ADDRESS_MAX", 3)
    # Loopback is exempt: here it counts as another machine.
    monkeypatch.setattr(http_connection, "principal_of", lambda address: f"other {address}")
    async with served(tmp_path) as it:
        held = [await it.plain() for _ in range(3)]
        reader, writer = await it.plain()
        assert await ends(reader) == b""
        writer.close()
        assert it.log.refused_connections == 1
        held.pop()[1].close()
        while True:  # the listener needs a moment to see that
            try:
                assert await it.hello() == "hello over https"
                break
            except aiohttp.ClientError:
                continue
        for _, writer in held:
            writer.close()


async def test_rate_of_handshakes_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "HANDSHAKES_TOGETHER_PER_S", Rate(0.01, 2.0))
    async with served(tmp_path) as it:
        assert [await it.hello() for _ in range(2)] == ["hello over https"] * 2
        with pytest.raises(aiohttp.ClientError):
            await it.hello()
        assert it.log.refused_connections >= 1


async def test_reload_changes_the_certificate_and_keeps_connections(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        before = await it.shown_fingerprint()
        trust = client_context(str(it.made.ca))
        async with (
            open_http_session() as session,
            session.ws_connect(it.server.url + "ws", ssl=trust) as socket,
        ):
            await socket.send_str("one")
            assert await socket.receive_str() == "one"
            certify_again(it.made, "server")
            it.tls.reload()
            assert await it.shown_fingerprint() != before
            await socket.send_str("two")
            assert await socket.receive_str() == "two"


class Exhausted(socket.socket):
    """A listening socket whose first connections cannot be accepted."""

    failures = 3

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_lack_of_descriptors_ends_without_a_busy_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls_listener, "RETRY_S", 0.05)

    def exhausted(host: str, _port: int, **_shared: bool) -> list[socket.socket]:
        bound = Exhausted(socket.AF_INET, socket.SOCK_STREAM)
        bound.setblocking(False)
        bound.bind((host, 0))
        return [bound]

    monkeypatch.setattr(http_server, "listening_sockets", exhausted)
    async with served(tmp_path) as it:
        assert await it.hello() == "hello over https"
    assert caplog.text.count("cannot accept a connection") == Exhausted.failures


async def test_close_ends_handshakes_and_frees_the_port(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        reader, writer = await it.plain()
        await it.hello()
        port = it.server.port
    await ends(reader)
    writer.close()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
