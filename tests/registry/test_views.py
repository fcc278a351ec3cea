# SPDX-License-Identifier: BSD-3-Clause
"""Saved views: revisions, the one start page, limits; and which nodes their filters have."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.errors import ProtocolError, Refused
from pyaiot.registry import views as views_module
from pyaiot.registry.documents import Document, Documents
from pyaiot.registry.record import Annotations, NodeRecord
from pyaiot.registry.refusals import StaleRevision
from pyaiot.registry.view_filter import node_test
from pyaiot.registry.views import DashboardView, UnknownView, ViewBook

GREENHOUSE = DashboardView(title="Greenhouse", query="tag:plants", pins=("a",))


class Store:
    """Views in memory; `failure` is raised instead of a write."""

    def __init__(self) -> None:
        self.documents = Documents()
        self.failure: Exception | None = None
        self.views = ViewBook(self.documents, self.write)

    async def write(self, documents: Sequence[Document]) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.documents.set(documents)


async def test_a_view_is_saved_and_its_revision_grows() -> None:
    views = Store().views
    first = await views.put("greenhouse", GREENHOUSE)
    second = await views.put("greenhouse", DashboardView(title="Greenhouse"), first.revision)

    assert (first.revision, second.revision) == (1, 2)
    assert [it.view.pins for it in views.all()] == [()]


async def test_of_two_edits_of_one_revision_the_second_is_refused() -> None:
    views = Store().views
    await views.put("greenhouse", GREENHOUSE)
    results = await asyncio.gather(
        *(views.put("greenhouse", GREENHOUSE, 1) for _ in range(2)), return_exceptions=True
    )

    assert [type(it).__name__ for it in results] == ["SavedView", "StaleRevision"]


async def test_revision_zero_means_that_there_is_no_such_view() -> None:
    views = Store().views
    await views.put("greenhouse", GREENHOUSE, 0)
    with pytest.raises(StaleRevision):
        await views.put("greenhouse", GREENHOUSE, 0)
    with pytest.raises(StaleRevision):
        await views.put("other", GREENHOUSE, 3)


async def test_at_most_one_view_is_the_start_page() -> None:
    views = Store().views
    await views.put("a", DashboardView(title="A", start=True))
    await views.put("b", DashboardView(title="B", start=True))

    assert [(it.id, it.revision, it.view.start) for it in views.all()] == [
        ("a", 2, False),
        ("b", 1, True),
    ]


async def test_observers_are_called_after_changes_that_are_on_disk() -> None:
    store = Store()
    versions: list[int] = []
    store.views.observers.append(lambda: versions.append(store.views.version))
    store.failure = Refused("full")
    with pytest.raises(Refused):
        await store.views.put("a", GREENHOUSE)
    assert versions == []

    store.failure = None
    await store.views.put("a", GREENHOUSE)
    await store.views.remove("a", 1)
    assert versions == [1, 2]


async def test_a_view_that_does_not_exist_is_not_removed() -> None:
    store = Store()
    with pytest.raises(UnknownView):
        await store.views.remove("x")


async def test_one_view_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_module, "VIEWS_MAX", 2)
    views = Store().views
    for name in "ab":
        await views.put(name, GREENHOUSE)
    with pytest.raises(Refused, match="2 saved views already"):
        await views.put("c", GREENHOUSE)
    await views.put("a", GREENHOUSE)


async def test_a_title_without_visible_characters_is_refused() -> None:
    with pytest.raises(Refused, match="printable"):
        await Store().views.put("a", DashboardView(title="\x00"))


async def test_a_stored_view_that_is_not_valid_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    store.documents.set([("view", "bad", '{"revision": 1}')])
    await store.views.put("good", GREENHOUSE)

    assert [it.id for it in store.views.all()] == ["good"]
    assert "a stored view is left out" in caplog.text


LAMP = NodeRecord(
    uid="4A3A",
    gateway="roof",
    protocol="CoAP",
    annotations=Annotations(label="Desk Lamp", room="East wing", tags=("lab", "Class 3b")),
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", True),
        ("tag:lab", True),
        ("tag:LAB -room:kitchen", True),
        ("tag:lab tag:other", False),
        ('tag:"class 3b" room:"East wing"', True),
        ("-tag:lab", False),
        ("gateway:roof protocol:coap", True),
        ("gateway:roo", False),
        ("uid:3a", True),
        ("label:lamp", True),
        ("label:", True),
    ],
)
def test_filter_of_what_lasts(query: str, expected: bool) -> None:
    assert node_test(query)(LAMP) is expected


@pytest.mark.parametrize("query", ["temp>25", "state:stale", "kitchen", "-has:led", "board:samr21"])
def test_filter_of_what_changes_is_refused(query: str) -> None:
    with pytest.raises(ProtocolError, match="cannot use this view"):
        node_test(query)


@given(st.text(max_size=40))
def test_a_quoted_room_is_found_by_its_name(room: str) -> None:
    bare = " ".join(room.replace('"', "").split())
    if not bare:
        return
    record = NodeRecord(uid="n", annotations=Annotations(room=bare))
    assert node_test(f'room:"{bare}"')(record)
