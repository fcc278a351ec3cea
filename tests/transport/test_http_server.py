# SPDX-License-Identifier: BSD-3-Clause
"""The addresses on which a server listens, and its URLs."""

import asyncio
import errno
import socket

import aiohttp
import pytest
from aiohttp import web

from pyaiot.errors import OperatorError
from pyaiot.transport import addresses
from pyaiot.transport.addresses import interface_addresses, listening_sockets, own_address
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer

pytestmark = pytest.mark.sockets


async def opened(host: str) -> HttpServer:
    log = ServerLog(lambda _: None)
    return await HttpServer.open(
        web.Application(), host, 0, service="It", flag="--port", server_log=log
    )


@pytest.mark.parametrize(
    ("coding", "status"), [("gzip", 415), ("deflate, identity", 415), ("identity", 200), ("", 200)]
)
async def test_body_with_a_content_coding_is_refused(coding: str, status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_put("/", answer)
    log = ServerLog(lambda _: None)
    server = await HttpServer.open(app, "127.0.0.1", 0, service="It", flag="--port", server_log=log)
    try:
        headers = {"Content-Encoding": coding}
        async with (
            aiohttp.ClientSession() as client,
            client.put(server.url, data=b"1", headers=headers) as response,
        ):
            assert response.status == status
            # RFC 9110 section 12.5.3: what the server accepts instead.
            assert response.headers.get("Accept-Encoding") == (
                "identity" if status == 415 else None
            )
    finally:
        await server.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_url_for_others_has_an_address_that_others_reach(
    host: str,
) -> None:
    server = await opened(host)
    try:
        host_in_url = server.url_for_others.removeprefix("http://").rpartition(":")[0].strip("[]")
        expected = own_address() or next(iter(interface_addresses()), "127.0.0.1")
        assert host_in_url == expected or (host == "0.0.0.0" and ":" in expected)
        assert server.url.startswith(("http://127.0.0.1:", "http://[::1]:"))
    finally:
        await server.close()


async def answers(host: str, port: int) -> bool:
    """Whether somebody takes a connection there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.parametrize(
    ("host", "families"),
    [
        ("127.0.0.1", {"127.0.0.1", "::1"}),
        ("::1", {"127.0.0.1", "::1"}),
        ("localhost", {"127.0.0.1", "::1"}),
        ("::", {"127.0.0.1", "::1"}),
        ("", {"127.0.0.1", "::1"}),
        ("0.0.0.0", {"127.0.0.1"}),
        ("127.0.0.2", {"127.0.0.2"}),
    ],
)
async def test_loopback_and_unspecified_addresses_are_both_families(
    host: str, families: set[str]
) -> None:
    server = await opened(host)
    try:
        places = ("127.0.0.1", "::1", "127.0.0.2")
        reached = {place for place in places if await answers(place, server.port)}
        assert reached - {"127.0.0.2"} == families - {"127.0.0.2"}
        assert ("127.0.0.2" in reached) == (host in {"::", "", "0.0.0.0", "127.0.0.2"})
        async with aiohttp.ClientSession() as web_client, web_client.get(server.url) as answer:
            assert answer.status == 404
    finally:
        await server.close()
    assert not any([await answers(place, server.port) for place in families])


async def test_ipv4_peer_has_its_ipv4_address() -> None:
    seen: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.remote)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", note)
    log = ServerLog(lambda _: None)
    server = await HttpServer.open(app, "::", 0, service="It", flag="--port", server_log=log)
    try:
        for host in ("127.0.0.1", "[::1]"):
            url = f"http://{host}:{server.port}/"
            async with aiohttp.ClientSession() as client, client.get(url) as answer:
                assert answer.status == 200
    finally:
        await server.close()
    assert seen == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("taken_at", ["0.0.0.0", "::", "127.0.0.1", "::1"])
@pytest.mark.parametrize("host", ["::", "127.0.0.1"])
async def test_used_tcp_port_is_one_sentence(
    host: str, taken_at: str, caplog: pytest.LogCaptureFixture
) -> None:
    family = socket.AF_INET6 if ":" in taken_at else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as taken:
        if family is socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind((taken_at, 0))
        taken.listen()
        port = taken.getsockname()[1]
        log = ServerLog(lambda _: None)
        app = web.Application()
        if host == "127.0.0.1" and ":" in taken_at:
            # The given address is available: it serves there, and logs it.
            server = await HttpServer.open(
                app, host, port, service="It", flag="--port", server_log=log
            )
            await server.close()
            assert f"port {port} of ::1 is in use" in caplog.text
            return
        with pytest.raises(OperatorError, match=f"TCP port {port} is in use.*--port"):
            await HttpServer.open(app, host, port, service="It", flag="--port", server_log=log)


def test_free_port_is_the_same_in_both_families() -> None:
    for _ in range(20):
        sockets = listening_sockets("127.0.0.1", 0)
        assert len(sockets) == 2
        assert len({one.getsockname()[1] for one in sockets}) == 1
        for one in sockets:
            one.close()


@pytest.mark.parametrize("missing", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize("host", ["::", "127.0.0.1", "::1", "localhost"])
def test_missing_address_family_is_skipped(
    monkeypatch: pytest.MonkeyPatch, host: str, number: int, missing: socket.AddressFamily
) -> None:
    bound = addresses._bound

    def without(
        family: socket.AddressFamily, host: str, port: int, is_shared: bool
    ) -> socket.socket:
        if family is missing:
            raise OSError(number, "not on this machine")
        return bound(family, host, port, is_shared)

    monkeypatch.setattr(addresses, "_bound", without)
    (only,) = listening_sockets(host, 0)
    assert only.family is not missing
    only.close()


def test_only_processes_that_agree_share_a_port() -> None:
    ours = listening_sockets("127.0.0.1", 0, is_shared=True)
    port = ours[0].getsockname()[1]
    others = listening_sockets("127.0.0.1", port, is_shared=True)
    for one in (*ours, *others):
        one.listen()
    with pytest.raises(OSError, match="in use"):
        listening_sockets("127.0.0.1", port)
    for one in (*ours, *others):
        one.close()


async def test_without_a_route_the_url_has_an_address_of_an_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyaiot.transport.http_server.own_address", lambda: "")
    monkeypatch.setattr("pyaiot.transport.http_server.interface_addresses", lambda: ["192.0.2.7"])
    server = await opened("::")
    try:
        assert server.url_for_others == f"http://192.0.2.7:{server.port}/"
        monkeypatch.setattr("pyaiot.transport.http_server.interface_addresses", list)
        assert server.url_for_others == server.url
    finally:
        await server.close()


def test_interface_addresses_can_be_bound_and_are_not_loopback() -> None:
    for address in interface_addresses():
        assert not addresses.is_loopback(address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))


async def test_url_for_others_on_loopback_is_the_loopback_address() -> None:
    server = await opened("127.0.0.1")
    try:
        assert server.url_for_others == server.url
    finally:
        await server.close()


def test_own_address_belongs_to_this_machine() -> None:
    address = own_address()
    if address:  # a machine without a network has none
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
