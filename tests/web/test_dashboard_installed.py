# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard as an app: its manifest, and the service worker, in a real browser."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, unused_port

from pyaiot.web.access import need_for
from pyaiot.web.dashboard import Dashboard, DashboardApp, Look
from pyaiot.web.manifest import manifest
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.test_dashboard_account import Guarded, send_led
from tests.web.test_dashboard_page import card, no_page, see, until
from tests.web.test_dashboard_registry import broker_with

if TYPE_CHECKING:
    from playwright.async_api import Page

CACHED = """(async () => {
    const urls = [];
    for (const name of await caches.keys())
        for (const request of await (await caches.open(name)).keys()) urls.push(request.url);
    return JSON.stringify(urls);
})()"""
NAMES = "(async () => JSON.stringify(await caches.keys()))()"
CONTROLLED = "navigator.serviceWorker.controller?.state === 'activated'"


def built() -> Mapping[str, bytes]:
    found = load_built()
    if not found:
        no_page()
    return found


def test_manifest_has_the_title_and_relative_paths() -> None:
    document = manifest("Showroom", "")
    assert document["name"] == "Showroom"
    assert {document["start_url"], document["scope"], document["id"]} == {"./"}
    assert [icon["src"] for icon in document["icons"] if icon.get("purpose") == "maskable"]
    assert not any(icon["src"].startswith("/") for icon in document["icons"])


def test_configured_favicon_is_the_icon_of_the_app() -> None:
    icons = manifest("Showroom", "pictures/favicon.png")["icons"]
    assert icons == [{"src": "pictures/favicon.png", "sizes": "any"}]


def test_icons_of_the_manifest_are_built_and_public() -> None:
    files = built()
    for icon in manifest("", "")["icons"]:
        assert files[icon["src"]]
        assert need_for("GET", f"/{icon['src']}") == "public"
    assert need_for("GET", "/manifest.webmanifest") == "viewer"
    assert need_for("PUT", "/icons/192.png") == "admin"


def test_worker_names_every_file_that_the_page_loads_first() -> None:
    files = built()
    worker = files["service-worker.js"].decode()
    names = worker.split('FILES = "', 1)[1].split('"', 1)[0].split()
    page = files["index.html"].decode()
    assert {name for name in files if name.startswith("assets/") and name in page} <= set(names)
    assert all(name in files for name in names if name != "./")
    assert "%" not in worker.split("const HOME")[0]


@pytest.mark.sockets
async def test_manifest_is_served_as_one() -> None:
    app = DashboardApp(Dashboard(Look(title="Lab"), {}), allowed_hosts=frozenset())
    async with (
        TestServer(app.app) as server,
        ClientSession() as session,
        session.get(server.make_url("/manifest.webmanifest")) as answer,
    ):
        assert answer.content_type == "application/manifest+json"
        assert (await answer.json(content_type=None))["name"] == "Lab"


# -- in a browser ---------------------------------------------------------------------------------


