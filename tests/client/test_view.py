# SPDX-License-Identifier: BSD-3-Clause
"""The view of a client, across reconnections."""

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
    Subscription,
    ToClient,
)

JOINED = Joined(nodes=0, ts=9.0)


def reading(uid: str, resource: str, data: str, ts: float = 1.0) -> Reading:
    return Reading(uid=uid, resource=resource, data=data, ts=ts)


def events_of(view: View, *messages: ToClient) -> list[Event]:
    return [event for message in messages for event in view.apply(message)]


def joined(*messages: ToClient) -> View:
    view = View()
    view.begin()
    assert events_of(view, *messages) == []
    view.apply(JOINED)
    return view


def values(view: View) -> dict[str, dict[str, object]]:
    return {
        uid: {name: reading.data for name, reading in node.resources.items()}
        for uid, node in view.nodes.items()
    }


def test_no_events_before_the_state_is_complete() -> None:
    view = View()
    view.begin()
    appeared, led = NodeAppeared(uid="n", ts=1.0), reading("n", "led", "0")
    assert events_of(view, appeared, led) == []
    assert view.nodes == {}
    assert events_of(view, JOINED) == [appeared, led]
    assert values(view) == {"n": {"led": "0"}}


@pytest.mark.parametrize("is_joined", [False, True])
def test_messages_before_the_broker_has_read_the_subscription_are_ignored(is_joined: bool) -> None:
    view = View(Subscription(uids=("n",), resources=("led",)))
    view.begin()
    other, name, led = (
        Reading(uid=uid, resource=resource, data="0")
        for uid, resource in (("other", "led"), ("n", "name"), ("n", "led"))
    )
    if is_joined:
        view.apply(JOINED)
    events_of(view, NodeAppeared(uid="other"), other, name, led)
    if not is_joined:
        view.apply(JOINED)
    assert values(view) == {"n": {"led": "0"}}


def test_messages_change_the_view() -> None:
    view = joined(NodeAppeared(uid="n"), reading("n", "led", "0"))
    assert events_of(view, reading("n", "led", "1")) == [reading("n", "led", "1")]
    assert values(view) == {"n": {"led": "1"}}
    assert events_of(view, NodeAppeared(uid="n", gateway="other")) == []
    assert values(view) == {"n": {"led": "1"}}
    assert view.nodes["n"].gateway == "other"
    assert events_of(view, NodeReset(uid="n")) == [NodeReset(uid="n")]
    assert values(view) == {"n": {}}
    assert events_of(view, NodeLeft(uid="n"), NodeLeft(uid="n")) == [NodeLeft(uid="n")]
    assert view.nodes == {}


def test_gateways_come_and_go() -> None:
    up = GatewayState(name="g", protocol="CoAP", state="connected")
    view = joined(up)
    assert view.gateways == {"g": up}
    view.begin()
    (lost,) = events_of(view, JOINED)
    assert isinstance(lost, GatewayState)
    assert (lost.name, lost.state, lost.ts) == ("g", "lost", 9.0)
    assert view.gateways == {}


def test_reconnection_yields_only_changes() -> None:
    view = joined(
        NodeAppeared(uid="same"),
        reading("same", "led", "0"),
        NodeAppeared(uid="gone"),
        NodeAppeared(uid="reset"),
        reading("reset", "led", "0"),
        reading("reset", "old", "0"),
    )
    view.begin()
    events = events_of(
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
def test_name_of_a_node_is_its_resource_name(data: object, name: str) -> None:
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
def test_events_add_up_to_the_view(connections: list[list[ToClient]]) -> None:
    view = View()
    follower: dict[str, dict[str, object]] = {}
    for messages in connections:
        view.begin()
        half = len(messages) // 2
        for event in events_of(view, *messages[:half], JOINED, *messages[half:]):
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
