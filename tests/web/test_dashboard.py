# SPDX-License-Identifier: BSD-3-Clause
"""What is served of the dashboard: files, policy, and what the page is told about itself."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pyaiot.app import dashboard as pages
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.web.dashboard import PICTURE_SIZE_MAX, Dashboard, DashboardApp, Look, load_built

SCRIPT = b"console.log('a page');" * 100
BUILT = {
    "index.html": b"<!doctype html><title>built</title>",
    "favicon.svg": b"<svg/>",
    "assets/a-1.js": SCRIPT,
}


async def get(look: Look, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    """The answer to one request, with its body as it came over the wire."""
    app = DashboardApp(Dashboard(look, BUILT), allowed_hosts=frozenset())
    async with (
        TestServer(app.app) as server,
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(server.make_url(path), headers=headers, allow_redirects=False) as response,
    ):
        return response, await response.read()


def policy(response: aiohttp.ClientResponse) -> dict[str, list[str]]:
    directives = response.headers["Content-Security-Policy"].split(";")
    return {words[0]: words[1:] for words in (part.split() for part in directives)}


@pytest.mark.sockets
async def test_page_is_at_the_root_with_a_policy_that_allows_nothing_unsafe() -> None:
    response, body = await get(Look(), "/")
    assert (response.status, body) == (200, BUILT["index.html"])
    rules = policy(response)
    assert rules["default-src"] == ["'self'"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "img-src" not in rules
    assert "connect-src" not in rules
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.sockets
async def test_files_with_a_name_of_their_content_are_kept_and_compressed() -> None:
    response, body = await get(Look(), "/assets/a-1.js", **{"Accept-Encoding": "gzip"})
    assert "immutable" in response.headers["Cache-Control"]
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == SCRIPT
    response, body = await get(Look(), "/assets/a-1.js", **{"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in response.headers
    assert body == SCRIPT
    assert response.headers["Vary"] == "Accept-Encoding"


@pytest.mark.sockets
@pytest.mark.parametrize("path", ["/assets/", "/assets/../index.html", "/.made-from", "/none"])
async def test_nothing_else_is_served(path: str) -> None:
    response, _ = await get(Look(), path)
    assert response.status == 404


@pytest.mark.sockets
async def test_page_is_told_what_was_configured(tmp_path: Path) -> None:
    plan = tmp_path / "floor plan.png"
    plan.write_bytes(b"PNG")
    look = Look(
        title="Lab",
        logo="https://logo.example:8443/l.svg",
        camera_url="http://cam.example/c.jpg",
        webcam_hosts=("other.example:81",),
        tile_url="https://{s}.tiles.example/{z}/{x}/{y}.png",
        floor_plan=str(plan),
        floor_plan_bounds="48.70, 2.20, 48.72, 2.22",
        broker_url="ws://localhost:8000/ws",
    )
    app = web.Application()
    Dashboard(look, BUILT).add_routes(app)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        async with session.get(server.make_url("/dashboard.json")) as response:
            told: dict[str, Any] = await response.json()
            rules = policy(response)
        async with session.get(server.make_url("/" + told["floorPlan"])) as picture:
            assert (picture.content_type, await picture.read()) == ("image/png", b"PNG")
    assert told["title"] == "Lab"
    assert told["floorPlanBounds"] == [48.70, 2.20, 48.72, 2.22]
    assert "other.example:81" in told["imageHosts"]
    assert told["api"] is False
    assert set(rules["img-src"]) == {
        "'self'",
        "http://other.example:81",
        "https://other.example:81",
        "https://logo.example:8443",
        "http://cam.example",
        "https://*.tiles.example",
    }
    # For the browser, a broker of this machine is where the page came from.
    assert rules["connect-src"] == ["'self'", "ws://127.0.0.1:8000", "http://127.0.0.1:8000"]


@pytest.mark.sockets
async def test_page_is_told_of_an_api_beside_it() -> None:
    async def info(_request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/api/info", info)
    Dashboard(Look(), BUILT).add_routes(app)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/dashboard.json")) as response,
    ):
        assert (await response.json())["api"] is True


@pytest.mark.sockets
async def test_favicon_of_ones_own_is_served_in_place_of_ours(tmp_path: Path) -> None:
    icon = tmp_path / "icon.png"
    icon.write_bytes(b"ICON")
    response, _ = await get(Look(favicon=str(icon)), "/favicon.svg")
    assert (response.status, response.headers["Location"]) == (302, "pictures/favicon.png")
    response, body = await get(Look(favicon=str(icon)), "/pictures/favicon.png")
    assert body == b"ICON"


@pytest.mark.sockets
async def test_foreign_name_is_refused() -> None:
    response, _ = await get(Look(), "/", Host="evil.example")
    assert response.status == 403


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (Look(logo="/nowhere/logo.png"), "cannot be read"),
        (Look(logo="/etc/passwd"), "no picture by its name"),
        (Look(webcam_hosts=("a.example; script-src *",)), "no host"),
        (Look(webcam_hosts=("*",)), "no host"),
        (Look(camera_url="http://a.example; x/y"), "no address"),
        (Look(floor_plan="https://a.example/p.png"), "south,west,north,east"),
        (Look(floor_plan="https://a.example/p.png", floor_plan_bounds="9,0,1,1"), "south < north"),
        (
            Look(floor_plan="https://a.example/p.png", floor_plan_bounds="nan,0,1,1"),
            "south < north",
        ),
    ],
)
def test_what_cannot_be_served_is_one_sentence(look: Look, words: str) -> None:
    with pytest.raises(OperatorError, match=words):
        Dashboard(look, BUILT)


def test_picture_that_is_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(PICTURE_SIZE_MAX + 1)
    with pytest.raises(OperatorError, match="more than 16 MB"):
        Dashboard(Look(logo=str(large)), BUILT)


def test_folder_of_ones_own_is_served_in_place_of_the_packaged_page(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(b"mine")
    (tmp_path / "assets" / "b.js").write_bytes(b"js")
    (tmp_path / ".secret").write_bytes(b"no")
    built = load_built(str(tmp_path))
    assert built == {"index.html": b"mine", "assets/b.js": b"js"}
    with pytest.raises(OperatorError, match=r"has no index\.html"):
        load_built(str(tmp_path / "assets"))


def test_without_the_built_page_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pages, "load_built", lambda _static_path: {})
    assert pages.load_dashboard(Config()) is None
    [record] = caplog.records
    assert record.getMessage().endswith("Until then the plain page is served.")
    with pytest.raises(OperatorError, match="not built here"):
        asyncio.run(pages.run_dashboard(Config(), print))
