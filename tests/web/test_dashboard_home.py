# SPDX-License-Identifier: BSD-3-Clause
"""The home of the dashboard: views, counts, groups, pins, order, the list, commands to many; in a
real browser, against a real broker."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.messages import NodeDescribed
from pyaiot.model import ResourceType
from pyaiot.web.dashboard import Dashboard, Look
from pyaiot.web.sign_in import SignIn
from pyaiot.web.stored_files import load_built
from tests.web.conftest import Browser
from tests.web.serving import Served, eventually, serving
from tests.web.sharing import Shared, shared_page
from tests.web.test_dashboard_for_everybody import violations, violations_in_both
from tests.web.test_dashboard_page import PHONE, card, has, is_absent, no_page, row, see, until
from tests.web.test_dashboard_registry import showing

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.sockets

Rooms: TypeAlias = "Shared[Served]"

ROOMS = ("Kitchen", "Lab 2", "Lab 10", "")
ORDER = "[...document.querySelectorAll('#nodes .card')].map((it) => it.dataset.uid).join(' ')"


def home(**parts: Any) -> Any:
    built = load_built()
    if not built:
        no_page()
    return serving(dashboard=Dashboard(Look(title="Lab"), built), **parts)


async def fill(broker: Served, count: int = 8) -> None:
    """Nodes `n1` to `n{count}` with a temperature and a switch, some in rooms."""
    for number in range(1, count + 1):
        broker.gateway.send(f"n{number}", "temperature", f"{20 + number}.123456°C")
        broker.gateway.send(f"n{number}", "led", "0")
    await broker.known(f"n{count}")
    for number in range(1, min(count, 8) + 1):
        await edit(broker, f"n{number}", room=ROOMS[number % 4] or None, tags=["lab"])


async def edit(broker: Served, uid: str, **change: Any) -> None:
    async with broker.web.patch(f"/api/nodes/{uid}", json=change) as answer:
        assert answer.status == 200, await answer.text()


async def put_view(broker: Served, name: str, **view: Any) -> None:
    async with broker.web.put(f"/api/views/{name}", json=view) as answer:
        assert answer.status == 200, await answer.text()


@asynccontextmanager
async def opened(browser: Browser) -> AsyncIterator["tuple[Served, Page]"]:
    """Nodes, one with a mode and one with a position that can be set, and a view for each test."""
    async with home() as broker:
        await fill(broker)
        broker.gateway.send("dial", "mode", "eco")
        broker.gateway.send("boat", "place", json.dumps({"lat": 48.5, "lng": 2.5}))
        described = {"place": ResourceType(kind="position", writable=True)}
        broker.gateway.link.send(NodeDescribed(uid="boat", types=described))
        await broker.known("boat")
        await put_view(broker, "edited", title="Edited")
        await put_view(broker, "taken", title="Taken", query="n1")
        await put_view(broker, "day", title="Day", range="24h")
        async with showing(browser, broker) as page:
            yield broker, page


@asynccontextmanager
async def opened_on_a_phone(browser: Browser) -> AsyncIterator["tuple[Served, Page]"]:
    """Eight nodes, of which one has just gone, and a view with the longest title."""
    async with home() as broker:
        await fill(broker)
        broker.gateway.lose("n2")
        await put_view(broker, "lab", title="L" * 64)
        async with showing(browser, broker, **PHONE) as page:
            yield broker, page


rooms = shared_page(opened)
phone = shared_page(opened_on_a_phone)


# -- counts and groups ----------------------------------------------------------------------------


async def test_each_count_is_a_filter(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker)
        broker.gateway.send("n3", "suit_state", "8")
        broker.gateway.lose("n2")
        async with showing(browser, broker) as page:
            counts = page.get_by_role("group", name="Summary")
            await see(counts, "7 online")
            await see(counts, "1 offline")
            failed = counts.get_by_role("button", name="1 update failed")
            await failed.click()
            await has(failed, "aria-pressed", "true")
            await until(page, f"{ORDER} === 'n3'")
            assert await page.locator("#search").input_value() == "update:failed"
            await failed.click()
            await until(page, f"{ORDER} === 'n1 n3 n4 n5 n6 n7 n8'")


async def test_groups_close_and_stay_closed(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker)
        async with showing(browser, broker) as page:
            await page.get_by_label("Group").select_option("room")
            heads = page.locator("#nodes h2")
            texts = [" ".join(it.split()) for it in await heads.all_inner_texts()]
            assert texts == ["Kitchen 2", "Lab 2 2", "Lab 10 2", "No room 2"]
            kitchen = page.get_by_role("button", name="Kitchen 2")
            await kitchen.focus()
            await page.keyboard.press("Enter")
            await is_absent(card(page, "n4"))
            await page.reload()
            await has(page.get_by_role("button", name="Kitchen 2"), "aria-expanded", "false")


# -- pins and order -------------------------------------------------------------------------------


async def test_a_pinned_node_comes_first_and_a_moved_one_keeps_its_place(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker, 4)
        async with showing(browser, broker) as page:
            await until(page, f"{ORDER} === 'n1 n2 n3 n4'")
            await card(page, "n3").get_by_role("button", name="Pin n3", exact=True).press("Enter")
            await until(page, f"{ORDER} === 'n3 n1 n2 n4'")
            grip = card(page, "n4").get_by_role("button", name="Move n4")
            await grip.focus()
            await page.keyboard.press("ArrowLeft")
            await until(page, f"{ORDER} === 'n3 n1 n4 n2'")
            await see(page.locator(".home-bar [role=status]"), "n4: place 3 of 4")
            await until(page, "document.activeElement.ariaLabel?.startsWith('Move n4')")
            await page.keyboard.press("Home")
            await until(page, f"{ORDER} === 'n3 n4 n1 n2'")
            await page.reload()
            await until(page, f"{ORDER} === 'n3 n4 n1 n2'")


async def test_a_card_is_dragged_to_the_place_of_another(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker, 4)
        async with showing(browser, broker, viewport={"width": 1440, "height": 900}) as page:
            await card(page, "n4").hover()
            await card(page, "n4").get_by_role("button", name="Move n4").hover()
            await page.mouse.down()
            target = await card(page, "n2").bounding_box()
            assert target is not None
            for step in range(1, 6):
                await page.mouse.move(target["x"] + 60 + step, target["y"] + 30, steps=4)
            await card(page, "n2").and_(page.locator(".drop")).wait_for()
            await page.mouse.up()
            await until(page, f"{ORDER} === 'n1 n4 n2 n3'")


# -- views ----------------------------------------------------------------------------------------


async def test_a_view_is_saved_shared_changed_and_discarded(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker)
        async with showing(browser, broker) as page:
            await page.locator("#search").fill('room:"Lab 2"')
            await page.get_by_role("button", name="List", exact=True).click()
            await page.locator(".views .menu-button").press("Enter")
            await until(page, "document.activeElement.closest('.menu') !== null")
            await page.keyboard.press("ArrowDown")
            await page.keyboard.press("Enter")
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Name").fill("Second lab")
            await page.keyboard.press("Enter")
            await see(page.locator(".views .menu-button"), "Second lab")
            await until(page, "location.hash === '#/fleet?view=second-lab'")
            (saved,) = (await broker.json("/api/views"))["views"]
            assert saved["view"] == {
                "title": "Second lab",
                "screen": "fleet",
                "query": 'room:"Lab 2"',
            }

            await page.get_by_label("Group").select_option("tag")
            await see(page.locator(".view-changed"), "changed")
            await page.get_by_role("button", name="Discard").click()
            await is_absent(page.locator(".view-changed"))
            await page.get_by_label("Group").select_option("tag")
            await page.get_by_role("button", name="Save changes").click()
            await is_absent(page.locator(".view-changed"))
            (saved,) = (await broker.json("/api/views"))["views"]
            assert (saved["revision"], saved["view"]["group"]) == (2, "tag")

        async with showing(browser, broker, "fleet?view=second-lab") as other:
            await see(other.locator("#nodes"), "n1")
            await is_absent(other.locator("#nodes [data-uid=n2]"))


async def test_the_start_view_is_shown_first_and_changes_reach_other_pages(
    browser: Browser,
) -> None:
    async with home() as broker:
        await fill(broker)
        await put_view(broker, "lab", title="Lab", query='room:"Lab 2"', start=True)
        async with browser.page() as page:
            await page.goto(broker.url)
            await until(page, f"{ORDER} === 'n1 n5'")
            await page.locator(".views .menu-button").click()
            await page.get_by_role("button", name="All nodes").click()
            await until(page, f"{ORDER}.startsWith('n1 n2')")
            await put_view(broker, "roof", title="Roof")
            await page.locator(".views .menu-button").click()
            await see(page.locator(".menu"), "Roof")


async def test_an_edit_of_somebody_else_is_not_overwritten(rooms: Rooms) -> None:
    async with rooms.at("nodes?view=edited") as (broker, page):
        await page.get_by_label("Group").select_option("room")
        old = await broker.json("/api/views")
        await page.route("**/api/views", lambda route: route.fulfill(json=old))
        await put_view(broker, "edited", title="Edited", query="n1")
        await page.get_by_role("button", name="Save changes").click()
        await see(page.locator(".toast"), "somebody else edited the view")
        views = (await broker.json("/api/views"))["views"]
        (view,) = [it["view"] for it in views if it["id"] == "edited"]
        assert view.get("group") is None
        await page.unroute("**/api/views")


async def test_a_view_is_removed_and_the_removal_undone(rooms: Rooms) -> None:
    async with rooms.at("nodes?view=taken") as (broker, page):
        await page.locator(".views .menu-button").click()
        await page.get_by_role("button", name="Edit views").click()
        await page.get_by_role("button", name="Remove Taken").click()
        await see(page.locator(".toast"), "View Taken removed")
        await page.get_by_role("dialog").get_by_role("button", name="Close").click()
        await page.get_by_role("button", name="Undo").click()
        await see(page.locator(".views .menu-button"), "All nodes")
        await eventually(lambda: broker.broker)
        assert "taken" in [it["id"] for it in (await broker.json("/api/views"))["views"]]


# -- the list -------------------------------------------------------------------------------------


async def test_the_list_draws_only_what_is_on_screen(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker, 1200)
        async with showing(browser, broker, "fleet") as page:
            tiles = page.locator("#nodes .tile")
            await see(page.locator("#nodes [data-uid=n1]"), "21.12 °C")
            assert await tiles.count() < 200
            await has(tiles.first, "aria-setsize", "1200")
            await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            await see(page.locator("#nodes [data-uid=n1200]"), "1220.12 °C")
            assert await tiles.count() < 200
            broker.gateway.send("n1200", "temperature", "7.5°C")
            await see(page.locator("#nodes [data-uid=n1200]"), "7.5 °C")
            await page.get_by_label("Value").select_option("led")
            await see(page.locator("#nodes [data-uid=n1200]"), "Off")


# -- masonry --------------------------------------------------------------------------------------

COLUMNS = {820: 2, 1440: 4, 2560: 7}
HOLES = """() => {
    const gap = parseFloat(getComputedStyle(document.querySelector('.grid')).columnGap);
    const columns = new Map();
    for (const card of document.querySelectorAll('#nodes > .card')) {
        const { left, top, bottom } = card.getBoundingClientRect();
        const key = Math.round(left);
        columns.set(key, [...(columns.get(key) ?? []), [top, bottom]]);
    }
    let worst = 0;
    const ends = [];
    for (const column of columns.values()) {
        column.sort(([a], [b]) => a - b);
        column.forEach(([top], index) => {
            if (index) worst = Math.max(worst, top - column[index - 1][1] - gap);
        });
        ends.push(column.at(-1)[1]);
    }
    return { worst, columns: columns.size, spread: Math.max(...ends) - Math.min(...ends) };
}"""


@pytest.mark.parametrize("count", [3, 8, 30, 200])
async def test_no_hole_stays_beside_a_tall_card(browser: Browser, count: int) -> None:
    """At each width of the window, one after the other in the same page."""
    async with home() as broker:
        for number in range(count):
            for resource in range(1 + number * 7 % 11):
                broker.gateway.send(f"n{number}", f"value{resource}", "1.5")
        await broker.known(f"n{count - 1}")
        async with showing(browser, broker) as page:
            await until(page, f"document.querySelectorAll('#nodes > .card').length === {count}")
            # All cards are drawn once: far away, their heights are estimates.
            await page.evaluate(
                "document.querySelectorAll('.card').forEach("
                "(it) => it.style.contentVisibility = 'visible')"
            )
            for width, columns in COLUMNS.items():
                await page.set_viewport_size({"width": width, "height": 900})
                await until(page, f"({HOLES})().columns === {min(count, columns)}")
                await until(page, f"({HOLES})().worst <= 5")


# -- commands -------------------------------------------------------------------------------------


async def test_one_command_to_all_that_match_and_its_receipts(rooms: Rooms) -> None:
    async with rooms.at("nodes?q=room:kitchen%20") as (broker, page):
        broker.gateway.commands.clear()
        await page.locator("#search").fill('tag:lab -room:"Lab 2"')
        await page.get_by_role("button", name="More").click()
        await page.get_by_role("button", name="Command to many").click()
        dialog = page.get_by_role("dialog")
        await see(dialog, "6 nodes")
        await dialog.get_by_role("button", name="Send to 6 nodes").click()
        await see(dialog, "LED = 1 on 6 nodes. Send it?")
        assert broker.gateway.commands == []
        await dialog.get_by_role("button", name="Send to 6 nodes").click()
        await eventually(lambda: len(broker.gateway.commands) == 6)
        assert {it.uid for it in broker.gateway.commands} == {"n2", "n3", "n4", "n6", "n7", "n8"}
        for number, command in enumerate(list(broker.gateway.commands)):
            broker.gateway.answer(command, "confirmed" if number else "refused")
        await see(dialog, "6 of 6 receipts")
        await see(dialog, "5 confirmed")
        await see(dialog, "refused by the node")
        await dialog.get_by_role("button", name="Send again (1 failed)").click()
        await eventually(lambda: len(broker.gateway.commands) == 7)


async def test_what_is_unknown_can_be_set_in_the_details(rooms: Rooms) -> None:
    async with rooms.at("node/dial") as (broker, page):
        broker.gateway.commands.clear()
        await row(page, "dial", "mode").first.wait_for()
        await page.get_by_role("dialog").get_by_role("button", name="Set… of Mode").click()
        box = page.get_by_role("textbox", name="Set Mode of dial")
        await box.fill("boost")
        await page.keyboard.press("Enter")
        await eventually(lambda: broker.gateway.commands)
        (command,) = broker.gateway.commands
        assert (command.resource, command.payload) == ("mode", "boost")
        broker.gateway.answer(command, "confirmed")
        await see(page.locator(".set-value"), "confirmed")


async def test_a_position_is_chosen_on_a_map(rooms: Rooms) -> None:
    async with rooms.at("node/boat") as (broker, page):
        broker.gateway.commands.clear()
        await page.get_by_role("dialog").get_by_role("button", name="Set… of Place").click()
        dialog = page.get_by_role("dialog", name="Position of boat")
        place = dialog.locator(".picker .map")
        await place.wait_for()
        await page.wait_for_timeout(100)
        await place.click(position={"x": 40, "y": 40})
        await until(page, "document.querySelector('.place-fields input').value !== ''")
        latitude = await dialog.get_by_label("Latitude").input_value()
        await dialog.get_by_role("button", name="Send").click()
        await eventually(lambda: broker.gateway.commands)
        sent = json.loads(broker.gateway.commands[0].payload)
        assert sent["lat"] == pytest.approx(float(latitude))


# -- wall screens ---------------------------------------------------------------------------------

SOON = """
    const real = setTimeout;
    window.setTimeout = (act, ms, ...rest) =>
        window.isLost && ms >= 500 ? 0 : real(act, ms === 9000 ? 50 : ms, ...rest);
    window.WebSocket = class extends WebSocket {
        constructor(...its) { super(...its); window.socket = this; }
    };
    window.locks = [];
    Object.defineProperty(navigator, 'wakeLock', {
        value: { request: async (what) => window.locks.push(what) },
    });
