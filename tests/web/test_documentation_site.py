# SPDX-License-Identifier: BSD-3-Clause
"""The documentation as a site: every page, nothing from the internet, a search without a server."""

import json
import re
from pathlib import Path

import pytest

from scripts.documentation import publish
from tests.documents import ROOT
from tests.web.conftest import Browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this version beside one of an earlier version."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "0.0.9").mkdir()
    (folder / "0.0.9" / "index.html").touch()
    return publish(folder).parent


def test_every_document_is_a_page(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    documents = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    # A README is the index of its folder.
    names = {path.with_name(path.name.replace("README", "index")) for path in documents}
    assert {name.with_suffix("") for name in names} - pages == set()
    assert Path("repository/ARCHITECTURE") in pages


def test_the_newest_version_is_opened_and_the_menu_lists_all(site: Path) -> None:
    versions = json.loads((site.parent / "versions.json").read_text("utf-8"))
    assert [entry["version"] for entry in versions] == [site.name, "0.0.9"]
    assert f"url={site.name}/index.html" in (site.parent / "index.html").read_text("utf-8")


def test_the_client_is_described_by_its_docstrings(site: Path) -> None:
    page = (site / "reference" / "python-client.html").read_text("utf-8")
    for name in ("Client.set", "Client.edit", "Client.alerts", "SyncClient", "Receipt", "NoBroker"):
        assert f'id="pyaiot.client.{name}"' in page, name


def test_pages_load_nothing_from_the_internet(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe)[^>]* src=\"?https?:|<link[^>]* href=\"?https?:")
    for path in site.rglob("*.html"):
        assert loads.search(path.read_text("utf-8")) is None, path


@pytest.mark.sockets
async def test_search_works_in_a_copy_on_a_disk(browser: Browser, site: Path) -> None:
    # The list of versions is on a server only.
    async with browser.page(excused=("/versions.json", "net::ERR_FAILED")) as page:
        await page.goto((site / "how-to" / "mqtt.html").as_uri())
        await page.fill(".md-search__input", "offline timeout")
        first = page.locator("a.md-search-result__link").first
        await first.wait_for(state="attached")
        assert (await first.get_attribute("href") or "").partition("?")[0] == (
            site / "how-to" / "offline-timeout.html"
        ).as_uri()
