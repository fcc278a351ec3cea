# SPDX-License-Identifier: BSD-3-Clause
"""The web application manifest of the dashboard: its name, colours and icons as an app."""

from typing import Any, Final

PAGE: Final = "#f3f5f6"
"""Colour of the page, `--page` of `style.css`."""
_ICONS: Final = (
    {"src": "icons/icon.svg", "sizes": "any", "type": "image/svg+xml"},
    {"src": "icons/192.png", "sizes": "192x192", "type": "image/png"},
    {"src": "icons/512.png", "sizes": "512x512", "type": "image/png"},
)
_MASKABLE: Final = {
    "src": "icons/maskable.png",
    "sizes": "512x512",
    "type": "image/png",
    "purpose": "maskable",
}
"""An icon whose picture fills the square; the phone crops it."""


def manifest(title: str, favicon: str) -> dict[str, Any]:
    """The manifest. `favicon`: path or URL of a configured one, which becomes the icon; or empty.

    Its paths are relative, so that a proxy may serve the dashboard below a path.
    """
    own = [{"src": favicon, "sizes": "any"}] if favicon else []
    return {
        "id": "./",
        "name": title,
        "short_name": title,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": PAGE,
        "theme_color": PAGE,
        "icons": own or [*_ICONS, _MASKABLE],
    }