"""
"""Skips nine seconds of each view, records requests to keep the screen on, and prevents new
connections after `isLost`."""
NOTE_TITLE = """window.titles =
    (window.titles ?? '') + (document.querySelector('.kiosk-title')?.textContent[0] ?? '')"""
VISIBLE_CONTROLS = """[...document.querySelectorAll('button, select, input, [role=switch], nav a')]
    .filter((it) => it.checkVisibility() && !it.matches('.group-head, #pill'))
    .map((it) => it.ariaLabel || it.textContent)"""


async def test_a_wall_screen_shows_the_views_in_turn_without_controls(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker)
        await put_view(broker, "a", title="Kitchen", query="room:kitchen")
        await put_view(broker, "b", title="List", screen="fleet")
        await put_view(broker, "c", title="Other", screen="table")
        async with browser.page(loses_broker=True) as page:
            await page.add_init_script(SOON)
            await page.goto(f"{broker.url}?kiosk=9&views=a,b,removed")
            await until(page, f"({NOTE_TITLE}, /K+L+K/.test(window.titles))")
            assert "O" not in await page.evaluate("window.titles")
            assert await page.evaluate(VISIBLE_CONTROLS) == []
            assert await page.evaluate("getComputedStyle(document.body).cursor") == "none"
            assert await page.evaluate("window.locks") == ["screen"]
            assert await page.evaluate("history.length") <= 2
            await page.keyboard.press("a")
            await page.evaluate("(window.isLost = true, window.socket.close())")
            await see(page.locator(".banner"), "lost")
            assert await page.evaluate(VISIBLE_CONTROLS) == []
            await is_absent(page.locator("dialog"))


async def test_a_wall_screen_needs_no_account_where_visitors_may_look(browser: Browser) -> None:
    built = load_built()
    if not built:
        no_page()
    accounts = AccountsFile(None)
    token, secret = new_token("setup", "admin", now=0.0, life_s=None)
    accounts.add_token(token)
    login = SignIn(accounts, behind_tls=False, viewers=True, clock=time.monotonic)
    async with serving(dashboard=Dashboard(Look(), built), login=login) as broker:
        for uid in ("box", "fan"):
            broker.gateway.send(uid, "led", "0")
        view = {"title": "Wall", "query": "box"}
        headers = {"Authorization": f"Bearer {secret}"}
        async with broker.web.put("/api/views/wall", json=view, headers=headers) as answer:
            assert answer.status == 200
        async with browser.page() as page:
            await page.goto(f"{broker.url}?kiosk=3600")
            await see(page.locator(".kiosk-title"), "Wall")
            await see(page.locator("#nodes"), "box")
            await is_absent(page.locator("#nodes", has_text="fan"))
            assert await page.evaluate(VISIBLE_CONTROLS) == []


async def test_the_charts_have_the_range_of_the_open_view(rooms: Rooms) -> None:
    async with rooms.at("nodes?view=day") as (_, page):
        await see(page.locator(".views"), "Day")
        await card(page, "n1").locator("h3 a").click()
        spans = page.locator(".spans")
        await has(spans.get_by_role("button", name="24 h"), "aria-pressed", "true")
        await spans.get_by_role("button", name="7 d").click()
        await page.keyboard.press("Escape")
        await see(page.locator(".view-changed"), "changed")


async def test_the_menu_of_a_phone_leads_to_what_the_header_has_no_room_for(phone: Rooms) -> None:
    async with phone.at("nodes") as (_, page):
        await page.get_by_role("button", name="Menu", exact=True).click()
        await see(page.locator("dialog"), "Settings")
        assert await page.evaluate(SMALL_TARGETS) == []
        assert await violations(page) == []
        await page.locator("dialog").get_by_role("button", name="Keys and search").click()
        await see(page.locator("dialog"), "temp>25")


# -- everybody ------------------------------------------------------------------------------------

SMALL_TARGETS = """() => [...document.querySelectorAll('button, select, input, [role=switch]')]
    .filter((it) => it.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
    .map((it) => [it, it.getBoundingClientRect()])
    .filter(([it, box]) => box.width && !it.closest('.check, .visually-hidden, .choice'))
    .map(([it, box]) => {
        const after = getComputedStyle(it, '::after');
        const grown = it.matches('[role=switch]') && after.content !== 'none'
            ? [-parseFloat(after.left) * 2, -parseFloat(after.top) * 2] : [0, 0];
        const name = it.ariaLabel || it.textContent;
        return [name, Math.round(box.width + grown[0]), Math.round(box.height + grown[1])];
    })
    .filter(([, width, height]) => width < 44 || height < 44)"""


@pytest.mark.parametrize("screen", ["nodes", "fleet"])
async def test_it_is_accessible_and_fits_a_phone(phone: Rooms, screen: str) -> None:
    async with phone.at(screen) as (_, page):
        await page.get_by_role("button", name="More", exact=True).click()
        await page.get_by_label("Group").select_option("room")
        await see(page.locator("#nodes"), "n1")
        assert await violations_in_both(page) == []
        await page.keyboard.press("Escape")
        wide = "document.documentElement.scrollWidth - innerWidth"
        assert await page.evaluate(wide) <= 0
        assert await page.evaluate(SMALL_TARGETS) == []
        await page.locator(".views .menu-button").click()
        assert await violations_in_both(page) == []
        await page.get_by_role("button", name="Save as a view").click()
        assert await violations_in_both(page) == []
        assert await page.evaluate(wide) <= 0


async def test_a_phone_has_the_actions_of_a_node_in_a_menu(browser: Browser) -> None:
    async with home() as broker:
        await fill(broker, 3)
        async with showing(browser, broker, **PHONE) as page:
            await page.get_by_role("button", name="Actions of n3").click()
            assert await violations(page) == []
            await page.get_by_role("button", name="Move earlier").click()
            await until(page, f"{ORDER} === 'n1 n3 n2'")
            await page.get_by_role("button", name="Actions of n2").click()
            await page.get_by_role("button", name="Pin", exact=True).click()
            await until(page, f"{ORDER} === 'n2 n1 n3'")
