# SPDX-License-Identifier: BSD-3-Clause
"""Only pages of sites that the operator allows may use the API (CORS)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

SITE = "https://page.example"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "prefer"}


@asynccontextmanager
async def served(folder: Path | None = None) -> AsyncIterator[Served]:
    async with serving(folder, allowed_origins=frozenset({SITE})) as it:
        it.gateway.send("n", "led", "0")
        await it.known("n")
        yield it


@pytest.mark.parametrize(
    ("path", "status"), [("/api/nodes", 200), ("/api/nodes/nobody", 404), ("/api/nothing", 404)]
)
async def test_a_site_that_is_allowed_may_read_answers_and_problems(path: str, status: int) -> None:
    async with served() as it, it.web.get(path, headers={"Origin": SITE}) as answer:
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
        # Its page has no session here.
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_streams_are_for_it_too(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        for path in ("/api/events", "/api/export"):
            async with it.web.get(path, headers={"Origin": SITE}) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == SITE


async def test_preflight_permits_commands() -> None:
    async with served() as it:
        path = "/api/nodes/n/resources/led"
        async with it.web.options(path, headers={"Origin": SITE, **PREFLIGHT}) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == SITE
            assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
            assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
        headers = {"Origin": SITE}
        async with it.web.put(path, data=b"confirmed", headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == SITE


async def test_preflight_permits_edits_of_nodes() -> None:
    async with served() as it:
        for method in ("PATCH", "DELETE", "POST"):
            preflight = {"Access-Control-Request-Method": method, "Origin": SITE}
            async with it.web.options("/api/nodes/n", headers=preflight) as answer:
                assert method in answer.headers["Access-Control-Allow-Methods"]
                assert "If-Match" in answer.headers["Access-Control-Allow-Headers"]
        headers = {"Origin": SITE, "If-Match": '"0"'}
        async with it.web.patch("/api/nodes/n", json={"label": "Lamp"}, headers=headers) as answer:
            assert answer.status == 200
            assert (await answer.json())["label"] == "Lamp"


async def test_revision_is_a_condition_of_an_edit_as_an_etag_is() -> None:
    """The messages of the WebSocket carry the revision of a node, and no ETag."""
    async with served() as it:
        for revision, status in (
            *(('"0"', 200), ('"0"', 412), ('"1"', 200)),
            # The tag of something else does not match (RFC 9110 section 13.1.1).
            *(('"x"', 412), ('W/"0"', 412), ("x", 400), ('"x', 400), ("", 400)),
        ):
            headers = {"If-Match": revision}
            async with it.web.patch("/api/nodes/n", json={"room": "R"}, headers=headers) as answer:
                assert answer.status == status, revision


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{SITE}.evil.example"])
async def test_another_site_gets_no_cors_headers_and_is_refused(origin: str) -> None:
    async with served() as it:
        path = "/api/nodes/n/resources/led"
        for method, more in (("OPTIONS", PREFLIGHT), ("GET", {}), ("PUT", {})):
            headers = {"Origin": origin, **more}
            async with it.web.request(method, path, headers=headers) as answer:
                assert answer.status == 403
                assert "Access-Control-Allow-Origin" not in answer.headers
        assert it.gateway.commands == []


async def test_requests_without_or_with_own_origin_get_no_cors_headers() -> None:
    async with served() as it:
        for headers in ({}, {"Origin": it.url.rstrip("/")}):
            async with it.web.get("/api/nodes", headers=headers) as answer:
                assert answer.status == 200
                assert "Access-Control-Allow-Origin" not in answer.headers
