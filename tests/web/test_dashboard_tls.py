# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard over TLS, in a browser that accepted a self-signed certificate."""

import re

import pytest

from pyaiot.transport.self_signed import write_self_signed
from pyaiot.web.stored_files import load_built
from tests.programs import ANY_PORTS, Programs
from tests.web.conftest import Browser
from tests.web.test_dashboard_page import has, no_page, see

pytestmark = pytest.mark.sockets


async def test_page_is_live_over_tls_and_a_typed_address_is_redirected(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not load_built():
        no_page()
    programs = Programs(tmp_path_factory.mktemp("home"))
    made = write_self_signed(programs.home / "tls", ["localhost", "127.0.0.1"], days=1)
    files = ("--tls-cert", made.certificate_file, "--tls-key", made.key_file)
    try:
        text = programs.aiot("run", *ANY_PORTS, *files).startup_text()
        (url,) = re.findall(r"Pyaiot: (https://\S+)", text)
        (port,) = re.findall(r"WebSocket: TCP port (\d+)", text)
        node = ("node", "ws", "--uid", "lamp", "--name", "Desk lamp", "--gateway-port", port)
        programs.aiot(*node, "--tls", "--ca-file", made.certificate_file, "--led").startup_text()
        async with browser.page(ignore_https_errors=True) as page:
            await page.goto(url.replace("https://", "http://"))
            assert page.url.startswith(url)
            lamp = page.locator('[data-uid="lamp"]')
            await see(lamp, "Desk lamp")
            # The page is live: its WebSocket uses TLS.
            switch = page.get_by_role("switch")
            await switch.click()
            await has(switch, "aria-checked", "true")
    finally:
        programs.close()
