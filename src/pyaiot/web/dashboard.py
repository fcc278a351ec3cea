# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard at `/`: the page that is built from `dashboard/`, and what it is told about itself.

The folder `built` is made by `scripts/page.py` and packed into the wheel. An installation without
it serves the plain page (`web/page.py`).
"""

import asyncio
import gzip
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp.web
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError

from pyaiot import __version__
from pyaiot.errors import OperatorError, reason_of
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.origin_check import check_origin
from pyaiot.web.page import CONTENT_SECURITY_POLICY, HEADERS, answer

PICTURE_SIZE_MAX: Final = 16 * 1024 * 1024
"""Bytes of a logo, favicon or floor plan. Larger: refused at start."""
_INDEX: Final = "index.html"
_FOREVER: Final = "public, max-age=31536000, immutable"
"""For files whose name changes with their content."""
_COMPRESSED_FROM: Final = 1024

_Handler: TypeAlias = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the operator says of the page. Pictures are files, or addresses with `http(s)://`."""

    title: str = "Pyaiot"
    logo: str = ""
    favicon: str = ""
    camera_url: str = ""
    webcam_hosts: tuple[str, ...] = ()
    """Hosts (`name` or `name:port`) whose images nodes may show."""
    tile_url: str = ""
    """Map tiles, as `https://host/{z}/{x}/{y}.png`. Empty: the land outline alone."""
    floor_plan: str = ""
    floor_plan_bounds: str = ""
    """Where it lies: south, west, north and east in degrees, with commas."""
    broker_url: str = ""
    """`ws://host:port/ws`; empty: where the page comes from."""


