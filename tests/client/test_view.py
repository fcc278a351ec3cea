# SPDX-License-Identifier: BSD-3-Clause
"""What a client knows, over any number of connections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.client.view import Event, View
from pyaiot.messages import (
    GatewayState,
    Joined,
    NodeAppeared,
    NodeLeft,
    NodeReset,
    Reading,
    ToClient,
)

JOINED = Joined(nodes=0, ts=9.0)


def reading(uid: str, resource: str, data: str, ts: float = 1.0) -> Reading:
    return Reading(uid=uid, resource=resource, data=data, ts=ts)


def told(view: View, *messages: ToClient) -> list[Event]:
    return [event for message in messages for event in view.apply(message)]


def joined(*messages: ToClient) -> View:
    view = View()
    view.begin()
    assert told(view, *messages) == []
    view.apply(JOINED)
    return view


def values(view: View) -> dict[str, dict[str, object]]:
    return {
        uid: {name: reading.data for name, reading in node.resources.items()}
        for uid, node in view.nodes.items()
    }


def test_nothing_is_told_before_everything_is_known() -> None:
    view = View()
    view.begin()
    appeared, led = NodeAppeared(uid="n", ts=1.0), reading("n", "led", "0")
    assert told(view, appeared, led) == []
    assert view.nodes == {}
    assert told(view, JOINED) == [appeared, led]
    assert values(view) == {"n": {"led": "0"}}


def test_a_message_changes_what_is_known() -> None:
    view = joined(NodeAppeared(uid="n"), reading("n", "led", "0"))
    assert told(view, reading("n", "led", "1")) == [reading("n", "led", "1")]
    assert values(view) == {"n": {"led": "1"}}
    assert told(view, NodeAppeared(uid="n", gateway="other")) == []
    assert values(view) == {"n": {"led": "1"}}
    assert view.nodes["n"].gateway == "other"
    assert told(view, NodeReset(uid="n")) == [NodeReset(uid="n")]
    assert values(view) == {"n": {}}
    assert told(view, NodeLeft(uid="n"), NodeLeft(uid="n")) == [NodeLeft(uid="n")]
    assert view.nodes == {}


def test_gateways_come_and_go() -> None:
    up = GatewayState(name="g", protocol="CoAP", state="connected")
    view = joined(up)
    assert view.gateways == {"g": up}
    view.begin()
    (lost,) = told(view, JOINED)
    assert isinstance(lost, GatewayState)
    assert (lost.name, lost.state, lost.ts) == ("g", "lost", 9.0)
    assert view.gateways == {}


def test_after_a_new_connection_only_what_changed_is_told() -> None:
    view = joined(
        NodeAppeared(uid="same"),
        reading("same", "led", "0"),
        NodeAppeared(uid="gone"),
        NodeAppeared(uid="reset"),
        reading("reset", "led", "0"),
        reading("reset", "old", "0"),
    )
    view.begin()
    events = told(
        view,
        NodeAppeared(uid="same"),
        reading("same", "led", "0"),
        reading("same", "new", "1"),
        NodeAppeared(uid="reset"),
        reading("reset", "led", "0"),
        NodeAppeared(uid="fresh"),
        JOINED,
    )
    assert events == [
        NodeLeft(uid="gone", ts=9.0),
        reading("same", "new", "1"),
        NodeReset(uid="reset", ts=9.0),
        reading("reset", "led", "0"),
        NodeAppeared(uid="fresh"),
    ]
    assert set(view.nodes) == {"same", "reset", "fresh"}


@pytest.mark.parametrize(("data", "name"), [("Lamp", "Lamp"), (3, "n")])
def test_a_node_is_called_what_it_calls_itself(data: object, name: str) -> None:
    view = joined(NodeAppeared(uid="n", ts=4.0), Reading(uid="n", resource="name", data=data, ts=5))
    assert view.nodes["n"].name == name
    assert view.nodes["n"].heard_at == 5.0


_uids = st.sampled_from("ab")
_messages = st.one_of(
    st.builds(NodeAppeared, uid=_uids),
    st.builds(NodeLeft, uid=_uids),
    st.builds(NodeReset, uid=_uids),
    st.builds(reading, _uids, st.sampled_from("xy"), st.sampled_from("01")),
)


@given(st.lists(st.lists(_messages)))
def test_events_add_up_to_what_is_known(connections: list[list[ToClient]]) -> None:
    view = View()
    follower: dict[str, dict[str, object]] = {}
    for messages in connections:
        view.begin()
        half = len(messages) // 2
        for event in told(view, *messages[:half], JOINED, *messages[half:]):
            match event:
                case NodeAppeared(uid=uid):
                    follower.setdefault(uid, {})
                case Reading(uid=uid, resource=resource, data=data):
                    follower.setdefault(uid, {})[resource] = data
                case NodeReset(uid=uid):
                    follower[uid] = {}
                case NodeLeft(uid=uid):
                    del follower[uid]
        assert follower == values(view)
