# SPDX-License-Identifier: BSD-3-Clause
"""The files of the dashboard, their security policy, and `/dashboard.json`."""

import asyncio
import gzip
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pyaiot.app import dashboard as app_dashboard
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.web import stored_files
from pyaiot.web.dashboard import (
    CONTENT_SECURITY_POLICY,
    PICTURE_SIZE_MAX,
    Dashboard,
    DashboardApp,
    Look,
)
from pyaiot.web.stored_files import PACKED_FROM, load_built

SCRIPT = b"console.log('a page');" * 100
BUILT = {
    "index.html": b"<!doctype html><title>built</title>",
    "favicon.svg": b"<svg/>",
    "assets/a-1.js": SCRIPT,
}


async def get(
    look: Look,
    path: str,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    built: Mapping[str, bytes] = MappingProxyType(BUILT),
) -> tuple[aiohttp.ClientResponse, bytes]:
    """The response to one request, with its body as received."""
    app = DashboardApp(Dashboard(look, built), allowed_hosts=frozenset())
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
async def test_dashboard_is_at_the_root_with_a_policy_that_allows_nothing_unsafe() -> None:
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
async def test_unchanged_file_is_answered_304() -> None:
    response, _ = await get(Look(), "/")
    etag = response.headers["ETag"]
    response, body = await get(Look(), "/", {"If-None-Match": etag})
    assert (response.status, response.headers["ETag"], body) == (304, etag, b"")
    response, _ = await get(Look(), "/", {"If-None-Match": '"another"'})
    assert response.status == 200