class Dashboard:
    """The built page, read once. Raises `OperatorError` for pictures that cannot be served."""

    def __init__(self, look: Look, built: Mapping[str, bytes]) -> None:
        self._look = look
        self._files = dict(built)
        self._pictures: dict[str, str] = {}
        for name in ("logo", "favicon", "floor_plan"):
            self._pictures[name] = self._picture(name, getattr(look, name))
        self._bounds = _bounds(look)
        self._image_hosts = self._hosts()

    def add_routes(self, app: aiohttp.web.Application) -> None:
        """Serve it at `/`, its files beside it and what it is told at `/dashboard.json`."""
        for name, body in self._files.items():
            path = "/" if name == _INDEX else f"/{name}"
            app.router.add_get(path, self._handler(name, body))
        app.router.add_get("/dashboard.json", self._told)

    def policy(self, request: aiohttp.web.Request) -> str:
        """The policy of the plain page, and the configured hosts for images and the broker."""
        policy = CONTENT_SECURITY_POLICY
        if self._image_hosts:
            policy += f"; img-src 'self' {' '.join(self._image_hosts)}"
        if self._look.broker_url:
            policy += f"; connect-src 'self' {_origin_of_broker(self._look.broker_url, request)}"
        return policy

    def _handler(self, name: str, body: bytes) -> _Handler:
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        compressible = len(body) >= _COMPRESSED_FROM and content_type.split("/")[0] != "image"
        compressed: list[bytes] = []
        forever = name.startswith("assets/")
        if name == "favicon.svg" and self._pictures["favicon"]:
            target = self._pictures["favicon"]

            async def elsewhere(_request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
                raise aiohttp.web.HTTPFound(target)

            return elsewhere

        async def serve(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
            headers = HEADERS | {"Content-Security-Policy": self.policy(request)}
            if forever:
                headers[hdrs.CACHE_CONTROL] = _FOREVER
            sent = body
            if compressible:
                headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
                if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
                    headers[hdrs.CONTENT_ENCODING] = "gzip"
                    if not compressed:
                        # Once, and beside the loop: the largest file takes 20 ms.
                        compressed.append(await asyncio.to_thread(gzip.compress, body, mtime=0))
                    sent = compressed[0]
            return answer(request, sent, content_type, headers)

        return serve

    async def _told(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        look = self._look
        return aiohttp.web.json_response(
            {
                "title": look.title,
                "version": __version__,
                "logo": self._pictures["logo"],
                "broker": look.broker_url,
                "camera": look.camera_url,
                "imageHosts": [urlsplit(origin).netloc for origin in self._image_hosts],
                "tiles": look.tile_url,
                "floorPlan": self._pictures["floor_plan"],
                "floorPlanBounds": self._bounds,
                "api": self._has_api(request.app),
            },
            headers=HEADERS | {"Content-Security-Policy": self.policy(request)},
        )

    @staticmethod
    def _has_api(app: aiohttp.web.Application) -> bool:
        """Whether an HTTP API is served beside the page, which may have a history."""
        return any(resource.canonical == "/api/info" for resource in app.router.resources())

    def _picture(self, name: str, place: str) -> str:
        """Where the page finds a picture: its address, or a path of ours that serves the file."""
        if not place or _is_address(place):
            return place
        path = Path(place).expanduser()
        content_type = mimetypes.guess_type(path.name)[0] or ""
        if not content_type.startswith("image/"):
            raise OperatorError(f"dashboard.{name}: {path} is no picture by its name.")
        try:
            if path.stat().st_size > PICTURE_SIZE_MAX:
                limit = PICTURE_SIZE_MAX // 1024**2
                raise OperatorError(f"dashboard.{name}: {path} has more than {limit} MB.")
            body = path.read_bytes()
        except OSError as error:
            raise OperatorError(
                f"dashboard.{name}: {path} cannot be read: {reason_of(error)}."
            ) from error
        own = f"pictures/{name}{path.suffix.lower()}"
        self._files[own] = body
        return own

    def _hosts(self) -> list[str]:
        """Origins of images, for the policy. `*` in a tile address stands for its subdomains."""
        look = self._look
        origins = []
        for host in look.webcam_hosts:
            if not _is_host(host):
                raise OperatorError(f"dashboard.webcam_hosts: {host!r} is no host, say cam.lan:80.")
            origins += [f"http://{host}", f"https://{host}"]
        for place in (look.logo, look.favicon, look.camera_url, look.floor_plan, look.tile_url):
            if not place or not _is_address(place):
                continue
            parts = urlsplit(place)
            host = parts.netloc.replace("{s}", "*")
            if not _is_host(host.removeprefix("*.")):
                raise OperatorError(f"dashboard: {place} is no address of a picture.")
            origins.append(f"{parts.scheme}://{host}")
        return list(dict.fromkeys(origins))


class DashboardApp:
    """The aiohttp application of `aiot dashboard`: the page alone. The broker is elsewhere."""

    def __init__(self, dashboard: Dashboard, *, allowed_hosts: frozenset[str]) -> None:
        self.refused_requests = 0
        """Requests of foreign names, and those that were no HTTP at all."""
        self.server_log = ServerLog(self._not_http)
        check = check_origin(allowed_hosts, frozenset(), self._refused, section="dashboard")
        self.app = aiohttp.web.Application(middlewares=[check])
        dashboard.add_routes(self.app)
        self.app.router.add_get("/healthz", self._healthz)

    def _refused(self, _request: aiohttp.web.Request) -> None:
        self.refused_requests += 1

    def _not_http(self, _error: HttpProcessingError) -> None:
        self.refused_requests += 1

    async def _healthz(self, _request: aiohttp.web.Request) -> aiohttp.web.Response:
        """Alive: the loop turns, and answers."""
        return aiohttp.web.json_response({"status": "ok", "version": __version__})


def load_built(static_path: str = "") -> dict[str, bytes]:
    """The files of the built page by name, empty if there is none. Raises `OperatorError`."""
    if static_path:
        folder: Traversable = Path(static_path).expanduser()
        built = _files_below(folder)
        if _INDEX not in built:
            raise OperatorError(f"dashboard.static_path: {static_path} has no {_INDEX}.")
        return built
    built = _files_below(files("pyaiot.web") / "built")
    return built if _INDEX in built else {}


def _files_below(folder: Traversable, prefix: str = "") -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    found: dict[str, bytes] = {}
    for item in folder.iterdir():
        if item.name.startswith("."):
            continue
        if item.is_dir():
            found |= _files_below(item, f"{prefix}{item.name}/")
        else:
            found[prefix + item.name] = item.read_bytes()
    return found


def _is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _is_host(host: str) -> bool:
    """Whether it can stand in a policy: nothing in it ends the directive."""
    name = host.replace(".", "").replace("-", "").replace(":", "").replace("[", "").replace("]", "")
    return bool(host) and name.isalnum() and name.isascii()


def _bounds(look: Look) -> list[float]:
    if not look.floor_plan:
        return []
    try:
        south, west, north, east = map(float, look.floor_plan_bounds.split(","))
    except ValueError as error:
        raise OperatorError(
            "dashboard.floor_plan_bounds: a floor plan needs south,west,north,east in degrees."
        ) from error
    if not (-90 <= south < north <= 90 and -180 <= west < east <= 180):
        raise OperatorError("dashboard.floor_plan_bounds: south < north and west < east, please.")
    return [south, west, north, east]


def _origin_of_broker(url: str, request: aiohttp.web.Request) -> str:
    """For the policy. A broker of this machine is, for the browser, where the page came from."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"}:
        host = urlsplit(f"//{request.host}").hostname or host
    shown = f"[{host}]" if ":" in host else host
    http = "https" if parts.scheme == "wss" else "http"
    return f"{parts.scheme}://{shown}:{parts.port} {http}://{shown}:{parts.port}"
