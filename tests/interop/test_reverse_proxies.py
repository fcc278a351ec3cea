# SPDX-License-Identifier: BSD-3-Clause
"""nginx and Caddy in front of the broker, configured as in docs/how-to/behind-a-name.md."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from pyaiot.transport.resolver import Connector
from pyaiot.transport.tls import client_context
from tests.authority import new_authority
from tests.documents import ROOT, Block
from tests.history.files import history_file
from tests.interop.conftest import located
from tests.programs import Programs, free_port
from tests.time_limits import time_limit

pytestmark = pytest.mark.sockets

NAME = "pyaiot.example.org"
READINGS = 30_000
START_LIMIT_S = 30.0
PAGE = ROOT / "docs" / "how-to" / "behind-a-name.md"


@dataclass
class Proxied:
    """A broker behind a proxy. People reach it at `url`, a name that only this test knows."""

    url: str
    link: str
    ca: Path
    broker_url: str
    key_file: Path
    access_log: Path | None = None
    """Of nginx. Caddy writes none."""

    @asynccontextmanager
    async def session(self, address: str = "127.0.0.1") -> AsyncIterator[aiohttp.ClientSession]:
        """A browser with this address."""
        connector = Connector(
            resolver=_Names(), ssl=client_context(str(self.ca)), local_addr=(address, 0)
        )
        async with aiohttp.ClientSession(connector=connector) as session:
            yield session


class _Names(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        assert host == NAME
        flags = socket.AI_NUMERICHOST
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=flags
            )
        ]

    async def close(self) -> None:
        pass


def documented(language: str) -> str:
    (text,) = [block.text for block in Block.of(PAGE) if block.language == language]
    return text


def nginx(folder: Path, port: int, broker: int, certificate: Path, key: Path) -> list[str]:
    """The command that runs nginx with the documented server."""
    server = documented("nginx")
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    server = server.replace("127.0.0.1:8000", f"127.0.0.1:{broker}")
    server = server.replace("/etc/ssl/pyaiot.example.org.pem", str(certificate))
    server = server.replace("/etc/ssl/private/pyaiot.example.org.key", str(key))
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;"
        f" events {{}} http {{ access_log {folder}/access.log; {paths} {server} }}"
    )
    program = located("nginx", "nginx", "nginx", "/usr/sbin/nginx")
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(folder: Path, port: int, broker: int, certificate: Path, key: Path) -> list[str]:
    """The command that runs Caddy with the documented site, and a certificate of ours."""
    site = documented("caddy").replace("127.0.0.1:8000", f"127.0.0.1:{broker}")
    site = site.replace(f"{NAME} {{", f"{NAME}:{port} {{\nbind 127.0.0.1\ntls {certificate} {key}")
    (folder / "Caddyfile").write_text(f"{{\nadmin off\nauto_https disable_redirects\n}}\n{site}")
    program = located("caddy", "caddy", "caddy")
    return [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxy")
    made = new_authority(folder)
    programs = Programs(tmp_path_factory.mktemp("home"))
    with history_file(folder) as file:
        file.readings("temperature", [(n / 100, f"{n / 1000}°C") for n in range(READINGS)])
    port = free_port(socket.SOCK_STREAM)
    try:
        broker = programs.aiot(
            *("broker", "--port", "0", "--key-file", programs.key_file()),
            *("--history", file.path, "--trusted-proxy", "127.0.0.1"),
            *("--allowed-host", NAME),
            AIOT_HISTORY_READINGS_DAYS="0",
        )
        text = broker.startup_text()
        (broker_url,) = re.findall(r"Broker: (http://\S+)", text)
        broker_port = int(broker_url.rstrip("/").rpartition(":")[2])
        command = request.param(
            folder, port, broker_port, made.certificate("server"), made.key("server")
        )
        programs.start(*command, XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))
        (path,) = re.findall(rf"https://{NAME}(/login\?token=\S+)", text)
        url = f"https://{NAME}:{port}"
        yield Proxied(
            url, url + path, made.ca, broker_url, programs.key_file(), folder / "access.log"
        )
    finally:
        programs.close()


async def until_it_answers(session: aiohttp.ClientSession, url: str) -> None:
    """Raises `TimeoutError`: the proxy did not start, because of its configuration for example."""
    async with time_limit(START_LIMIT_S):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"{url}/healthz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.02)


async def test_sign_in_websocket_events_and_export_work_through_the_proxy(
    proxied: Proxied,
) -> None:
    async with proxied.session("127.0.0.2") as browser:
        await until_it_answers(browser, proxied.url)
        async with browser.get(proxied.url + "/api/nodes") as answer:
            assert answer.status == 401
        headers = {"Origin": proxied.url}
        async with browser.post(proxied.link, headers=headers, allow_redirects=False) as answer:
            assert answer.status == 303
            cookie = answer.headers["Set-Cookie"]
            assert cookie.startswith("__Host-aiot=")
            assert "Secure" in cookie
            assert "max-age=" in answer.headers["Strict-Transport-Security"]
        async with browser.get(proxied.url + "/", headers={"Accept": "text/html"}) as page:
            assert "<title>" in await page.text()

        async with browser.ws_connect(
            proxied.url + "/ws", protocols=["pyaiot.v2"], headers=headers
        ) as client:
            assert client.protocol == "pyaiot.v2"
            await client.send_str('{"type":"new","data":"client"}')
            while "joined" not in await client.receive_str():
                pass
        for origin in ("https://evil.example", proxied.url.replace("https", "http")):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.ws_connect(proxied.url + "/ws", headers={"Origin": origin})
            assert refused.value.status == 403

        async with browser.get(proxied.url + "/api/events") as events:
            assert events.content_type == "text/event-stream"
            # It arrives although the response does not end: nothing on the way collects it.
            assert (await events.content.readline()).strip()

        async with browser.get(proxied.url + "/api/export") as export:
            lines = (await export.text()).splitlines()
        assert len(lines) == READINGS + 1
        assert "127.0.0.2" in await audited_addresses(browser, proxied)

        async with browser.post(proxied.url + "/logout", headers=headers) as answer:
            assert answer.status in {200, 401}
        async with browser.get(proxied.url + "/api/nodes") as answer:
            assert answer.status == 401


async def test_no_log_of_a_proxy_has_the_secret_of_a_link(proxied: Proxied) -> None:
    secret = "s" * 43
    async with proxied.session("127.0.0.7") as browser:
        await until_it_answers(browser, proxied.url)
        for path in (f"/login?token={secret}", f"/login?x=1&token={secret}"):
            async with browser.get(proxied.url + path) as answer:
                assert answer.headers["Referrer-Policy"] == "origin"
            async with browser.post(proxied.url + path) as answer:
                assert answer.status == 403
        async with browser.get(proxied.url + "/api/info") as answer:
            assert answer.status == 401
    if proxied.access_log is not None and proxied.access_log.exists():
        # nginx writes a line after it has sent the response.
        async with time_limit(5):
            while "/api/info" not in proxied.access_log.read_text():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.005)
        assert secret not in proxied.access_log.read_text()


async def audited_addresses(browser: aiohttp.ClientSession, proxied: Proxied) -> set[str]:
    """Addresses in the audit log, which an administrator reads."""
    async with browser.get(proxied.url + "/api/audit") as answer:
        assert answer.status == 200
        return {entry.get("from", "") for entry in (await answer.json())["entries"]}


async def attempt(browser: aiohttp.ClientSession, url: str, **headers: str) -> int:
    """The status of an attempt to sign in with a wrong password."""
    forged = {name.replace("_", "-"): value for name, value in headers.items()}
    form = {"name": "nobody", "password": "wrong password"}
    async with browser.post(url + "/login", data=form, headers=forged) as answer:
        return answer.status


async def test_limits_are_those_of_the_true_address(proxied: Proxied) -> None:
    async with proxied.session("127.0.0.3") as guesser, proxied.session("127.0.0.4") as other:
        await until_it_answers(other, proxied.url)
        # A header of the client changes nothing: the proxy adds the true address after it.
        statuses = [
            await attempt(guesser, f"{proxied.url}", X_Forwarded_For=f"203.0.113.{number}")
            for number in range(6)
        ]
        assert statuses == [403] * 5 + [429]
        for browser, status in ((other, 403), (guesser, 429)):
            form = {"name": "somebody", "password": "wrong password"}
            async with browser.post(proxied.url + "/login", data=form) as answer:
                assert answer.status == status


async def test_forged_headers_without_the_proxy_change_no_address(proxied: Proxied) -> None:
    """A connection to the port of the broker itself, from an address that is not trusted."""
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.5", 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        url = proxied.broker_url.rstrip("/")
        link = url + "/login?token=wrong"
        statuses = []
        for number in range(6):
            headers = {"X-Forwarded-For": f"203.0.113.{number}", "X-Forwarded-Proto": "https"}
            async with session.post(link, headers=headers) as answer:
                statuses.append(answer.status)
                assert "Strict-Transport-Security" not in answer.headers
        assert statuses == [403] * 5 + [429]
        async with session.get(url, headers={"X-Forwarded-Host": "evil.example"}) as answer:
            assert answer.status == 401


@pytest.mark.parametrize(
    ("language", "path"),
    [("caddy", "deploy/caddy/Caddyfile"), ("nginx", "deploy/nginx/pyaiot.conf")],
)
def test_configuration_that_is_delivered_is_the_documented_one(language: str, path: str) -> None:
    lines = (ROOT / path).read_text("utf-8").splitlines()
    content = [line for line in lines if not line.startswith("#")]
    assert content == documented(language).splitlines()
