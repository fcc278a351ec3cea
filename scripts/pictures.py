#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make the pictures of the documentation from the demo, so that they show its current state."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
START_LIMIT_S: Final = 60.0
SETTLE_MS: Final = 12_000
"""Time in which the nodes of the demo appear and fill their sparklines."""
FRAME_MS: Final = 200
"""Time between two frames of the animated picture."""
LISTED_LIMIT_MS: Final = 180_000
"""Time in which nodes that went offline move to the list: they are shown as cards for a minute."""
QUALITY: Final = 55
"""Quality of the animated picture; at 1,200 pixels it stays below 1.5 MB."""

OFFLINE: Final = (
    ("leaver-1", "Window sensor", "Lab 2", ["class 3b"]),
    ("leaver-2", "Desk lamp", "Lab 1", ["lamps", "class 3b"]),
    ("leaver-3", "Weather on the roof", "Greenhouse", ["outdoor"]),
)
"""Uid, label, room and tags of the nodes in the picture of the offline list."""


@contextmanager
def demo(*flags: str) -> Iterator[str]:
    """The URL of a demo on free ports, with its own home folder. `flags` are appended."""
    ports = [f"--{name}-port=0" for name in ("web", "coap", "ws", "mqtt", "mqttsn")]
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "pyaiot", "demo", *ports, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "HOME": home, "XDG_STATE_HOME": home, "XDG_DATA_HOME": home},
        )
        try:
            yield _url(process)
        finally:
            process.terminate()
            process.wait()


def _url(process: "subprocess.Popen[str]") -> str:
    ends_at = time.monotonic() + START_LIMIT_S
    for line in process.stdout or ():
        if match := re.search(r"http://\S+", line):
            return match[0]
        if time.monotonic() > ends_at:
            break
    sys.exit("The demo printed no URL.")


@contextmanager
def short_lived_nodes(port: int, *kinds: tuple[str, ...]) -> Iterator[None]:
    """WebSocket nodes that are online while the block runs: uid, name, and flags of resources."""
    command = [*(sys.executable, "-m", "pyaiot", "node", "ws"), f"--gateway-port={port}"]
    running = [
        subprocess.Popen(
            [*command, "--period-s=0.5", f"--uid={uid}", f"--name={name}", *resources],
            stdout=subprocess.DEVNULL,
        )
        for uid, name, *resources in kinds
    ]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _switch_led(page: Page) -> None:
    page.locator("#nodes").get_by_role("switch").first.click()
    page.wait_for_timeout(400)


def still(page: Page) -> None:
    """The dashboard with an LED that was just switched on."""
    _switch_led(page)
    data = page.screenshot()
    # 256 colours: a third of the size, and no visible difference.
    picture = Image.open(io.BytesIO(data)).convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    picture.save(IMAGES / "dashboard.png", optimize=True)


def animated(page: Page) -> None:
    """Live values; an LED is switched, and a node is opened."""
    frames: list[Image.Image] = []

    def record(count: int) -> None:
        for _ in range(count):
            frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            page.wait_for_timeout(FRAME_MS)

    record(6)
    _switch_led(page)
    record(8)
    page.locator("#nodes [data-uid] h3 a").first.click()
    record(14)
    frames[0].save(
        IMAGES / "live.webp",
        save_all=True,
        append_images=frames[1:],
        duration=FRAME_MS,
        loop=0,
        quality=QUALITY,
        method=6,
    )


def offline(page: Page) -> None:
    """The list of nodes that are offline."""
    for uid, label, room, tags in OFFLINE:
        edit = {"label": label, "room": room, "tags": tags}
        headers = {"Content-Type": "application/merge-patch+json"}
        page.request.patch(f"api/nodes/{uid}", data=json.dumps(edit), headers=headers)
    section = page.locator("section.offline")
    section.wait_for(timeout=LISTED_LIMIT_MS)
    page.get_by_text("offline for 2 min").first.wait_for(timeout=LISTED_LIMIT_MS)
    section.screenshot(path=IMAGES / "offline.png")


def free_port() -> int:
    """A currently free TCP port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def browser_path() -> str:
    """The path of Chromium. Exits with a sentence if it is missing."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("Pictures need Chromium: install the package chromium.")
    return browser


def main() -> None:
    """Make all pictures."""
    executable = browser_path()
    port = free_port()
    kinds = [
        ("leaver-1", "Node 1", "--temperature", "--humidity"),
        ("leaver-2", "Node 2", "--led"),
        ("leaver-3", "Node 3", "--temperature", "--pressure"),
    ]
    with demo(f"--ws-port={port}") as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        makers = ((still, (1440, 980)), (animated, (1200, 760)), (offline, (1206, 900)))
        for make, size in makers:
            if make is offline:
                with short_lived_nodes(port, *kinds):
                    time.sleep(SETTLE_MS / 1000)
            page = chromium.new_page(viewport={"width": size[0], "height": size[1]}, base_url=url)
            page.goto(url)
            page.wait_for_timeout(SETTLE_MS)
            make(page)
            page.close()
        chromium.close()
    for path in sorted(IMAGES.glob("*.*")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
