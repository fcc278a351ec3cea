# SPDX-License-Identifier: BSD-3-Clause
"""The teapot in a browser with WebGL. Without it, a box is shown: see test_dashboard_page."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.web.conftest import Browser, running_chromium
from tests.web.test_dashboard_page import row, running, showing, until

if TYPE_CHECKING:
    from playwright.async_api import Locator

pytestmark = pytest.mark.sockets

SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that renders WebGL in software."""
    with running_chromium(tmp_path_factory.mktemp("chromium"), *SOFTWARE) as opened:
        yield opened


def imu(x: int, y: int, z: int) -> str:
    return json.dumps([{"type": "acc", "values": [x, y, z]}, {"type": "gyro", "values": [0, 0, 0]}])


async def test_teapot_is_drawn_and_turns_with_its_node(browser: Browser) -> None:
    async with running() as broker:
        broker.add_gateway()
        broker.add_node("n", imu=imu(0, 0, 1000), name="Turning")
        async with showing(browser, broker, reduced_motion="reduce") as page:
            canvas = row(page, "n", "imu").locator(".teapot-place canvas")
            await canvas.wait_for()
            await until(page, "!document.querySelector('.teapot-place .box')")
            level = await settled(canvas)
            assert len(level) > 1000, "nothing is drawn"
            await broker.change("n", "imu", imu(0, 1000, 0))
            await until_other(canvas, level)


async def settled(canvas: "Locator") -> bytes:
    """A screenshot, once two in a row are equal."""
    before = await canvas.screenshot()
    for _ in range(50):
        now = await canvas.screenshot()
        if now == before:
            return now
        before = now
    raise AssertionError("the picture never settles")


async def until_other(canvas: "Locator", before: bytes) -> None:
    for _ in range(100):
        if await canvas.screenshot() != before:
            return
    raise AssertionError("it does not turn")
