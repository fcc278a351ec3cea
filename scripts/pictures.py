#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make the pictures of the documentation from the demo, so that they show what people will see."""

import io
import os
import re
import shutil
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
QUALITY: Final = 55
"""Quality of the animated picture; at 1,200 pixels it stays below 1.5 MB."""


@contextmanager
def demo(*flags: str) -> Iterator[str]:
    """The URL of a demo on free ports, with a home of its own. `flags` come last."""
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


def browser_path() -> str:
    """The path of Chromium. Exits with a sentence if it is missing."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("Pictures need Chromium: install the package chromium.")
    return browser


def main() -> None:
    """Make all pictures."""
    executable = browser_path()
    with demo() as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for make, size in ((still, (1440, 980)), (animated, (1200, 760))):
            page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(url)
            page.wait_for_timeout(SETTLE_MS)
            make(page)
            page.close()
        chromium.close()
    for path in sorted(IMAGES.glob("*.*")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