class Host:
    """Serves builds of the dashboard at one port, and stops."""

    def __init__(self) -> None:
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._runner: web.AppRunner | None = None

    async def serve(self, files: Mapping[str, bytes]) -> None:
        await self.stop()
        app = DashboardApp(Dashboard(Look(title="Lab"), files), allowed_hosts=frozenset())
        self._runner = web.AppRunner(app.app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None


@asynccontextmanager
async def hosted() -> AsyncIterator[Host]:
    host = Host()
    await host.serve(built())
    try:
        yield host
    finally:
        await host.stop()


def next_build() -> dict[str, bytes]:
    """Another build of the same page: its entry has another name."""
    files = built()
    [entry] = [name for name in files if name.startswith("assets/index-") and name.endswith(".js")]
    other = "assets/index-next.js"
    renamed = {other if name == entry else name: body for name, body in files.items()}
    old, new = entry.rpartition("/")[2].encode(), b"index-next.js"
    worker = renamed["service-worker.js"].replace(b'VERSION = "', b'VERSION = "next')
    return {
        name: body.replace(old, new) if name.endswith((".js", ".html")) else body
        for name, body in (renamed | {"service-worker.js": worker}).items()
    }


async def cached(page: "Page") -> list[str]:
    urls: list[str] = json.loads(await page.evaluate(CACHED))
    return urls


@pytest.mark.sockets
async def test_page_without_its_server_opens_and_shows_that_it_is_offline(
    browser: Browser,
) -> None:
    """In the language of the browser, and in those of the settings."""
    async with (
        hosted() as host,
        browser.page(service_workers="allow", locale="fr-FR", loses_broker=True) as page,
    ):
        await page.goto(host.url)
        await until(page, CONTROLLED)
        await host.stop()
        for language, text in (
            ("", "Vous êtes hors ligne"),
            ("en", "You are offline"),
            ("de", "Sie sind offline"),
        ):
            await page.evaluate(f"localStorage['pyaiot.language'] = '\"{language}\"'")
            await page.reload()
            await see(page.locator(".empty h2"), text)
            assert await page.title() == "Pyaiot"  # the title of the broker is not kept
        async with page.expect_navigation():
            await host.serve(built())
        await until(page, "document.title === 'Lab'")


@pytest.mark.sockets
async def test_new_build_replaces_the_old_one(browser: Browser) -> None:
    async with hosted() as host, browser.page(service_workers="allow", loses_broker=True) as page:
        await page.goto(host.url)
        await until(page, CONTROLLED)
        [before] = json.loads(await page.evaluate(NAMES))
        await host.serve(next_build())
        await page.reload()
        assert await page.locator("script[src$='index-next.js']").count() == 1
        await until(page, f"{NAMES}.then((names) => !names.includes('{before}'))")
        await host.stop()
        await page.reload()
        await see(page.locator(".empty h2"), "You are offline")
        assert await page.locator("script[src$='index-next.js']").count() == 1


@pytest.mark.sockets
async def test_half_of_a_build_is_not_kept(browser: Browser) -> None:
    """A proxy answers with its own page: the previous worker stays active."""
    async with hosted() as host, browser.page(service_workers="allow", loses_broker=True) as page:
        await page.goto(host.url)
        await until(page, CONTROLLED)
        before = await cached(page)
        wrong = next_build()
        del wrong["icons/icon.svg"]
        await host.serve(wrong)
        update = "navigator.serviceWorker.getRegistration().then((it) => it.update())"
        await page.evaluate(f"{update}.then((it) => {{ globalThis.next = it.installing; }})")
        await until(page, "next === null || next.state === 'redundant'")
        assert await cached(page) == before


@pytest.mark.sockets
async def test_after_signing_out_the_browser_keeps_nothing_but_files_of_the_build(
    browser: Browser,
) -> None:
    it = Guarded()
    async with (
        broker_with(login=it.sign_in) as broker,
        browser.page(service_workers="allow") as page,
    ):
        await it.open(page, broker, "admin")
        send_led(broker)
        await until(page, CONTROLLED)
        await page.reload()
        await card(page, "A").wait_for()
        await page.get_by_role("button", name="Account").click()
        async with page.expect_navigation():
            await page.get_by_role("button", name="Sign out", exact=True).click()
        await see(page.locator("body"), "Password")  # the server answers, not the cache
        paths = {url.removeprefix(broker.url) for url in await cached(page)}
        assert "" in paths
        assert paths - {""} <= set(built())


@pytest.mark.sockets
async def test_page_without_a_secure_context_registers_nothing(browser: Browser) -> None:
    async with hosted() as host, browser.page(service_workers="allow", loses_broker=True) as page:
        await page.add_init_script(
            "Object.defineProperty(globalThis, 'isSecureContext', { value: false });"
        )
        await page.goto(host.url)
        await until(
            page,
            "performance.getEntriesByType('resource').some((it) => it.name.includes('/install-'))",
        )
        count = "navigator.serviceWorker.getRegistrations().then((all) => all.length)"
        assert await page.evaluate(count) == 0
