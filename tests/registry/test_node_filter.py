# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes a filter selects, compared with a plain reading of its conditions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.registry import search_texts
from pyaiot.registry.node_filter import NodeFilter, frozen
from pyaiot.registry.record import NOTHING_ADDED, Annotations, Edit, NodeRecord
from pyaiot.registry.registry import Registry
from pyaiot.registry.search_texts import BLOCK_NODES, SearchTexts

LETTERS = st.text("aäß1 ", max_size=3)
NAMES = st.text("aäß1", min_size=1, max_size=2)

annotations = st.one_of(
    st.just(NOTHING_ADDED),
    st.builds(
        Annotations,
        label=LETTERS,
        room=LETTERS,
        notes=LETTERS,
        tags=st.lists(NAMES, max_size=2).map(tuple),
    ),
)
records = st.lists(
    st.builds(
        NodeRecord,
        uid=NAMES,
        gateway=NAMES,
        protocol=st.sampled_from(["CoAP", "MQTT", ""]),
        admission=st.sampled_from(["accepted", "waiting", "banned"]),
        is_online=st.booleans(),
        annotations=annotations,
    ),
    max_size=6,
)
some = st.one_of(st.none(), st.frozensets(NAMES, max_size=2))
filters = st.builds(
    NodeFilter,
    uids=some,
    states=st.one_of(
        st.none(), st.frozensets(st.sampled_from(["online", "offline", "waiting", "banned"]))
    ),
    tags=some,
    gateways=some,
    protocols=st.one_of(st.none(), st.frozensets(st.sampled_from(["coap", "mqtt"]))),
    rooms=st.one_of(st.none(), st.frozensets(LETTERS, max_size=2)),
    words=st.text("aÄSß1 ", max_size=5).map(NodeFilter.words_of),
)


def plainly(it: NodeFilter, record: NodeRecord) -> bool:
    added = record.annotations
    texts = [record.uid, added.label, added.room, added.notes, *added.tags]
    conditions = [
        it.uids is None or record.uid in it.uids,
        it.states is None or record.state in it.states,
        it.tags is None or any(tag in it.tags for tag in added.tags),
        it.gateways is None or record.gateway in it.gateways,
        it.protocols is None or record.protocol.lower() in it.protocols,
        it.rooms is None or added.room in it.rooms,
        all(any(word in text.casefold() for text in texts) for word in it.words),
    ]
    return all(conditions)


@given(filters, records)
def test_selection_follows_the_conditions(it: NodeFilter, found: list[NodeRecord]) -> None:
    expected = [record for record in found if plainly(it, record)]
    assert list(it.select(found)) == expected
    assert [record for record in found if it.matches(record)] == expected


@pytest.mark.parametrize(
    ("text", "matches"),
    [("LAMP desk", True), ("  ", True), ("lamp chair", False), ("straße", True), ("STRASSE", True)],
)
def test_text_matches_words_in_any_order_and_case(text: str, matches: bool) -> None:
    record = NodeRecord(uid="n", annotations=Annotations(label="Desk Lamp", notes="Straße 5"))
    assert NodeFilter(words=NodeFilter.words_of(text)).matches(record) is matches


def test_nodes_that_wait_or_are_banned_are_selected_only_by_their_state() -> None:
    found = [NodeRecord(uid="a", admission="waiting"), NodeRecord(uid="b", admission="banned")]
    assert list(NodeFilter().select(found)) == []
    assert list(NodeFilter(states=None).select(found)) == found


def test_absent_condition_stays_absent() -> None:
    assert frozen(None) is None
    assert frozen(["a", "a"]) == frozenset("a")


# -- the text of many nodes -----------------------------------------------------------------------


def test_block_has_words_of_its_nodes_also_after_edits() -> None:
    registry = Registry()
    for number in range(BLOCK_NODES + 10):
        registry.appear(f"n{number}", "g", "CoAP", 1.0)
    blocks = [list(registry.records.values())[:5], list(registry.records.values())[-5:]]
    assert registry.texts.may_have(["n2"], blocks[0])
    assert not registry.texts.may_have(["lamp"], blocks[1])
    edit = Edit(label="Desk LAMP", room="Hall", notes="spare", tags=("a",))
    registry.replace(registry.edited(f"n{BLOCK_NODES + 9}", edit))
    assert registry.texts.may_have(["lamp", "hall", "spare", "a"], blocks[1])
    assert not registry.texts.may_have(["lamp"], blocks[0])


def test_kept_text_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_texts, "TEXTS_LENGTH_MAX", 10)
    texts = SearchTexts()
    large = [NodeRecord(uid="n" * 20, number=1)]
    small = [NodeRecord(uid="m", number=BLOCK_NODES)]
    for _ in range(2):
        assert texts.may_have(["nn"], large)
        assert texts.may_have(["m"], small)
    assert list(texts._texts.values()) == ["m"]
    texts.changed(BLOCK_NODES)
    assert texts._length == 0
