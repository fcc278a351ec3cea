# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard at `/`: static files with security headers, and `/dashboard.json`.

`scripts/page.py` builds the files from the sources in `dashboard/` into the folder `built`. Every
wheel contains them. In a source tree without them, `/` shows how to build them.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp.web
import msgspec
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError

from pyaiot import __version__
from pyaiot.errors import OperatorError, reason_of
from pyaiot.transport.addresses import authority
from pyaiot.transport.hsts import add_hsts_header
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.origin_check import check_origin
from pyaiot.web.manifest import manifest
from pyaiot.web.stored_files import INDEX, StoredFile, accepts_gzip, media_type, stored_files

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; "
    # Embedded in a page of another site, a click on a switch could be hijacked.
    "frame-ancestors 'none'; "
    # Text never becomes markup, not even by mistake: the browser refuses `innerHTML`.
    "require-trusted-types-for 'script'"
)
"""Permits nothing inline, and nothing from other hosts."""
HEADERS: Final[dict[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PICTURE_SIZE_MAX: Final = 16 * 1024 * 1024
"""Largest logo, favicon or floor plan, in bytes. A larger one is refused at the start."""
_FOREVER: Final = "public, max-age=31536000, immutable"
"""For files whose name changes with their content."""
_NOT_BUILT: Final = {
    INDEX: b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Pyaiot</title>
<link rel="icon" href="favicon.svg">
<p>The dashboard is not built. Run <code>scripts/page.py</code> and restart the broker.</p>
</html>
""",
    "favicon.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}
"""The page that is served in a source tree where the dashboard is not built."""

_Handler: TypeAlias = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the dashboard. Pictures are files, or URLs with `http://` or `https://`."""

    title: str = "Pyaiot"
    logo: str = ""
    favicon: str = ""
    camera_url: str = ""
    webcam_hosts: tuple[str, ...] = ()
    """Hosts (`name` or `name:port`) whose images nodes may show."""
    tile_url: str = ""
    """Map tiles, as `https://host/{z}/{x}/{y}.png`. Empty: only the outlines of land."""
    floor_plan: str = ""
    floor_plan_bounds: str = ""
    """South, west, north and east of the floor plan in degrees, separated by commas."""
    broker_urls: tuple[str, ...] = ()
    """`ws://host:port/ws`, of the brokers of a cluster. Empty: the server that the dashboard was
    loaded from."""


class Dashboard:
    """The built files, in memory: a name in a request never reaches the file system."""

    def __init__(self, look: Look, built: Mapping[str, bytes]) -> None:
        """`built`: contents by path; empty if the dashboard is not built.

        Raises `OperatorError` for pictures that cannot be served.
        """
        self._look = look
        self._files = stored_files(built or _NOT_BUILT)
        self._pictures: dict[str, str] = {}
        for name in ("logo", "favicon", "floor_plan"):
            self._pictures[name] = self._picture(name, getattr(look, name))
        self._bounds = _bounds(look)
        self._image_hosts = self._hosts()

    def add_routes(self, app: aiohttp.web.Application) -> None:
        """Serve the dashboard at `/`, its files beside it, its settings at `/dashboard.json`, its
        web application manifest at `/manifest.webmanifest`."""
        for name, content in self._files.items():
            path = "/" if name == INDEX else f"/{name}"
            app.router.add_get(path, self._handler(name, content))
        app.router.add_get("/dashboard.json", self._settings)
        app.router.add_get("/manifest.webmanifest", self._manifest)

    def policy(self, request: aiohttp.web.Request) -> str:
        """`CONTENT_SECURITY_POLICY`, with the configured hosts of images and of the broker."""
        policy = CONTENT_SECURITY_POLICY
        images = [*self._image_hosts]
        brokers = [_origins_of_broker(url, request) for url in self._look.broker_urls]
        if brokers:
            origins = " ".join(f"{socket} {http}" for socket, http in brokers)
            policy += f"; connect-src 'self' {origins}"
            images += [http for _socket, http in brokers]  # floor plans
        if images:
            policy += f"; img-src 'self' {' '.join(images)}"
        return policy

    def _handler(self, name: str, content: StoredFile) -> _Handler:
        forever = name.startswith("assets/")
        if name == "favicon.svg" and self._pictures["favicon"]:
            target = self._pictures["favicon"]

            async def redirect(_request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
                raise aiohttp.web.HTTPFound(target)

            return redirect

        async def serve(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
            headers = HEADERS | {"Content-Security-Policy": self.policy(request)}
            if forever:
                headers[hdrs.CACHE_CONTROL] = _FOREVER
            payload = b""
            if content.is_compressible:
                headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
                if accepts_gzip(request.headers.getall(hdrs.ACCEPT_ENCODING, [])):
                    headers[hdrs.CONTENT_ENCODING] = "gzip"
                    payload = await content.compressed()
            return _response(request, payload or content.plain, content.type, headers)

        return serve

    async def _settings(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        look = self._look
        return aiohttp.web.json_response(
            {
                "title": look.title,
                "version": __version__,
                "logo": self._pictures["logo"],
                "broker": ",".join(look.broker_urls),
                "camera": look.camera_url,
                "imageHosts": [urlsplit(origin).netloc for origin in self._image_hosts],
                "tiles": look.tile_url,
                "floorPlan": self._pictures["floor_plan"],
                "floorPlanBounds": self._bounds,
                "api": self._has_api(request.app),
            },
            headers=HEADERS | {"Content-Security-Policy": self.policy(request)},
        )

    async def _manifest(self, _request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        """The data with which a browser installs the dashboard (W3C Web Application Manifest)."""
        return aiohttp.web.json_response(
            manifest(self._look.title, self._pictures["favicon"]),
            content_type="application/manifest+json",
            headers=HEADERS,
        )

    @staticmethod
    def _has_api(app: aiohttp.web.Application) -> bool:
        """Whether the same server has the HTTP API, and may therefore have a history."""
        return any(resource.canonical == "/api/info" for resource in app.router.resources())

    def _picture(self, name: str, source: str) -> str:
        """The URL of a picture, or the path at which its file is served."""
        if not source or _is_url(source):
            return source
        path = Path(source).expanduser()
        content_type = media_type(path.name)
        if not content_type.startswith("image/"):
            raise OperatorError(f"dashboard.{name}: the name of {path} is not that of a picture.")
        try:
            if path.stat().st_size > PICTURE_SIZE_MAX:
                limit = PICTURE_SIZE_MAX // 1024**2
                raise OperatorError(f"dashboard.{name}: {path} is larger than {limit} MB.")
            body = path.read_bytes()
        except OSError as error:
            raise OperatorError(
                f"dashboard.{name}: {path} cannot be read: {reason_of(error)}."
            ) from error
        served_path = f"pictures/{name}{path.suffix.lower()}"
        self._files[served_path] = StoredFile(served_path, body)
        return served_path

    def _hosts(self) -> list[str]:
        """Origins of images for the policy. `{s}` in the URL of tiles becomes `*`."""
        look = self._look
        origins = []
        for host in look.webcam_hosts:
            if not _is_host(host):
                raise OperatorError(
                    f"dashboard.webcam_hosts: invalid host {host!r}. Example: cam.lan:80."
                )
            origins += [f"http://{host}", f"https://{host}"]
        for url in (look.logo, look.favicon, look.camera_url, look.floor_plan, look.tile_url):
            if not url or not _is_url(url):
                continue
            parts = urlsplit(url)
            host = parts.netloc.replace("{s}", "*")
            if not _is_host(host.removeprefix("*.")):
                raise OperatorError(f"dashboard: invalid URL of a picture: {url}")
            origins.append(f"{parts.scheme}://{host}")
        return list(dict.fromkeys(origins))


class DashboardApp:
    """The aiohttp application of `aiot dashboard`: the dashboard without a broker."""

    def __init__(self, dashboard: Dashboard, *, allowed_hosts: frozenset[str]) -> None:
        self.refused_requests = 0
        """Requests for other host names, and requests that were not HTTP."""
        self.server_log = ServerLog(self._not_http)
        check = check_origin(allowed_hosts, frozenset(), self._refused, section="dashboard")
        self.app = aiohttp.web.Application(middlewares=[check])
        self.app.on_response_prepare.append(add_hsts_header)
        dashboard.add_routes(self.app)
        self.app.router.add_get("/healthz", self._healthz)

    def _refused(self, _request: aiohttp.web.Request) -> None:
        self.refused_requests += 1

    def _not_http(self, _error: HttpProcessingError) -> None:
        self.refused_requests += 1

    async def _healthz(self, _request: aiohttp.web.Request) -> aiohttp.web.Response:
        """`GET /healthz`: the event loop is running."""
        return aiohttp.web.json_response({"status": "ok", "version": __version__})


def _response(
    request: aiohttp.web.Request, body: bytes, content_type: str, headers: Mapping[str, str]
) -> aiohttp.web.StreamResponse:
    """The file, or 304 if the browser has the same version (RFC 9110 section 13.1.2)."""
    etag = hashlib.sha256(body).hexdigest()[:16]
    known = request.if_none_match or ()
    if any(tag.value in {etag, "*"} for tag in known):
        response = aiohttp.web.Response(status=304, headers=headers)
    else:
        text = content_type.startswith("text/") or content_type == "image/svg+xml"
        response = aiohttp.web.Response(
            body=body,
            content_type=content_type,
            charset="utf-8" if text else None,
            headers=headers,
        )
    response.etag = etag
    return response


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _is_host(host: str) -> bool:
    """Whether `host` can be part of a policy: it contains no character that ends a directive."""
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
        raise OperatorError(
            "dashboard.floor_plan_bounds: south must be below north, and west below east."
        )
    return [south, west, north, east]


def _origins_of_broker(url: str, request: aiohttp.web.Request) -> tuple[str, str]:
    """For the policy. If the broker runs on this machine, its host is that of the dashboard."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"}:
        host = urlsplit(f"//{request.host}").hostname or host
    http, default = ("https", 443) if parts.scheme == "wss" else ("http", 80)
    shown = authority(host, parts.port or default)
    return f"{parts.scheme}://{shown}", f"{http}://{shown}"
