# SPDX-License-Identifier: BSD-3-Clause
"""Floor plans: images and places, revisions, limits, and that backups have them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyaiot.errors import ProtocolError, Refused
from pyaiot.registry import plans as plans_module
from pyaiot.registry.documents import Document, Documents
from pyaiot.registry.plans import PLACES_MAX, PlanBook, PlanPlace, UnknownPlan
from pyaiot.registry.refusals import StaleRevision
from pyaiot.registry.sqlite import SqliteStore
from pyaiot.registry.store import Changes
from tests.registry.test_images import jpeg, png

SMALL = png(640, 480)
LARGE = png(640, 480) + bytes(range(256)) * 1000
"""Several documents."""


class Store:
    """Plans in memory."""

    def __init__(self) -> None:
        self.documents = Documents()
        self.plans = PlanBook(self.documents, self.write)

    async def write(self, documents: Sequence[Document]) -> None:
        await asyncio.sleep(0)
        self.documents.check(documents)
        self.documents.set(documents)


async def test_a_plan_has_the_bytes_that_were_put_and_the_places_stay_with_another_image() -> None:
    plans = Store().plans
    first = await plans.put_image("Lab 1/a", LARGE, 0)
    placed = await plans.place("Lab 1/a", {"n": PlanPlace(0.123456, 1.0)}, first.revision)
    assert plans.image(placed) == LARGE
    assert (first.width, first.height, first.type, first.size) == (
        640,
        480,
        "image/png",
        len(LARGE),
    )

    second = await plans.put_image("Lab 1/a", jpeg(10, 20))
    assert (second.revision, second.type, second.width) == (3, "image/jpeg", 10)
    assert second.places == {"n": PlanPlace(0.1235, 1.0)}
    assert second.image != first.image
    assert plans.image(second) == jpeg(10, 20)


async def test_nothing_of_a_replaced_or_removed_image_stays() -> None:
    store = Store()
    await store.plans.put_image("a", LARGE)
    await store.plans.put_image("b", LARGE)
    await store.plans.put_image("a", SMALL)
    await store.plans.remove("a")
    (kept,) = store.plans.all()
    assert store.plans.image(kept) == LARGE  # rooms share no image
    await store.plans.remove("b")
    assert len(store.documents) == 0


async def test_an_edit_of_an_older_revision_is_refused() -> None:
    plans = Store().plans
    await plans.put_image("a", SMALL, 0)
    for edit in (
        plans.put_image("a", SMALL, 0),
        plans.place("a", {}, 7),
        plans.remove("a", 7),
        plans.put_image("other", SMALL, 1),
    ):
        with pytest.raises(StaleRevision):
            await edit
    results = await asyncio.gather(
        *(plans.place("a", {}, 1) for _ in range(2)), return_exceptions=True
    )
    assert [type(it).__name__ for it in results] == ["FloorPlan", "StaleRevision"]


async def test_nodes_are_taken_off_and_forgotten_ones_leave_with_the_next_edit() -> None:
    plans = Store().plans
    await plans.put_image("a", SMALL)
    middle = PlanPlace(0.5, 0.5)
    await plans.place("a", {"n": middle, "gone": middle, "m": middle})
    plan = await plans.place("a", {"n": None}, is_known=lambda uid: uid != "gone")
    assert list(plan.places) == ["m"]


async def test_what_cannot_be_stored_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = Store().plans
    with pytest.raises(UnknownPlan):
        await plans.place("a", {})
    with pytest.raises(UnknownPlan):
        await plans.remove("a")
    for room in ("", "x" * 65, "a\nb"):
        with pytest.raises(ProtocolError):
            await plans.put_image(room, SMALL)
    with pytest.raises(ProtocolError, match="PNG, JPEG or WebP"):
        await plans.put_image("a", b"<svg/>")
    with pytest.raises(Refused, match="more than 1048576 bytes"):
        await plans.put_image("a", SMALL + bytes(plans_module.IMAGE_SIZE_MAX))
    await plans.put_image("a", SMALL)
    many = {f"n{n}": PlanPlace(0.5, 0.5) for n in range(PLACES_MAX)}
    await plans.place("a", many)
    with pytest.raises(Refused, match="500 nodes"):
        await plans.place("a", {"one more": PlanPlace(0.5, 0.5)})

    monkeypatch.setattr(plans_module, "PLANS_MAX", 1)
    with pytest.raises(Refused, match="already"):
        await plans.put_image("b", SMALL)
    await plans.put_image("a", SMALL)  # another image of the same room
    monkeypatch.setattr(plans_module, "PLANS_MAX", 2)
    monkeypatch.setattr(plans_module, "IMAGES_SIZE_MAX", 2 * len(SMALL) - 1)
    with pytest.raises(Refused, match="together"):
        await plans.put_image("b", SMALL)


async def test_the_file_of_the_registry_has_the_plans(tmp_path: Path) -> None:
    """So do backups, which have that file, or all documents of the server."""
    store = Store()
    await store.plans.put_image("a", LARGE)
    documents = [
        (kind, key, body)
        for kind in ("plan", "plan-image")
        for key, body in store.documents.of(kind).items()
    ]
    file = SqliteStore(tmp_path / "registry.db")
    file.open()
    file.write(Changes(documents=documents))
    file.close()

    again, read = SqliteStore(tmp_path / "registry.db"), Store()
    again.open()
    read.documents.load(again.documents())
    again.close()
    (plan,) = read.plans.all()
    assert read.plans.image(plan) == LARGE


async def test_a_stored_plan_that_is_not_valid_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    store.documents.set([("plan", "a", "{}")])
    assert store.plans.all() == []
    assert "a stored floor plan is left out" in caplog.text
    await store.plans.put_image("a", SMALL)
    assert [it.room for it in store.plans.all()] == ["a"]
