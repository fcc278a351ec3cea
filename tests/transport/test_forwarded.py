# SPDX-License-Identifier: BSD-3-Clause
"""What a reverse proxy reports about its client, and from which proxies it counts."""

import ipaddress

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import OperatorError
from pyaiot.transport.forwarded import (
    HOPS_MAX,
    TrustedProxies,
    forwarded_host,
    forwarded_scheme,
)
from pyaiot.transport.hsts import add_hsts_header
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer
from pyaiot.transport.origin_check import check_origin

PROXIES = TrustedProxies(["192.0.2.1", "10.0.0.0/8", "2001:db8::/64"])


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("192.0.2.1", ["198.51.100.7"], "198.51.100.7"),
        ("192.0.2.1", [], "192.0.2.1"),
        # The client wrote the first ones.
        ("192.0.2.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("192.0.2.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        # Two proxies.
        ("192.0.2.1", ["203.0.113.9, 198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("2001:db8::5", ["2001:db9::1"], "2001:db9::1"),
        ("::ffff:192.0.2.1", ["198.51.100.7"], "198.51.100.7"),
        # With a port, as some write it.
        ("192.0.2.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("192.0.2.1", ["[2001:db9::1]:4711"], "2001:db9::1"),
        # An element that is not an address ends the list.
        ("192.0.2.1", ["198.51.100.7, unknown"], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7, nonsense, 10.0.0.7"], "10.0.0.7"),
        ("192.0.2.1", [""], "192.0.2.1"),
        ("192.0.2.1", ["fe80::1%eth0"], "fe80::1%eth0"),
        # Others can write the header, too.
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("nonsense", ["203.0.113.9"], "nonsense"),
    ],
)
def test_client_is_the_last_hop_that_is_no_trusted_proxy(
    peer: str, header: list[str], client: str
) -> None:
    assert PROXIES.client(peer, header) == client


def test_hops_are_limited() -> None:
    hops = ["198.51.100.7", *["10.0.0.2"] * HOPS_MAX]
    assert PROXIES.client("10.0.0.1", [",".join(hops)]) == "10.0.0.2"
    assert PROXIES.client("10.0.0.1", [",".join(hops[:-1])]) == "198.51.100.7"


@given(st.sampled_from(["198.51.100.1", "2001:db9::1", ""]), st.lists(st.text(max_size=60)))
def test_nobody_else_changes_the_address(peer: str, header: list[str]) -> None:
    assert PROXIES.client(peer, header) == peer


@given(st.lists(st.text(alphabet="0123456789abcdef.:[], ", max_size=60)))
def test_client_of_a_proxy_is_an_address(header: list[str]) -> None:
    ipaddress.ip_address(PROXIES.client("192.0.2.1", header))


def test_nobody_is_trusted_by_default() -> None:
    assert not TrustedProxies()
    assert TrustedProxies().client("127.0.0.1", ["198.51.100.7"]) == "127.0.0.1"


@pytest.mark.parametrize("text", ["proxy.lan", "", "192.0.2.0/33", "192.0.2.1/24", "*"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=r"trusted_proxies: .* is not an address or network"):
        TrustedProxies([text])


def test_scheme_and_host_are_the_last_ones() -> None:
    assert forwarded_scheme(["http", "https"]) == "https"
    assert forwarded_scheme(["http, HTTPS"]) == "https"
    assert forwarded_scheme(["https, ftp"]) is None
    assert forwarded_scheme([]) is None
    assert forwarded_host(["a, pi.lan:8000 "]) == "pi.lan:8000"
    assert forwarded_host([]) is None
    assert forwarded_host(["a, "]) is None


async def answer(proxies: TrustedProxies, headers: dict[str, str]) -> tuple[int, str, str | None]:
    """Status, text and `Strict-Transport-Security` of a request from loopback."""

    async def describe(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.remote} {request.scheme} {request.host}")

    check = check_origin(frozenset({"pi.example"}), frozenset(), lambda _: None, section="broker")
    app = web.Application(middlewares=[check])
    app.on_response_prepare.append(add_hsts_header)
    app.router.add_get("/", describe)
    log = ServerLog(lambda _: None)
    server = await HttpServer.open(
        app, "127.0.0.1", 0, service="It", flag="--port", server_log=log, proxies=proxies
    )
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(server.url, headers=headers) as got,
        ):
            text = await got.text()
            hsts = got.headers.get("Strict-Transport-Security")
            return got.status, text.replace(f":{server.port}", ""), hsts
    finally:
        await server.close()


FORWARDED = {
    "X-Forwarded-For": "198.51.100.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "pi.example",
}


@pytest.mark.sockets
async def test_headers_of_a_trusted_proxy_describe_the_client() -> None:
    status, text, hsts = await answer(TrustedProxies(["127.0.0.1"]), FORWARDED)
    assert (status, text) == (200, "198.51.100.7 https pi.example")
    assert hsts is not None
    assert hsts.startswith("max-age=")


@pytest.mark.sockets
@pytest.mark.parametrize("trusted", [[], ["192.0.2.1"]])
async def test_forged_headers_are_ignored(trusted: list[str]) -> None:
    status, text, hsts = await answer(TrustedProxies(trusted), FORWARDED)
    assert (status, text, hsts) == (200, "127.0.0.1 http 127.0.0.1", None)


@pytest.mark.sockets
async def test_host_and_origin_of_the_client_are_checked() -> None:
    trusted = TrustedProxies(["127.0.0.0/8"])
    foreign = FORWARDED | {"X-Forwarded-Host": "evil.example"}
    assert (await answer(trusted, foreign))[0] == 403
    for origin, status in (
        ("https://pi.example", 200),
        ("http://pi.example", 403),
        ("https://evil.example", 403),
    ):
        assert (await answer(trusted, FORWARDED | {"Origin": origin}))[0] == status


@pytest.mark.sockets
async def test_nonsense_of_a_trusted_proxy_is_ignored() -> None:
    headers = {"X-Forwarded-For": "é, _hidden", "X-Forwarded-Proto": "gopher"}
    status, text, hsts = await answer(TrustedProxies(["127.0.0.1"]), headers)
    assert (status, text, hsts) == (200, "127.0.0.1 http 127.0.0.1", None)
