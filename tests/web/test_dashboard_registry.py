# SPDX-License-Identifier: BSD-3-Clause
"""Offline nodes, names, tags, newcomers and bans in a real browser, with a real broker."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import pytest

from pyaiot.accounts.store import AccountsFile
from pyaiot.messages import Reading
from pyaiot.registry.last_values import encode_values
from pyaiot.registry.record import NOTHING_ADDED, Annotations, NodeRecord
from pyaiot.registry.registry import Registry
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.sign_in import SignIn
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually, serving
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_for_everybody import violations_in_both
from tests.web.test_dashboard_page import PHONE, card, has, is_absent, no_page, row, see, until

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.sockets

House: TypeAlias = "Shared[Served]"

DAY_S: Final = 86_400.0
LAMP: Final = Annotations(label="Desk lamp", room="Lab 1", tags=("lamps", "class 3b"), notes="New.")


def offline_record(uid: str, added: Annotations = NOTHING_ADDED, *, days: float = 3) -> NodeRecord:
    """A node that was seen `days` ago, with a name, a temperature and a switch."""
    ts = time.time() - days * DAY_S - 60
    readings = [
        Reading.received(uid, "name", f"Board {uid}", ts),
        Reading.received(uid, "temperature", "23.5°C", ts),
        Reading.received(uid, "led", "1", ts),
    ]
    return NodeRecord(
        uid=uid,
        protocol="Test",
        gateway="test",
        first_seen=ts - 1000,
        last_seen=ts,
        reason="silent",
        annotations=added,
        values=encode_values(readings),
    )


def registry_with(*records: NodeRecord, **more: Any) -> Registry:
    registry = Registry(**more)
    registry.load(records)
    return registry


@asynccontextmanager
async def broker_with(*records: NodeRecord, **more: Any) -> AsyncIterator[Served]:
    """A broker with these nodes in its registry, and its dashboard. `more`: of `Registry`."""
    built = load_built()
    if not built:
        no_page()
    login = more.pop("login", None)
    registry = registry_with(*records, **more)
    dashboard = Dashboard(Look(), built)
    async with serving(registry=registry, dashboard=dashboard, login=login) as served:
        yield served


@asynccontextmanager
async def showing(
    browser: Browser, broker: Served, place: str = "", **context: Any
) -> "AsyncIterator[Page]":
    async with browser.page(**context) as page:
        await page.goto(f"{broker.url}#/{place}")
        await see(page.locator("#pill"), "Live")
        yield page


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator["tuple[Served, Page]"]:
    """Nodes that are not online, and others with a temperature: each test has its own."""
    lamps = (offline_record(uid, LAMP) for uid in ("gone", "forgotten", "both"))
    never_seen = NodeRecord(uid="added", annotations=Annotations(label="Spare"))
    async with broker_with(*lamps, never_seen, offline_record("plain")) as broker:
        for uid in ("keys", "opened", "wrong", "race", "banned"):
            broker.gateway.send(uid, "temperature", "20.0°C")
        await broker.known("banned")
        async with showing(browser, broker) as page:
            yield broker, page


house = shared_page(opened)


def offline(page: "Page", uid: str) -> "Locator":
    return page.locator(f'.offline-row[data-uid="{uid}"]')


def record(broker: Served, uid: str) -> NodeRecord:
    return broker.broker.router.registry.records[uid]


async def renamed_by_another(broker: Served, uid: str, **edit: object) -> None:
    async with broker.web.patch(f"/api/nodes/{uid}", json=edit) as answer:
        assert answer.status == 200


# -- offline nodes --------------------------------------------------------------------------------


async def test_offline_nodes_are_listed_with_their_last_values(browser: Browser) -> None:
    async with broker_with(offline_record("a", LAMP), offline_record("b", days=0.5)) as broker:
        broker.gateway.send("on", "temperature", "20.0°C")
        async with showing(browser, broker) as page:
            await see(card(page, "on"), "20.0")
            await see(page.get_by_role("heading", name="Offline"), "Offline 2")
            lamp = offline(page, "a")
            await see(lamp, "Desk lamp")
            await see(lamp, "Lab 1 · #lamps · #class 3b")
            await see(lamp.locator(".last"), re.compile(r"23\.5 °C · LED On"))
            await see(lamp, "offline for 3 days")
            await see(offline(page, "b"), "offline for 12 hr")
            assert await page.get_by_role("switch").count() == 0  # no controls
            # The list is below the cards, the node that went offline last is first.
            order = "[...document.querySelectorAll('[data-uid]')].map(it => it.dataset.uid).join()"
            assert await page.evaluate(order) == "on,b,a"
            await page.get_by_role("button", name=re.compile("^Offline")).click()
            await is_absent(offline(page, "a"))
            await page.reload()
            await see(page.get_by_role("heading", name="Offline"), "Offline 2")
            await is_absent(offline(page, "a"))


async def test_node_moves_to_the_list_after_a_minute_and_back(browser: Browser) -> None:
    async with broker_with() as broker:
        broker.gateway.send("a", "temperature", "20.0°C")
        async with browser.page() as page:
            await page.clock.install()
            await page.goto(broker.url)
            await see(card(page, "a"), "20.0")
            broker.gateway.lose("a")
            await see(card(page, "a"), "Offline · ")
            await page.clock.fast_forward(62_000)
            await see(offline(page, "a"), "20.0 °C")
            await is_absent(card(page, "a"))
            await see(page.locator("main"), "No node is online")
            broker.gateway.send("a", "temperature", "21.0°C")
            await see(card(page, "a"), "21.0")
            await is_absent(offline(page, "a"))


async def test_link_of_a_node_that_is_not_online(house: House) -> None:
    async with house.at("node/gone") as (broker, page):
        dialog = page.get_by_role("dialog")
        await see(dialog, "Desk lamp")
        await see(dialog.locator(".chip"), "Offline · 3 days")
        await see(dialog.locator('[data-resource="temperature"] .note'), "last value · ")
        await see(dialog.locator('[data-resource="led"] .value'), "On")
        assert await page.get_by_role("switch").count() == 0
        await page.goto(f"{broker.url}#/node/added")
        await see(dialog, "This node was added by hand and was never seen.")
        await page.goto(f"{broker.url}#/node/nowhere")
        await see(dialog, "No node with the uid nowhere was ever seen here.")


async def test_forgotten_node_is_restored_with_the_keyboard(house: House) -> None:
    async with house.at("nodes?q=forgotten") as (broker, page):
        await page.get_by_role("button", name="Forget Desk lamp").focus()
        await page.keyboard.press("Enter")
        await see(page.locator(".toast"), "Desk lamp was forgotten.")
        await is_absent(offline(page, "forgotten"))
        assert "forgotten" not in broker.broker.router.registry.records
        await page.keyboard.press("Enter")  # the focus is on Undo
        await see(offline(page, "forgotten"), "Desk lamp")
        assert record(broker, "forgotten").annotations == LAMP
        await is_absent(page.locator(".toast"))


async def test_all_shown_offline_nodes_are_forgotten_after_a_question(browser: Browser) -> None:
    lamps = [offline_record(f"n{number}", LAMP) for number in range(150)]
    async with broker_with(offline_record("other"), *lamps) as broker:
        registry = broker.broker.router.registry
        async with showing(browser, broker, "nodes?q=tag%3Alamps") as page:
            await see(page.get_by_role("heading", name="Offline"), "Offline 150 of 151")
            forget = page.get_by_role("button", name="Forget all shown")
            await forget.click()
            dialog = page.get_by_role("dialog")
            await see(dialog, "Forget 150 offline nodes?")
            await dialog.get_by_role("button", name="Cancel").click()
            assert len(registry) == 151
            await forget.click()
            await dialog.get_by_role("button", name="Forget 150 nodes").click()
            await see(page.locator(".toast"), "150 nodes were forgotten.")
            assert list(registry.records) == ["other"]
            await page.get_by_role("button", name="Undo").click()
            await see(page.get_by_role("heading", name="Offline"), "Offline 150 of 151")
            assert len(registry) == 151


# -- what people add ------------------------------------------------------------------------------


async def test_node_is_renamed_on_its_card_with_the_keyboard(house: House) -> None:
    async with house.at("nodes?q=keys") as (broker, page):
        name = card(page, "keys").get_by_role("link").first
        await name.focus()
        await page.keyboard.press("F2")
        await page.get_by_role("textbox", name="New name of keys").wait_for()
        await page.keyboard.type("Zoo")
        await page.keyboard.press("Escape")
        await see(name, "keys")
        await until(page, "document.activeElement.tagName === 'A'")
        assert record(broker, "keys").annotations.label == ""
        await page.keyboard.press("F2")
        await page.get_by_role("textbox", name="New name of keys").wait_for()
        await page.keyboard.type("  A lamp ")
        await page.keyboard.press("Enter")
        await see(name, "A lamp")
        assert record(broker, "keys").annotations.label == "A lamp"
        await has(card(page, "keys").locator("h3"), "data-tip", "A lamp\nkeys")
        await until(page, "document.activeElement.textContent === 'A lamp'")


async def test_node_is_renamed_in_its_details_with_the_keyboard(house: House) -> None:
    async with house.at("node/opened") as (broker, page):
        dialog = page.get_by_role("dialog")
        name = dialog.get_by_role("textbox", name="New name of opened")
        await dialog.get_by_role("button", name="Rename opened").press("Enter")
        await name.wait_for()
        # The card behind the dialog is not edited as well.
        assert await page.locator(".rename").count() == 1
        await page.keyboard.press("Escape")
        await is_absent(name)
        await see(dialog.locator("h2"), "opened")  # still open
        await until(page, "document.activeElement.className === 'rename-name'")
        await page.keyboard.press("Enter")
        await name.fill("Lamp")
        await page.keyboard.press("Enter")
        await see(dialog.locator("h2"), "Lamp")
        assert record(broker, "opened").annotations.label == "Lamp"


async def test_error_of_a_rename_is_shown_beside_the_name(house: House) -> None:
    async with house.at("nodes?q=wrong") as (_, page):
        await card(page, "wrong").get_by_role("button", name="Rename wrong").click()
        await page.get_by_role("textbox", name="New name of wrong").fill("x\u2028y")
        await page.keyboard.press("Enter")
        await see(card(page, "wrong"), "Not saved: a label has printable characters only")
        await page.get_by_role("button", name="Cancel").click()
        await see(card(page, "wrong").get_by_role("link").first, "wrong")


async def test_rename_that_another_overtook_offers_both_names(house: House) -> None:
    async with house.at("nodes?q=race") as (broker, page):
        for answer, kept in (("Use their value", "Theirs"), ("Keep mine", "Mine")):
            await card(page, "race").get_by_role("link").first.focus()
            await page.keyboard.press("F2")
            await page.get_by_role("textbox", name="New name").wait_for()
            await renamed_by_another(broker, "race", label="Theirs", notes=kept)
            await page.get_by_role("textbox", name="New name").fill("Mine")
            await page.keyboard.press("Enter")
            if answer == "Keep mine":
                # Another client edited only the notes, which is not a conflict.
                await see(card(page, "race").get_by_role("link").first, "Mine")
                break
            await see(card(page, "race"), "Somebody else has set this to “Theirs”.")
            await page.get_by_role("button", name=answer).click()
            await see(card(page, "race").get_by_role("link").first, kept)


async def test_details_edit_what_people_know_of_a_node(house: House) -> None:
    async with house.at("node/plain") as (broker, page):
        dialog = page.get_by_role("dialog")
        fields = {
            "Name": "Desk lamp",
            "Room": "Lab 1",
            "Tags": "lamps, class 3b,lamps",
            "Notes": "New.",
            "Latitude": "48.7",
            "Longitude": "2.2",
        }
        for label, text in fields.items():
            await dialog.get_by_label(label, exact=True).fill(text)
        await dialog.get_by_label("Unit of: Reports every").select_option("minutes")
        await dialog.get_by_label("Reports every", exact=True).fill("15")
        await dialog.get_by_role("button", name="Save").click()
        await see(dialog, "Saved.")
        await see(dialog.locator("h2"), "Desk lamp")
        expected = msgspec.structs.replace(LAMP, latitude=48.7, longitude=2.2, interval_s=900.0)
        assert record(broker, "plain").annotations == expected


async def test_edit_that_another_overtook_shows_the_other_value(house: House) -> None:
    async with house.at("node/both") as (broker, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Room", exact=True).fill("My room")
        await dialog.get_by_label("Notes", exact=True).fill("My notes")
        await renamed_by_another(broker, "both", room="Their room", label="Their name")
        await dialog.get_by_role("button", name="Save").click()
        await see(dialog, "Somebody else has set this to “Their room”.")
        assert record(broker, "both").annotations.room == "Their room"
        await dialog.get_by_role("button", name="Use their value").click()
        await dialog.get_by_role("button", name="Save").click()
        await see(dialog, "Saved.")
        added = record(broker, "both").annotations
        assert (added.label, added.room, added.notes) == (
            "Their name",
            "Their room",
            "My notes",
        )


async def test_tags_filter_and_rooms_group(browser: Browser) -> None:
    records = [offline_record(uid, LAMP) for uid in ("a1", "a2")]
    async with broker_with(*records, offline_record("a3", Annotations(room="Lab 2"))) as broker:
        for uid in ("a1", "a2", "a3", "b1"):
            broker.gateway.send(uid, "temperature", "20.0°C")
        async with showing(browser, broker) as page:
            await see(card(page, "b1"), "20.0")
            tag = page.get_by_role("button", name="#class 3b")
            await see(tag, "2")
            await tag.click()
            await is_absent(card(page, "a3"))
            await has(tag, "aria-pressed", "true")
            await page.locator("#search").fill('a1 tag:"class 3b"')
            await is_absent(card(page, "a2"))
            await tag.click()
            assert await page.locator("#search").input_value() == "a1"
            await page.locator("#search").fill("lab 2")
            await see(card(page, "a3"), "20.0")
            await is_absent(card(page, "b1"))
            await page.locator("#search").fill("")
            await page.get_by_label("Group").select_option("room")
            headings = page.locator("#nodes h2")
            assert [" ".join(it.split()) for it in await headings.all_inner_texts()] == [
                "Lab 1 2",
                "Lab 2 1",
                "No room 1",
            ]
            await see(page.get_by_role("region", name="Lab 2"), "a3")


# -- admission ------------------------------------------------------------------------------------


async def test_newcomers_wait_for_approval(browser: Browser) -> None:
    async with broker_with(admission="approve") as broker:
        registry = broker.broker.router.registry
        for number in range(4):
            broker.gateway.send(f"n{number}", "temperature", "20.0°C")
        await eventually(lambda: registry.waiting == 4)
        async with showing(browser, broker) as page:
            strip = page.locator(".newcomers")
            await see(strip, "4 new nodes wait for approval")
            await strip.get_by_role("button", name="Accept n0").click()
            await see(card(page, "n0"), "20.0")
            await see(strip, "3 new nodes wait for approval")
            await strip.get_by_role("button", name="Refuse n1").click()
            await see(offline(page, "n1"), "Banned")
            await page.goto(f"{broker.url}#/node/n2")
            dialog = page.get_by_role("dialog")
            await see(dialog.locator(".chip"), "Waiting for approval")
            await see(dialog, "20.0")
            await page.goto(f"{broker.url}#/nodes")
            await strip.get_by_role("button", name="Accept all").click()
            await is_absent(strip)
            await see(card(page, "n3"), "20.0")
            assert [registry.records[f"n{number}"].admission for number in range(4)] == [
                *("accepted", "banned", "accepted", "accepted")
            ]


async def test_node_is_banned_and_the_ban_is_lifted(house: House) -> None:
    async with house.at("node/banned") as (broker, page):
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Ban", exact=True).click()
        await see(dialog.locator(".chip"), "Banned")
        assert record(broker, "banned").admission == "banned"
        await dialog.get_by_role("button", name="Lift the ban").click()
        await see(dialog.locator(".chip"), "Offline · ")
        assert record(broker, "banned").admission == "accepted"


async def test_viewers_see_no_controls_that_edit(browser: Browser) -> None:
    accounts = AccountsFile(None)
    login = SignIn(accounts, behind_tls=False, viewers=True, clock=time.monotonic)
    async with broker_with(offline_record("a", LAMP), login=login) as broker:
        broker.gateway.send("b", "temperature", "20.0°C")
        async with showing(browser, broker) as page:
            await see(offline(page, "a"), "Desk lamp")
            await see(card(page, "b"), "20.0")
            for name in ("Forget", "Rename"):
                assert await page.get_by_role("button", name=name).count() == 0
            await page.goto(f"{broker.url}#/node/a")
            dialog = page.get_by_role("dialog")
            await see(dialog, "lamps, class 3b")
            assert await dialog.get_by_label("Room", exact=True).count() == 0
            for name in ("Ban", "Forget", "Rename"):
                assert await dialog.get_by_role("button", name=name).count() == 0


# -- for everybody --------------------------------------------------------------------------------


async def test_no_accessibility_violations(browser: Browser) -> None:
    records = [offline_record(f"o{number}", LAMP) for number in range(3)]
    async with broker_with(*records, admission="approve") as broker:
        broker.gateway.send("o0", "temperature", "20.0°C")
        broker.gateway.send("new", "temperature", "20.0°C")
        await eventually(lambda: broker.broker.router.registry.waiting)
        async with showing(browser, broker, reduced_motion="reduce") as page:
            await see(offline(page, "o1"), "Desk lamp")
            await see(page.locator(".newcomers"), "1 new node waits for approval")
            await page.get_by_label("Group").select_option("room")
            assert await violations_in_both(page) == []
            await page.locator('[data-uid="o0"]').get_by_role("link").first.focus()
            await page.keyboard.press("F2")
            await page.get_by_role("textbox", name="New name").wait_for()
            assert await violations_in_both(page) == [], "rename"
            await page.keyboard.press("Escape")
            await page.get_by_role("button", name="Forget all shown").click()
            await see(page.get_by_role("dialog"), "Forget 2 offline nodes?")
            assert await violations_in_both(page) == [], "question"
            await page.keyboard.press("Escape")
            for uid in ("o1", "new"):
                await is_absent(page.get_by_role("dialog"))
                await page.goto(f"{broker.url}#/node/{uid}")
                await see(page.get_by_role("dialog"), "Name, place and notes")
                assert await violations_in_both(page) == [], uid
                await page.keyboard.press("Escape")


async def test_phone_never_scrolls_sideways_with_offline_nodes(browser: Browser) -> None:
    wide = Annotations(label="W" * 64, room="R" * 64, tags=tuple("T" * 31 + c for c in "abcd"))
    async with broker_with(
        offline_record("a" * 64, wide), offline_record("b", LAMP), admission="approve"
    ) as broker:
        broker.gateway.send("c" * 64, "temperature", "20.0°C")
        await eventually(lambda: broker.broker.router.registry.waiting)
        async with showing(browser, broker, **PHONE) as page:
            await see(offline(page, "b"), "offline for 3 days")
            await page.locator(".newcomers").wait_for()
            fits = "document.documentElement.scrollWidth <= innerWidth"
            assert await page.evaluate(fits)
            await page.goto(f"{broker.url}#/node/{'a' * 64}")
            await see(page.get_by_role("dialog"), "Name, place and notes")
            inner = "(it => it.scrollWidth <= it.clientWidth)(document.querySelector('dialog'))"
            assert await page.evaluate(inner)


async def test_five_hundred_offline_nodes_are_drawn_as_they_are_needed(browser: Browser) -> None:
    records = [offline_record(f"n{number:03}", days=1 + number) for number in range(500)]
    async with broker_with(*records) as broker:
        broker.gateway.send("on", "temperature", "20.0°C")
        async with showing(browser, broker) as page:
            await see(page.get_by_role("heading", name="Offline"), "Offline 500")
            rows = page.locator(".offline-row")
            await rows.first.wait_for()
            assert await rows.count() < 250
            await page.locator("#search").fill("n499")
            await see(offline(page, "n499"), "offline for 500 days")
            assert await rows.count() == 1
            await page.locator("#search").fill("")
            for _ in range(8):
                await rows.last.scroll_into_view_if_needed()
            await see(offline(page, "n499"), "offline for 500 days")
            await see(row(page, "on", "temperature"), "20.0")
