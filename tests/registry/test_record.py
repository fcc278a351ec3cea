# SPDX-License-Identifier: BSD-3-Clause
"""Edits, rows and last values of one node."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from pyaiot.errors import ProtocolError
from pyaiot.messages import Reading, encode
from pyaiot.model import ResourceType
from pyaiot.registry import last_values
from pyaiot.registry.last_values import (
    VALUES_OF_NODE_MAX,
    VALUES_SMALL,
    ValuesBudget,
    decode_values,
    encode_values,
    size_of,
)
from pyaiot.registry.record import (
    COLUMNS,
    NOTES_LENGTH_MAX,
    NOTHING_ADDED,
    TAGS_MAX,
    Annotations,
    Edit,
    NodeRecord,
    edited_row,
    observed_row,
    record_of,
)
from pyaiot.registry.resource_types import TypeEdit

TS = 1_800_000_000.0
FULL = Annotations(
    label="Desk lamp",
    room="Hall",
    latitude=48.7,
    longitude=2.2,
    tags=("a", "b"),
    notes="first\nsecond\tline",
    interval_s=900.0,
    offline_after_s=3600.0,
    types={"led": ResourceType(kind="boolean", on="an", off="aus", source="people")},
)


def decoded(text: str) -> Edit:
    return msgspec.json.decode(text, type=Edit)


# -- edits ----------------------------------------------------------------------------------------


def test_absent_fields_stay_and_null_clears() -> None:
    assert decoded("{}").apply(FULL) == FULL
    cleared = decoded('{"label":null,"latitude":null,"longitude":null,"tags":null}').apply(FULL)
    assert (cleared.label, cleared.latitude, cleared.longitude, cleared.tags) == (
        "",
        None,
        None,
        (),
    )
    assert (cleared.room, cleared.notes, cleared.interval_s) == ("Hall", FULL.notes, 900.0)


def test_all_cleared_is_nothing_added() -> None:
    fields = dict.fromkeys(Annotations.__struct_fields__)
    assert decoded(encode(fields).decode()).apply(FULL) == NOTHING_ADDED


def test_tags_are_added_removed_and_unique() -> None:
    assert decoded('{"add_tags":["c","a"],"remove_tags":["b"]}').apply(FULL).tags == ("a", "c")
    assert decoded('{"tags":["x"," y ","x"]}').apply(FULL).tags == ("x", "y")


@pytest.mark.parametrize(
    "text",
    [
        '{"label":"a\\u0000b"}',
        '{"label":"a\\u202eb"}',
        '{"label":"a\\nb"}',
        '{"room":"\\u0007"}',
        '{"notes":"a\\u0000"}',
        '{"notes":"a\\u001cb"}',
        '{"notes":"a\\u2028b"}',
        '{"notes":"a\\u0085b"}',
        '{"notes":"a\\u000bb"}',
        '{"notes":"a\\rb"}',
        '{"notes":"\\u202eb"}',
        '{"tags":["a,b"]}',
        '{"tags":[" "]}',
        '{"tags":["a\\u200fb"]}',
        '{"latitude":48.7}',
    ],
)
def test_text_that_could_mislead_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        decoded(text).apply(NOTHING_ADDED)


@pytest.mark.parametrize(
    "text",
    [
        '{"label":"%s"}' % ("x" * 65),
        '{"notes":"%s"}' % ("x" * (NOTES_LENGTH_MAX + 1)),
        encode({"tags": list(map(str, range(TAGS_MAX + 1)))}).decode(),
        '{"latitude":91,"longitude":0}',
        '{"interval_s":-1}',
        '{"interval_s":1e300}',
        '{"admission":"waiting"}',
        '{"unknown":1}',
        '{"label":"\\ud800"}',
    ],
)
def test_values_beyond_the_limits_are_refused(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decoded(text)


def test_offline_timeout_is_0_or_at_least_a_second() -> None:
    for accepted in (0.0, 1.0, 86_400.0):
        assert Edit(offline_after_s=accepted).apply(NOTHING_ADDED).offline_after_s == accepted
    for refused in (1e-7, 0.5):
        with pytest.raises(ProtocolError, match="at least 1 s"):
            Edit(offline_after_s=refused).apply(NOTHING_ADDED)


def test_added_tags_count_with_those_that_are_there() -> None:
    before = msgspec.structs.replace(FULL, tags=tuple(map(str, range(TAGS_MAX))))
    with pytest.raises(ProtocolError, match=f"at most {TAGS_MAX} tags"):
        decoded('{"add_tags":["one more"]}').apply(before)


def test_notes_of_windows_and_formulas_are_text() -> None:
    notes = "=1+1\r\n@SUM(A1)\t\r\n-2"
    assert Edit(notes=notes).apply(NOTHING_ADDED).notes == notes


type_edits = st.builds(
    TypeEdit,
    kind=st.sampled_from([UNSET, None, "number", "enum", "boolean"]),
    unit=st.just(UNSET) | st.none() | st.text(max_size=4),
    minimum=st.just(UNSET) | st.none() | st.floats(),
    maximum=st.just(UNSET) | st.none() | st.floats(),
    choices=st.just(UNSET) | st.none() | st.lists(st.text(max_size=4), max_size=3).map(tuple),
    writable=st.sampled_from([UNSET, None, True, False]),
    on=st.just(UNSET) | st.none() | st.text(max_size=4),
    off=st.just(UNSET) | st.none() | st.text(max_size=4),
)
edits = st.builds(
    Edit,
    label=st.one_of(st.just(UNSET), st.none(), st.text(max_size=8)),
    room=st.one_of(st.just(UNSET), st.none(), st.text(max_size=8)),
    tags=st.one_of(st.just(UNSET), st.none(), st.lists(st.text(max_size=4)).map(tuple)),
    add_tags=st.one_of(st.just(UNSET), st.lists(st.text(max_size=4)).map(tuple)),
    remove_tags=st.one_of(st.just(UNSET), st.lists(st.text(max_size=4)).map(tuple)),
    notes=st.one_of(st.just(UNSET), st.none(), st.text(max_size=8)),
    types=st.one_of(
        st.just(UNSET),
        st.none(),
        st.dictionaries(st.text(min_size=1, max_size=4), st.none() | type_edits, max_size=3),
    ),
)


@given(st.lists(edits, max_size=5))
def test_what_was_accepted_survives_a_store(several: list[Edit]) -> None:
    annotations = NOTHING_ADDED
    for edit in several:
        try:
            annotations = edit.apply(annotations)
        except ProtocolError:
            continue
    record = NodeRecord(uid="n", revision=len(several), annotations=annotations)
    row = (*observed_row(record), record.values.decode(), *edited_row(record)[1:])
    assert record_of(row) == record


def test_records_of_a_store_share_what_is_equal() -> None:
    """100,000 nodes may take 1,000 bytes each."""
    added = Annotations(label="Lamp", room="Hall 1", tags=("board",))
    record = NodeRecord(uid="n", gateway="roof 1", revision=1, annotations=added)

    def read() -> NodeRecord:
        row = (*observed_row(record), "[]", *edited_row(record)[1:])
        # A store returns new objects.
        return record_of(msgspec.json.decode(msgspec.json.encode(row), type=tuple))

    one, other = read(), read()
    assert one.gateway is other.gateway
    assert one.described is other.described
    for name in ("room", "tags", "interval_s", "offline_after_s", "types"):
        assert getattr(one.annotations, name) is getattr(other.annotations, name), name


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((0, ""), (0, "x" * 65), (0, 5), (1, None), (8, None), (8, "{]"), (10, "other")),
        *((16, "no json"), (20, '{"a":{"step":0}}')),
    ],
)
def test_row_of_another_program_is_an_error(column: int, value: object) -> None:
    record = NodeRecord(uid="n", annotations=FULL)
    row = [*observed_row(record), record.values.decode(), *edited_row(record)[1:]]
    row[column] = value
    with pytest.raises((ValueError, LookupError, TypeError)):
        record_of(tuple(row))


@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=COLUMNS)
def test_column_of_another_type_is_an_error(column: int) -> None:
    record = NodeRecord(uid="n", annotations=FULL)
    row = [*observed_row(record), record.values.decode(), *edited_row(record)[1:]]
    row[column] = b"\x80"
    with pytest.raises(TypeError):
        record_of(tuple(row))


# -- last values ----------------------------------------------------------------------------------


def of(resource: str, data: object) -> Reading:
    return Reading.received("n", resource, data, TS)


def test_values_have_the_fields_of_their_readings() -> None:
    (value,) = decode_values(encode_values([of("temperature", "21.5°C")]))
    assert (value.resource, value.data, value.number, value.unit, value.ts) == (
        "temperature",
        "21.5°C",
        21.5,
        "Cel",
        TS,
    )


@pytest.mark.parametrize("damaged", [b"", b"[", b"{}", b'[["a",1]]', b'[{"endpoint":5}]', b"\xff"])
def test_damaged_values_are_none(damaged: bytes) -> None:
    assert decode_values(damaged) == []


def test_value_that_json_cannot_express_is_left_out() -> None:
    values = decode_values(encode_values([of("a", "1"), of("b", "\ud800"), of("c", {"x": 1})]))
    assert [value.resource for value in values] == ["a", "c"]


def test_of_many_large_values_the_small_ones_stay() -> None:
    large = [of(f"large{n}", "x" * 64_000) for n in range(8)]
    encoded = encode_values([of("first", "1"), *large, of("last", {"a": [1, 2]})])
    assert [value.resource for value in decode_values(encoded)] == ["first", "last"]
    full = encode_values([of(f"r{n}", "x" * 1000) for n in range(256)])
    assert VALUES_OF_NODE_MAX - 2000 < len(full) <= VALUES_OF_NODE_MAX


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=64),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.text(), st.integers(-(2**60), 2**60)),
                lambda inner: st.lists(inner, max_size=3),
                max_leaves=5,
            ),
        ),
        max_size=8,
    )
)
def test_size_is_an_upper_bound(pairs: list[tuple[str, object]]) -> None:
    readings = [of(resource, data) for resource, data in pairs]
    assert len(encode_values(readings)) <= size_of(readings)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 5 * VALUES_SMALL)),
        max_size=40,
    )
)
def test_budget_is_never_exceeded_and_drops_the_oldest(steps: list[tuple[str, int]]) -> None:
    budget = ValuesBudget()
    kept: dict[str, int] = {}
    most = 6 * VALUES_SMALL
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(last_values, "VALUES_MAX", most)
        for uid, size in steps:
            kept.pop(uid, None)
            if size > VALUES_SMALL:
                kept[uid] = size
            dropped = budget.keep(uid, size)
            assert dropped == list(kept)[: len(dropped)]
            for each in dropped:
                del kept[each]
            assert budget.used == sum(kept.values()) <= most
