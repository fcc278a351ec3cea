# SPDX-License-Identifier: BSD-3-Clause
"""Usage: phone_browser.py LINK UID PICTURE

Opens the link that signs in, on a screen of the size of a phone, and waits until the card of the
node is live. Prints the text of the card, and writes a picture of the screen.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

_SCREEN: Final = (390, 844)
_STEP_LIMIT_MS: Final = 30_000


def visit(link: str, uid: str, picture: Path) -> None:
    """Print the text of the card."""

    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        width, height = _SCREEN
        page = browser.new_page(
            viewport={"width": width, "height": height}, has_touch=True, is_mobile=True
        )
        page.set_default_timeout(_STEP_LIMIT_MS)
        page.goto(link)
        page.get_by_role("button", name="Sign in").tap()
        card = page.locator(f'#nodes [data-uid="{uid}"]')
        card.get_by_text("°C").first.wait_for()
        print(card.inner_text())
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    visit(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