@pytest.mark.sockets
async def test_files_named_after_their_content_are_cached_and_compressed() -> None:
    response, body = await get(Look(), "/assets/a-1.js", {"Accept-Encoding": "gzip"})
    assert "immutable" in response.headers["Cache-Control"]
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == SCRIPT
    response, body = await get(Look(), "/assets/a-1.js", {"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in response.headers
    assert body == SCRIPT
    assert response.headers["Vary"] == "Accept-Encoding"


@pytest.mark.sockets
async def test_large_files_are_the_same_before_and_after_they_were_compressed() -> None:
    large = b"".join(b"const name%d = %d;\n" % (number, number) for number in range(10_000))
    assert len(large) > 2 * PACKED_FROM
    dashboard = Dashboard(Look(), {**BUILT, "assets/large-1.js": large})
    app = DashboardApp(dashboard, allowed_hosts=frozenset())
    async with (
        TestServer(app.app) as server,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        for encoding in ("identity", "gzip", "identity", "gzip"):
            async with session.get(
                server.make_url("/assets/large-1.js"), headers={"Accept-Encoding": encoding}
            ) as response:
                body = await response.read()
                assert response.headers.get("Content-Encoding", "identity") == encoding
                assert (gzip.decompress(body) if encoding == "gzip" else body) == large


@pytest.mark.sockets
@pytest.mark.parametrize("path", ["/assets/", "/assets/../index.html", "/.made-from", "/none"])
async def test_nothing_else_is_served(path: str) -> None:
    response, _ = await get(Look(), path)
    assert response.status == 404


@pytest.mark.sockets
async def test_settings_are_served_as_json(tmp_path: Path) -> None:
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
        broker_urls=("ws://localhost:8000/ws",),
    )
    app = web.Application()
    Dashboard(look, BUILT).add_routes(app)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        async with session.get(server.make_url("/dashboard.json")) as response:
            settings: dict[str, Any] = await response.json()
            rules = policy(response)
        async with session.get(server.make_url("/" + settings["floorPlan"])) as picture:
            assert (picture.content_type, await picture.read()) == ("image/png", b"PNG")
    assert settings["title"] == "Lab"
    assert settings["floorPlanBounds"] == [48.70, 2.20, 48.72, 2.22]
    assert "other.example:81" in settings["imageHosts"]
    assert settings["api"] is False
    assert set(rules["img-src"]) == {
        "'self'",
        "http://other.example:81",
        "https://other.example:81",
        "https://logo.example:8443",
        "http://cam.example",
        "https://*.tiles.example",
        "http://127.0.0.1:8000",  # floor plans, which the broker serves
    }
    # For the browser, a broker on this machine has the host of the dashboard.
    assert rules["connect-src"] == ["'self'", "ws://127.0.0.1:8000", "http://127.0.0.1:8000"]


@pytest.mark.sockets
async def test_settings_include_whether_there_is_an_api() -> None:
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
async def test_configured_favicon_replaces_the_built_one(tmp_path: Path) -> None:
    icon = tmp_path / "icon.png"
    icon.write_bytes(b"ICON")
    response, _ = await get(Look(favicon=str(icon)), "/favicon.svg")
    assert (response.status, response.headers["Location"]) == (302, "pictures/favicon.png")
    response, body = await get(Look(favicon=str(icon)), "/pictures/favicon.png")
    assert body == b"ICON"


@pytest.mark.sockets
async def test_request_for_another_host_name_is_refused() -> None:
    response, _ = await get(Look(), "/", {"Host": "evil.example"})
    assert response.status == 403


@pytest.mark.parametrize(
    ("look", "text"),
    [
        (Look(logo="/nowhere/logo.png"), "cannot be read"),
        (Look(logo="/etc/passwd"), "not that of a picture"),
        (Look(webcam_hosts=("a.example; script-src *",)), "invalid host"),
        (Look(webcam_hosts=("*",)), "invalid host"),
        (Look(camera_url="http://a.example; x/y"), "invalid URL"),
        (Look(floor_plan="https://a.example/p.png"), "south,west,north,east"),
        (
            Look(floor_plan="https://a.example/p.png", floor_plan_bounds="9,0,1,1"),
            "below north",
        ),
        (
            Look(floor_plan="https://a.example/p.png", floor_plan_bounds="nan,0,1,1"),
            "below north",
        ),
    ],
)
def test_invalid_setting_is_one_sentence(look: Look, text: str) -> None:
    with pytest.raises(OperatorError, match=text):
        Dashboard(look, BUILT)


def test_picture_that_is_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(PICTURE_SIZE_MAX + 1)
    with pytest.raises(OperatorError, match="larger than 16 MB"):
        Dashboard(Look(logo=str(large)), BUILT)


def test_configured_folder_replaces_the_packaged_dashboard(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(b"mine")
    (tmp_path / "assets" / "b.js").write_bytes(b"js")
    (tmp_path / ".secret").write_bytes(b"no")
    built = load_built(str(tmp_path))
    assert built == {"index.html": b"mine", "assets/b.js": b"js"}
    with pytest.raises(OperatorError, match=r"has no index\.html"):
        load_built(str(tmp_path / "assets"))
    with pytest.raises(OperatorError, match="cannot be read: File name too long"):
        load_built("x" * 5000)


def test_a_folder_without_a_page_is_refused_before_its_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").write_bytes(b"x")
    monkeypatch.setattr(stored_files, "StoredFile", None)
    with pytest.raises(OperatorError, match=r"has no index\.html"):
        load_built(str(tmp_path))


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ([], False),
        (["gzip, br"], True),
        (["br, GZIP;q=0.5"], True),
        (["br"], False),
        (["gzip;q=0, br"], False),
        (["gzip; q=0.000"], False),
        (["*"], True),
        (["*;q=0"], False),
        (["gzip;q=0", "*"], False),
        (["identity", "gzip"], True),
        (["notgzip"], False),
    ],
)
def test_a_client_that_refuses_gzip_gets_none(headers: list[str], accepted: bool) -> None:
    assert stored_files.accepts_gzip(headers) is accepted


def test_missing_build_is_one_warning_or_one_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app_dashboard, "load_built", lambda _static_path: {})
    app_dashboard.load_dashboard(Config())
    [record] = caplog.records
    assert record.getMessage() == app_dashboard.NOT_BUILT
    with pytest.raises(OperatorError, match=r"Build it with scripts/page\.py"):
        asyncio.run(app_dashboard.run_dashboard(Config(), print))


@pytest.mark.sockets
async def test_source_tree_without_a_build_serves_how_to_build_it() -> None:
    response, body = await get(Look(), "/", built={})
    assert (response.status, response.content_type) == (200, "text/html")
    assert b"scripts/page.py" in body
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    response, _ = await get(Look(), "/assets/a-1.js", built={})
    assert response.status == 404
