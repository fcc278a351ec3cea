# SPDX-License-Identifier: BSD-3-Clause
"""The queue of a slow receiver: bounded, in order, readings conflated to the latest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.backlog import ENTRY_COST, Backlog, BacklogFull, cost, costs
from pyaiot.messages import Message, NodeAppeared, NodeLeft, Reading


def reading(uid: str, value: int) -> Reading:
    return Reading(uid=uid, resource="t", data=str(value))


def filled(messages: list[Message], plain_max: int = 0, cost_max: int = 10**9) -> Backlog[Message]:
    it: Backlog[Message] = Backlog(cost_max=cost_max, plain_max=plain_max)
    for message in messages:
        it.add(message)
    return it


def test_only_the_latest_reading_of_a_resource_waits() -> None:
    it = filled([reading("A", 1), reading("B", 1), reading("A", 2)])
    assert it.take(10) == [reading("B", 1), reading("A", 2)]
    assert it.conflated == 1


def test_below_the_plain_limit_everything_waits() -> None:
    messages: list[Message] = [reading("A", value) for value in range(5)]
    assert filled(messages, plain_max=5).take(10) == messages


def test_reading_never_moves_before_an_event_that_came_before_it() -> None:
    it = filled([reading("A", 1), NodeLeft(uid="A"), NodeAppeared(uid="A"), reading("A", 2)])
    assert it.take(10) == [NodeLeft(uid="A"), NodeAppeared(uid="A"), reading("A", 2)]


def test_full_backlog_raises_and_is_empty() -> None:
    it: Backlog[Message] = Backlog(cost_max=3 * ENTRY_COST)
    for _ in range(3):
        it.add(NodeAppeared(uid="A"))
    with pytest.raises(BacklogFull, match="3 messages behind"):
        it.add(NodeAppeared(uid="A"))
    assert len(it) == 0
    it.add(NodeAppeared(uid="A"))


def test_at_the_limit_of_bytes_the_latest_readings_wait() -> None:
    """Large values must not end a slow receiver that its latest values would fit."""
    large = [
        Reading(uid=uid, resource="js", data=f"{value:03}" * 1000)
        for value in range(400)
        for uid in "AB"
    ]
    it = filled([NodeAppeared(uid="A"), *large], plain_max=1000, cost_max=20_000)
    assert it.take(10) == [NodeAppeared(uid="A"), *large[-2:]]
    assert it.conflated == 798
    # Empty again, it keeps each message.
    it.add_all(large[:4], costs(large[:4]))
    assert it.take(10) == large[:4]


def test_events_at_the_limit_of_bytes_are_not_conflated() -> None:
    with pytest.raises(BacklogFull):
        filled([NodeAppeared(uid="A")] * 9, plain_max=1000, cost_max=8 * ENTRY_COST)


def test_cost_of_long_text_is_its_size() -> None:
    it: Backlog[Message] = Backlog(cost_max=10_000)
    with pytest.raises(BacklogFull):
        it.add(Reading(uid="A", resource="js", data="x" * 10_000))


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.sampled_from(["new", "out", "update"])), max_size=60
    ),
    st.integers(0, 8),
    st.integers(1, 8),
    st.integers(0, 60),
)
def test_slow_receiver_ends_with_the_state_of_a_fast_one(
    script: list[tuple[str, str]], plain_max: int, count_max: int, room: int
) -> None:
    def state(messages: list[Message]) -> dict[str, object]:
        nodes: dict[str, object] = {}
        for message in messages:
            match message:
                case NodeAppeared(uid=uid):
                    nodes[uid] = None
                case NodeLeft(uid=uid):
                    nodes.pop(uid, None)
                case Reading(uid=uid, data=data):
                    nodes[uid] = data
                case _:
                    raise AssertionError(message)
        return nodes

    messages: list[Message] = []
    for value, (uid, kind) in enumerate(script):
        match kind:
            case "new":
                messages.append(NodeAppeared(uid=uid))
            case "out":
                messages.append(NodeLeft(uid=uid))
            case _:
                messages.append(reading(uid, value))
    try:
        it = filled(messages, plain_max, cost_max=room * 300)
    except BacklogFull:
        return
    late: list[Message] = []
    while part := it.take(count_max):
        late += part
    assert state(late) == state(messages)
    events = [item for item in messages if not isinstance(item, Reading)]
    assert [item for item in late if not isinstance(item, Reading)] == events


# Python measures a long text that is not ASCII as larger once it was encoded.
VALUES = (
    st.text(max_size=32)
    | st.text("x", min_size=33)
    | st.integers()
    | st.lists(st.none(), max_size=3)
)
MESSAGES = st.lists(
    st.builds(Reading, uid=st.sampled_from("AB"), resource=st.sampled_from("tu"), data=VALUES)
    | st.sampled_from([NodeAppeared(uid="A"), NodeLeft(uid="A")]),
    max_size=8,
)


@given(st.lists(MESSAGES), st.integers(0, 12), st.integers(0, 6000))
def test_messages_added_together_are_as_messages_added_one_by_one(
    batches: list[list[Message]], plain_max: int, cost_max: int
) -> None:
    together: Backlog[Message] = Backlog(cost_max=cost_max, plain_max=plain_max)
    single: Backlog[Message] = Backlog(cost_max=cost_max, plain_max=plain_max)
    for batch in batches:
        assert costs(batch) == [cost(message) for message in batch]
        full = [False, False]
        try:
            together.add_all(batch, costs(batch))
        except BacklogFull:
            full[0] = True
        try:
            for message in batch:
                single.add(message)
        except BacklogFull:
            full[1] = True
        assert full[0] == full[1]
        assert (together.cost, together.conflated) == (single.cost, single.conflated)
    assert together.take(1000) == single.take(1000)
