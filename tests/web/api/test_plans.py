# SPDX-License-Identifier: BSD-3-Clause
"""Floor plans over HTTP, on a real socket."""

import io
import time
from pathlib import Path
from typing import Any

import pytest

from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.registry.plans import IMAGE_SIZE_MAX
from pyaiot.web.sign_in import SignIn
from tests.registry.test_images import png
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

ROOM = "/api/plans/Lab%201%2Fa"
IMAGE = png(640, 480) + bytes(100_000)


async def put(
    served: Served, data: bytes = IMAGE, status: int = 200, kind: str = "image/png", **headers: Any
) -> Any:
    sent = {"Content-Type": kind, **{name.replace("_", "-"): it for name, it in headers.items()}}
    async with served.web.put(f"{ROOM}/image", data=io.BytesIO(data), headers=sent) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def place(served: Served, places: object, status: int = 200, **headers: Any) -> Any:
    async with served.web.patch(ROOM, json={"places": places}, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def test_a_plan_is_put_shown_and_removed_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with serving(registry_file=path) as served:
        served.gateway.send("n", "temperature", "20 °C")
        await served.known("n")
        plan = await put(served, If_Match='"0"')
        assert (plan["room"], plan["revision"], plan["width"]) == ("Lab 1/a", 1, 640)
        placed = await place(served, {"n": {"x": 0.25, "y": 1}})
        assert placed["places"] == {"n": {"x": 0.25, "y": 1.0}}
    async with serving(registry_file=path) as served:
        assert await served.json_with("/api/plans", plans=[placed])
        async with served.web.get(f"{ROOM}/image?v=1") as answer:
            assert (answer.content_type, await answer.read()) == ("image/png", IMAGE)
            assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            etag = {"If-None-Match": answer.headers["ETag"]}
        async with served.web.get(f"{ROOM}/image", headers=etag) as answer:
            assert answer.status == 304
        async with served.web.delete(ROOM, headers={"If-Match": '"2"'}) as answer:
            assert answer.status == 204
        assert await served.json("/api/plans") == {"plans": []}
        for request in (served.web.get(f"{ROOM}/image"), served.web.delete(ROOM)):
            async with request as answer:
                assert answer.status == 404


async def test_what_is_no_image_or_too_large_is_refused() -> None:
    async with serving() as served:
        await put(served, b"<svg/>", 415, "image/svg+xml")
        assert "PNG, JPEG or WebP" in (await put(served, b"<svg/>", 400))["detail"]
        assert (await put(served, IMAGE + bytes(IMAGE_SIZE_MAX), 413))["type"].endswith("too-large")
        await put(served, png(9000, 1), 400)
        await put(served, status=400, If_Match="one")
        await put(served, status=412, If_Match='"3"')
        assert (await put(served, png(640, 480) + bytes(IMAGE_SIZE_MAX - 33)))["revision"] == 1


async def test_places_are_checked() -> None:
    async with serving() as served:
        await place(served, {}, 404)
        await put(served)
        await place(served, {"nobody": {"x": 0, "y": 0}}, 404)
        wrong: list[object] = [{"x": 2, "y": 0}, {"x": 0}, [], {"x": 0, "y": 0, "z": 0}]
        for where in wrong:
            await place(served, {"n": where}, 400)
        await place(served, [], 400)
        await place(served, {"nobody": None})
        await place(served, {}, 412, **{"If-Match": '"1"'})


async def test_a_client_with_a_scope_sees_and_moves_its_nodes_only() -> None:
    accounts = AccountsFile(None)
    secrets: dict[str, dict[str, Any]] = {}
    for name, role, scope in (
        ("all", "admin", Scope()),
        ("lab", "operator", Scope(tags=("lab",))),
        ("none", "operator", Scope(tags=("none",))),
    ):
        token, secret = new_token(name, role, now=0.0, life_s=None, scope=scope)  # type: ignore[arg-type]
        accounts.add_token(token)
        secrets[name] = {"Authorization": f"Bearer {secret}"}
    login = SignIn(accounts, behind_tls=False, viewers=False, clock=time.monotonic)
    async with serving(login=login) as served:
        everything, lab, nothing = secrets["all"], secrets["lab"], secrets["none"]
        for uid, tags in (("mine", ["lab"]), ("other", [])):
            served.gateway.send(uid, "temperature", "20 °C")
            await served.known(uid)
            body = {"tags": tags, "room": "Lab 1/a"}
            async with served.web.patch(f"/api/nodes/{uid}", json=body, headers=everything) as it:
                assert it.status == 200
        await put(served, **everything)
        middle = {"x": 0.5, "y": 0.5}
        await place(served, {"mine": middle, "other": middle}, **everything)

        async with served.web.get("/api/plans", headers=lab) as answer:
            (shown,) = (await answer.json())["plans"]
        assert list(shown["places"]) == ["mine"]
        assert list((await place(served, {"mine": middle}, **lab))["places"]) == ["mine"]
        await place(served, {"other": middle}, 403, **lab)
        await place(served, {"nobody": None}, 403, **lab)
        async with served.web.get("/api/plans", headers=nothing) as answer:
            assert await answer.json() == {"plans": []}
        async with served.web.get(f"{ROOM}/image", headers=nothing) as answer:
            assert answer.status == 404
        await place(served, {}, 404, **nothing)
        await put(served, status=403, **lab)
        async with served.web.get("/api/plans", headers=everything) as answer:
            assert sorted((await answer.json())["plans"][0]["places"]) == ["mine", "other"]
