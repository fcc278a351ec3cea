#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Take pictures of every screen of the dashboard, as contact sheets to look at.

Usage: screens.py FOLDER [--widths 390,1440] [--themes light,dark] [--language de] [--only home,map]

A demo is started on free ports and given rooms, views, a floor plan, alerts and nodes that are
offline. For each width and theme one sheet is written, or several, and a line is printed for each
screen that can be scrolled sideways, reported an error, or breaks a rule of axe-core (if it is
installed: `scripts/page.py --test`).
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw
from playwright.sync_api import (
    APIRequestContext,
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from scripts.pictures import SETTLE_MS, browser_path, demo, free_port, short_lived_nodes

HEIGHTS: Final = {320: 640, 390: 844, 820: 1180, 1440: 900, 2560: 1440}
TOUCH_MAX: Final = 820
"""Largest width, in pixels, that is shown as a touch screen."""
SHEET_WIDTH: Final = 2000
SHEET_HEIGHT: Final = 2000
COLUMNS: Final = {320: 5, 390: 5, 820: 3, 1440: 2, 2560: 2}
PAUSE_MS: Final = 900
"""Time for the content that a screen loads."""
ROOMS: Final = ("Kitchen", "Greenhouse", "Lab 2", "")
PLACES: Final = ((48.71, 2.2), (48.72, 2.24), (59.91, 10.75), (52.52, 13.4))


@dataclass(frozen=True)
class Screen:
    """A state of the dashboard: the part of its URL after the host, and the actions there."""

    name: str
    url: str
    act: Callable[[Page], None] | None = None
    width_max: int = 10_000


def _press(*names: str) -> Callable[[Page], None]:
    """Press buttons in sequence, by selector."""

    def act(page: Page) -> None:
        for name in names:
            page.locator(name).first.click()
            page.wait_for_timeout(250)

    return act


def _key(*keys: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        for key in keys:
            page.keyboard.press(key)
            page.wait_for_timeout(300)

    return act


def _scroll(page: Page) -> None:
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")


def _scroll_details(page: Page) -> None:
    page.evaluate("document.querySelector('dialog').scrollTo(0, 700)")


def _scroll_details_end(page: Page) -> None:
    page.evaluate("document.querySelector('dialog').scrollTo(0, 1e6)")


def _node_menu(page: Page) -> None:
    page.locator(".quick-more").first.click()


def _choose_plan(page: Page) -> None:
    page.locator(".map-select.first select").first.select_option("Kitchen")


def _add_rule(page: Page) -> None:
    page.keyboard.press("n")
    page.locator(".rule-list li").first.wait_for()
    page.locator(".rule-list + p .button").first.click()


def _lose(page: Page) -> None:
    """Close the browser's connection to the broker; the dashboard then shows that it is lost."""
    page.evaluate("globalThis.__sockets.forEach((it) => it.close(4000))")
    page.context.set_offline(True)
    page.wait_for_timeout(3500)


def screens(uid: str, offline: str) -> list[Screen]:
    """All screens. `uid`: a node with many resources; `offline`: an offline node."""
    node = f"#/node/{uid}"
    views, more = ".views .menu-button", ".menu-place.end .menu-button"
    return [
        Screen("home", "#/nodes"),
        Screen("home-end", "#/nodes", _scroll),
        Screen("home-groups", "#/nodes?view=rooms"),
        Screen("home-search", "#/nodes?q=temp%3E1"),
        Screen("home-none", "#/nodes?q=nothing-has-this-name"),
        Screen("home-views", "#/nodes", _press(views)),
        Screen("home-more", "#/nodes", _press(more)),
        Screen("home-menu", "#/nodes", _press(".tool-menu"), width_max=860),
        Screen("save-view", "#/nodes", _press(views, ".views hr + button")),
        Screen("edit-views", "#/nodes", _press(views, ".views hr + button + button")),
        Screen("bulk", "#/nodes", _press(more, ".menu-place.end .menu button")),
        Screen("node-menu", "#/nodes", _node_menu, width_max=TOUCH_MAX),
        Screen("filters", "#/nodes", _press("#search", ".filter-button")),
        Screen("list", "#/fleet"),
        Screen("list-groups", "#/fleet?view=rooms"),
        Screen("table", "#/table"),
        Screen("map", "#/map"),
        Screen("map-move", "#/map", _press(".map-buttons [aria-pressed]")),
        Screen("plan", "#/map", _choose_plan),
        Screen("updates", "#/updates"),
        Screen("path", "#/path"),
        Screen("path-end", "#/path", _scroll),
        Screen("settings", "#/settings"),
        Screen("audit", "#/audit"),
        Screen("details", node),
        Screen("details-middle", node, _scroll_details),
        Screen("details-end", node, _scroll_details_end),
        Screen("details-offline", f"#/node/{offline}"),
        Screen("details-unknown", "#/node/nobody"),
        Screen("value", f"{node}?value=led"),
        Screen("value-vector", f"{node}?value=imu", _scroll_details),
        Screen("value-number", f"#/node/{offline}?value=temperature"),
        Screen("value-unknown", f"{node}?value=nothing"),
        Screen("activity", "#/nodes", _key("a")),
        Screen("alerts", "#/nodes", _key("n")),
        Screen("alert-rule", "#/nodes", _add_rule),
        Screen("help", "#/nodes", _key("?")),
        Screen("timeline", "#/nodes", _key("t", "ArrowLeft", "ArrowLeft")),
        Screen("paused", "#/nodes", _key("p")),
        Screen("add-device", "#/settings", _press(".settings .apart button")),
        Screen("kiosk", "?kiosk=3600&views=rooms"),
        Screen("api-docs", "api/docs"),
        Screen("lost", "#/nodes", _lose),
    ]


class Broker:
    """The HTTP API of the demo."""

    def __init__(self, requests: APIRequestContext) -> None:
        self.requests = requests

    def request(self, method: str, path: str, body: object = None, kind: str = "") -> Any:
        """Send a request, and return the answer. Exits if it is refused."""
        headers = {"Content-Type": kind} if kind else {}
        if method == "PUT" and not path.endswith("/led"):
            headers["If-None-Match"] = "*"
        answer = self.requests.fetch(path, method=method, data=body, headers=headers)
        if not answer.ok:
            sys.exit(f"{method} {path}: {answer.status} {answer.text()}")
        return answer.json() if answer.text() else None


LEAVERS: Final = (
    ("bench-1", "Weather balloon", "--temperature", "--position"),
    ("bench-2", "Porch lamp", "--led"),
)
"""Nodes that are offline in the pictures."""


def _plan() -> bytes:
    """The floor plan of a kitchen, as PNG."""
    picture = Image.new("RGB", (900, 600), "#f4f1ea")
    draw = ImageDraw.Draw(picture)
    for box in ((40, 40, 860, 560), (40, 40, 380, 320), (600, 320, 860, 560)):
        draw.rectangle(box, outline="#5a5248", width=8)
    for box in ((60, 60, 180, 110), (640, 480, 820, 540), (440, 180, 560, 260)):
        draw.rectangle(box, fill="#d8cfc0", outline="#8d8373", width=3)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def furnish(broker: Broker) -> tuple[str, str]:
    """Give the demo rooms, positions, views, a plan and alerts. Returns the uids for `screens`."""
    nodes = broker.request("GET", "/api/nodes?limit=1000")["nodes"]
    for index, node in enumerate(nodes):
        body: dict[str, object] = {
            "tags": [["lab"], ["lab", "class 3b"], ["plants"], []][index % 4]
        }
        if room := ROOMS[index % len(ROOMS)]:
            body["room"] = room
        if index % 3 == 0:
            body["latitude"], body["longitude"] = PLACES[index // 3 % len(PLACES)]
        broker.request("PATCH", f"/api/nodes/{node['uid']}", body)
    broker.request(
        "PATCH",
        f"/api/nodes/{nodes[1]['uid']}",
        {"label": "A long name of a lamp on the desk in the corner of the room"},
    )
    views = {
        "rooms": {"title": "Rooms", "group": "room"},
        "class-3b": {
            "title": "Class 3b",
            "query": 'tag:"class 3b"',
            "screen": "fleet",
            "range": "6h",
        },
        "greenhouse": {"title": "Greenhouse", "query": "room:Greenhouse", "range": "24h"},
    }
    for name, view in views.items():
        broker.request("PUT", f"/api/views/{name}", view)
    broker.request("PUT", "/api/plans/Kitchen/image", _plan(), "image/png")
    its = [node["uid"] for index, node in enumerate(nodes) if index % 4 == 0]
    places = {
        uid: {"x": 0.15 + 0.3 * index, "y": 0.3 + 0.2 * (index % 2)}
        for index, uid in enumerate(its[:3])
    }
    broker.request("PATCH", "/api/plans/Kitchen", {"places": places})
    broker.request(
        "PUT",
        "/api/alert-rules/warm",
        {
            "title": "Too warm",
            "when": "above",
            "resource": "temperature",
            "limit": 5,
            "severity": "warning",
        },
    )
    broker.request(
        "PUT",
        "/api/alert-rules/away",
        {"title": "A node is offline", "when": "offline", "severity": "critical"},
    )
    for node in nodes:
        if any(its["name"] == "led" for its in node["resources"]) and node["state"] == "online":
            broker.request("PUT", f"/api/nodes/{node['uid']}/resources/led", "1", "text/plain")
    fullest = max(
        (node for node in nodes if node["state"] == "online"),
        key=lambda node: len(node["resources"]),
    )
    return fullest["uid"], "bench-1"


START: Final = """
globalThis.__sockets = [];
globalThis.WebSocket = class extends WebSocket {
  constructor(...all) { super(...all); globalThis.__sockets.push(this); }
};
"""
"""Keeps the sockets of the page, so that a screen can close them."""


AXE: Final = (
    Path(__file__).resolve().parents[1] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
)


def violations(page: Page) -> list[str]:
    """What axe-core finds: the rule and the first element that breaks it."""
    page.emulate_media(reduced_motion="reduce")
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{it['id']}: {it['nodes'][0]['html'][:160]}" for it in found["violations"]]


def shoot(page: Page, url: str, screen: Screen, problems: list[str]) -> Image.Image:
    """A picture of a screen."""
    page.goto(f"{url}/{screen.url}", timeout=60_000)
    with contextlib.suppress(PlaywrightError):
        page.wait_for_selector("#pill[data-how=live], .layout", timeout=10_000)
    page.wait_for_timeout(PAUSE_MS)
    try:
        if screen.act:
            screen.act(page)
            page.wait_for_timeout(PAUSE_MS)
    except PlaywrightError as error:
        problems.append(str(error).splitlines()[0])
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if over > 0:
        problems.append(f"{over} px wider than the screen")
    picture = Image.open(io.BytesIO(page.screenshot(timeout=30_000))).convert("RGB")
    if AXE.exists():
        problems += violations(page)
    return picture


def sheets(pictures: list[tuple[str, Image.Image]], columns: int) -> list[Image.Image]:
    """The pictures with their names, arranged in sheets."""
    width = SHEET_WIDTH // columns
    tiles = []
    for name, picture in pictures:
        scale = min(1, (width - 8) / picture.width)
        small = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
        )
        tile = Image.new("RGB", (width, small.height + 22), "#777777")
        ImageDraw.Draw(tile).text((6, 4), name, fill="white")
        tile.paste(small, (4, 18))
        tiles.append(tile)
    rows = max(1, SHEET_HEIGHT // max(tile.height for tile in tiles))
    found = []
    for start in range(0, len(tiles), rows * columns):
        part = tiles[start : start + rows * columns]
        height = max(tile.height for tile in part)
        sheet = Image.new("RGB", (SHEET_WIDTH, height * -(-len(part) // columns)), "#777777")
        for index, tile in enumerate(part):
            sheet.paste(tile, (index % columns * width, index // columns * height))
        found.append(sheet)
    return found


def _context(browser: Browser, width: int, theme: str, language: str) -> BrowserContext:
    touch = width <= TOUCH_MAX
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHTS.get(width, 900)},
        color_scheme="dark" if theme == "dark" else "light",
        locale=language,
        has_touch=touch,
        is_mobile=touch,
        service_workers="block",
    )
    context.add_init_script(START)
    return context


def _watch(page: Page, problems: list[str]) -> None:
    """Add the errors of a page to `problems`."""

    def note(line: ConsoleMessage) -> None:
        if line.type == "error" and "ERR_INTERNET_DISCONNECTED" not in line.text:
            problems.append(line.text)

    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", note)


def main() -> None:
    """Take the pictures that the arguments name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--widths", default="390,820,1440,2560")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--language", default="en")
    parser.add_argument("--only", default="", help="names of screens, or beginnings of them")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = browser_path()
    port = free_port()
    with demo(f"--ws-port={port}") as url, sync_playwright() as playwright:
        with short_lived_nodes(port, *LEAVERS):
            time.sleep(SETTLE_MS / 1000)
        broker = Broker(playwright.request.new_context(base_url=url))
        wanted = screens(*furnish(broker))
        if given.only:
            wanted = [it for it in wanted if it.name.startswith(tuple(given.only.split(",")))]
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for width in map(int, given.widths.split(",")):
            for theme in given.themes.split(","):
                pictures = []
                context = _context(browser, width, theme, given.language)
                for screen in wanted:
                    if width > screen.width_max:
                        continue
                    problems: list[str] = []
                    page = context.new_page()
                    _watch(page, problems)
                    pictures.append((screen.name, shoot(page, url.rstrip("/"), screen, problems)))
                    page.close()
                    for problem in problems:
                        print(f"{screen.name} {width} {theme}: {problem}", flush=True)
                context.close()
                for number, sheet in enumerate(sheets(pictures, COLUMNS.get(width, 3)), 1):
                    sheet.save(given.folder / f"{given.language}-{width}-{theme}-{number}.png")
        browser.close()


if __name__ == "__main__":
    main()
