# SPDX-License-Identifier: BSD-3-Clause
"""The showroom: its settings and its Caddyfile, with Caddy in front of a broker."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from pyaiot import config
from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from tests.authority import new_authority
from tests.documents import ROOT
from tests.inner_pytest import assert_passes
from tests.interop.conftest import located
from tests.interop.test_reverse_proxies import Proxied, until_it_answers
from tests.interop.test_scopes import NAMESPACE, no_links
from tests.programs import Programs, free_port

pytestmark = pytest.mark.sockets

FOLDER = ROOT / "examples" / "showroom"
NAME = "pyaiot.example.org"


def named(text: str) -> str:
    return text.replace("showroom.example.org", NAME)


@pytest.fixture(scope="module")
def showroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxy")
    made = new_authority(folder)
    programs = Programs(tmp_path_factory.mktemp("home"))
    settings = folder / "config.toml"
    text = named((FOLDER / "config.toml").read_text("utf-8"))
    settings.write_text(text.replace("port = 8000", "port = 0"), "utf-8")
    port = free_port(socket.SOCK_STREAM)
    try:
        broker = programs.aiot(
            *("run", "--config", settings, "--coap-port", "0", "--ws-port", "0"),
            *("--mqtt-port", "0", "--mqttsn-port", "0", "--coaps-port", "0", "--mdns", "off"),
        )
        shown = broker.startup_text()
        (url,) = re.findall(r"Pyaiot: (http://\S+)", shown)
        site = named((FOLDER / "Caddyfile").read_text("utf-8"))
        site = site.replace("127.0.0.1:8000", url.removeprefix("http://").rstrip("/"))
        certificate = f"tls {made.certificate('server')} {made.key('server')}"
        site = site.replace(f"{NAME} {{", f"{NAME}:{port} {{\nbind 127.0.0.1\n{certificate}")
        caddyfile = folder / "Caddyfile"
        caddyfile.write_text(f"{{\nadmin off\nauto_https disable_redirects\n}}\n{site}", "utf-8")
        program = located("caddy", "caddy", "caddy")
        programs.start(
            *(program, "run", "--adapter", "caddyfile", "--config", caddyfile),
            XDG_DATA_HOME=str(folder),
            XDG_CONFIG_HOME=str(folder),
        )
        (path,) = re.findall(rf"https://{NAME}(/login\?token=\S+)", shown)
        root = f"https://{NAME}:{port}"
        yield Proxied(root, root + path, made.ca, url, folder)
    finally:
        programs.close()


async def test_visitor_sees_everything_and_changes_nothing(showroom: Proxied) -> None:
    async with showroom.session("127.0.0.3") as visitor:
        await until_it_answers(visitor, showroom.url)
        async with visitor.get(showroom.url + "/", headers={"Accept": "text/html"}) as page:
            assert (page.status, "<title>" in await page.text()) == (200, True)
        async with visitor.get(showroom.url + "/dashboard.json") as answer:
            settings = await answer.json()
        assert settings["title"] == "Showroom"
        assert "camera.example.org" in settings["camera"]
        async with visitor.get(showroom.url + "/api/nodes") as answer:
            assert answer.status == 200
        async with visitor.get(showroom.url + "/api/info") as answer:
            info = await answer.json()
        assert (info["access"], info["may_command"]) == ("anonymous", False)
        origin = {"Origin": showroom.url}
        command = {"resource": "led", "payload": "1"}
        async with visitor.post(
            showroom.url + "/api/nodes", json={"nodes": [{"uid": "x"}]}, headers=origin
        ) as answer:
            assert answer.status in {401, 403}
        async with visitor.post(
            showroom.url + "/api/commands?uid=x", json=command, headers=origin
        ) as answer:
            assert answer.status in {401, 403}


def test_kiosk_address_of_the_page_is_one_of_the_dashboard() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    (query,) = re.findall(r"https://showroom\.example\.org/\?(\S+?)`", page)
    source = (ROOT / "dashboard" / "src" / "model" / "kiosk.ts").read_text("utf-8")
    for name in parse_qs(query):
        assert f'get("{name}")' in source


async def test_people_of_the_showroom_sign_in_as_administrators(showroom: Proxied) -> None:
    async with showroom.session("127.0.0.6") as person:
        await until_it_answers(person, showroom.url)
        headers = {"Origin": showroom.url}
        async with person.post(showroom.link, headers=headers, allow_redirects=False) as answer:
            assert answer.status == 303
        async with person.get(showroom.url + "/api/info") as answer:
            assert (await answer.json())["may_command"] is True


def test_settings_are_valid_and_new_boards_wait() -> None:
    settings, _ = config.load(FOLDER / "config.toml", {}, {})
    assert settings.broker.anonymous == "viewer"
    assert settings.registry.admission == "approve"


def test_visitor_is_served_while_another_address_floods(tmp_path: Path) -> None:
    located("caddy", "caddy", "caddy")
    if reason := no_links():
        pytest.skip(reason)
    assert_passes(NAMESPACE, "tests/examples/showroom_flood.py", tmp_path)
