# SPDX-License-Identifier: BSD-3-Clause
"""Types of resources at the broker: who may describe, what clients get, what commands may write."""

from collections.abc import Sequence

import pytest

from pyaiot.broker.deliveries import Delivery, ToAll, ToOneClient, ToOneGateway
from pyaiot.broker.encoders import ARRAYS, EVENTS, LEGACY
from pyaiot.broker.router import Router
from pyaiot.messages import (
    Command,
    Join,
    NodeAppeared,
    NodeDescribed,
    NodeLeft,
    NodeReset,
    Problem,
    Reading,
    Receipt,
)
from pyaiot.model import UNKNOWN, ResourceType, infer
from pyaiot.registry.record import Edit
from pyaiot.registry.registry import Registry
from pyaiot.registry.resource_types import DESCRIBED_SIZE_OF_GATEWAY_MAX, TypeEdit
from tests.broker.test_registered_nodes import System, approving, kinds
from tests.broker.test_router import OURS, THEIRS, TS, published, router, send, send_together

SPEED = ResourceType(kind="number", unit="/100", minimum=0, maximum=100, writable=True)
SPEED_STATED = ResourceType(
    kind="number", unit="/100", minimum=0, maximum=100, writable=True, source="metadata"
)
LED = infer("led", "0")


def described(deliveries: Sequence[Delivery]) -> list[dict[str, ResourceType]]:
    """What clients of the registry get."""
    return [
        dict(it.message.types)
        for it in deliveries
        if isinstance(it, ToAll) and isinstance(it.message, NodeDescribed) and it.is_registry
    ]


def reading(resource: str, data: object, uid: str = "A") -> Reading:
    return Reading.received(uid, resource, data, TS)


def describe(it: Router, gateway: int = OURS, **types: ResourceType) -> list[Delivery]:
    return send(it, NodeDescribed(uid="A", types=types), gateway)


def set_to(it: Router, resource: str, value: str) -> str | tuple[str, str]:
    """The payload that the gateway gets, or the receipt."""
    command = Command(id="1", uid="A", resource=resource, payload=value)
    (delivery,) = it.from_client("c", command, now=0.0)
    if isinstance(delivery, ToOneGateway):
        assert isinstance(delivery.message, Command)
        return delivery.message.payload
    assert isinstance(delivery, ToOneClient)
    assert isinstance(delivery.message, Receipt)
    return delivery.message.state, delivery.message.detail


def edit(it: Router, **types: TypeEdit | None) -> list[Delivery]:
    return list(it.edited(it.registry.edited("A", Edit(types=types)), TS))


def online() -> Router:
    it = router()
    send(it, NodeAppeared(uid="A"))
    return it


# -- what clients get -----------------------------------------------------------------------------


def test_a_resource_is_described_with_its_first_value_and_not_again() -> None:
    it = online()
    assert described(send(it, reading("led", "0"))) == [{"led": LED}]
    assert described(send(it, reading("led", "1"))) == []
    send(it, NodeReset(uid="A"))
    assert described(send(it, reading("led", "1"))) == []


def test_what_a_reading_shows_is_not_described() -> None:
    it = online()
    for resource, data in (("temperature", "23.5°C"), ("board", "samr21"), ("version", "1")):
        assert described(send(it, reading(resource, data))) == []


def test_metadata_is_sent_once_and_when_it_changes() -> None:
    it = online()
    assert described(describe(it, speed=SPEED)) == [{"speed": SPEED_STATED}]
    assert described(describe(it, speed=SPEED)) == []
    assert described(describe(it, led=ResourceType(label="Lamp"))) != []
    assert described(describe(it, speed=UNKNOWN)) == [{"speed": UNKNOWN}]


def test_a_complete_description_replaces_the_one_before() -> None:
    it = online()
    describe(it, speed=SPEED, mode=ResourceType(kind="text"))
    message = NodeDescribed(uid="A", types={"speed": SPEED}, complete=True)
    assert described(send(it, message)) == [{"mode": UNKNOWN}]


def test_only_the_owner_describes_a_node() -> None:
    it = online()
    (refusal,) = describe(it, THEIRS, led=ResourceType(kind="text"))
    assert isinstance(refusal, ToOneGateway)
    assert isinstance(refusal.message, Problem)
    assert refusal.message.owner == "ours"
    assert set_to(it, "led", "blink") == "blink"


def test_a_node_that_is_unknown_or_was_left_is_not_described() -> None:
    it = router()
    assert describe(it, speed=SPEED) == []
    send(it, NodeAppeared(uid="A"))
    send(it, NodeLeft(uid="A"))
    assert describe(it, speed=SPEED) == []


def test_a_described_node_has_its_types_when_it_returns() -> None:
    it = online()
    describe(it, speed=SPEED)
    send(it, NodeLeft(uid="A"))
    assert described(send(it, NodeAppeared(uid="A"))) == [{"speed": SPEED_STATED}]
    assert set_to(it, "speed", "101")[0] == "refused"


def test_other_clients_and_legacy_gateways_get_no_types() -> None:
    it = online()
    deliveries = [*send(it, reading("led", "0")), *describe(it, speed=SPEED)]
    assert not any(isinstance(message, NodeDescribed) for message in published(deliveries))


def test_the_types_of_one_gateway_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyaiot.registry.resource_types.DESCRIBED_SIZE_OF_GATEWAY_MAX", 300)
    assert DESCRIBED_SIZE_OF_GATEWAY_MAX > 300
    it = online()
    assert described(describe(it, a=ResourceType(label="x" * 60), b=SPEED)) != []
    (refusal,) = describe(it, c=ResourceType(label="x" * 60), d=SPEED)
    assert isinstance(refusal, ToOneGateway)
    assert isinstance(refusal.message, Problem)
    assert "too large" in refusal.message.detail
    # Others have room, and this one has again when the node is forgotten.
    send(it, NodeAppeared(uid="B"), THEIRS)
    theirs = NodeDescribed(uid="B", types={"d": SPEED, "e": ResourceType(label="x" * 60)})
    assert described(send(it, theirs, THEIRS)) != []
    assert described(describe(it, a=UNKNOWN, b=UNKNOWN)) != []
    assert described(describe(it, c=ResourceType(label="x" * 60), d=SPEED)) != []


def test_too_many_described_resources_are_refused() -> None:
    it = online()
    many = {f"r{i}": ResourceType(kind="text") for i in range(200)}
    send(it, NodeDescribed(uid="A", types=many))
    more = {f"s{i}": ResourceType(kind="text") for i in range(200)}
    (refusal,) = send(it, NodeDescribed(uid="A", types=more))
    assert isinstance(refusal, ToOneGateway)
    assert isinstance(refusal.message, Problem)


# -- people ---------------------------------------------------------------------------------------


def test_people_are_believed_before_metadata() -> None:
    it = online()
    describe(it, speed=SPEED)
    (types,) = described(edit(it, speed=TypeEdit(maximum=50)))
    assert (types["speed"].maximum, types["speed"].unit) == (50, "/100")
    assert set_to(it, "speed", "60") == (
        "refused",
        "it takes a number of at most 50 /100",
    )
    assert described(edit(it, speed=None)) == [{"speed": SPEED_STATED}]
    assert set_to(it, "speed", "60") == "60"


def test_an_edit_of_an_offline_node_is_sent() -> None:
    it = online()
    send(it, reading("led", "0"))
    send(it, NodeLeft(uid="A"))
    (types,) = described(edit(it, led=TypeEdit(label="Lamp")))
    assert types["led"].label == "Lamp"
    assert described(edit(it, led=None)) == [{"led": UNKNOWN}]


# -- units ----------------------------------------------------------------------------------------


def units(deliveries: Sequence[Delivery]) -> list[str]:
    return [it.unit for it in published(deliveries) if isinstance(it, Reading)]


def test_a_number_without_a_unit_gets_the_stated_one() -> None:
    it = online()
    assert units(send(it, reading("level", 40))) == [""]
    describe(it, level=ResourceType(kind="number", unit="%EL"))
    assert units(send(it, reading("level", 41))) == ["%EL"]
    batch = [reading("level", 42), reading("level", "43 V"), reading("level", "full")]
    assert units(send_together(it, batch)) == ["%EL", "V", ""]
    edit(it, level=TypeEdit(unit="/100"))
    assert units(send(it, reading("level", 44))) == ["/100"]
    describe(it, level=UNKNOWN)
    edit(it, level=None)
    assert units(send(it, reading("level", 45))) == [""]


def test_a_boolean_gets_no_unit() -> None:
    it = online()
    describe(it, led=ResourceType(kind="boolean", on="1", off="0"), level=SPEED)
    assert units(send(it, reading("led", "1"))) == [""]


# -- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "on", "1", "ON", "yes"])
@pytest.mark.parametrize(("data", "word"), [("0", "1"), ("OFF", "ON"), (False, "true")])
def test_words_become_those_of_the_device(value: str, data: object, word: str) -> None:
    it = online()
    send(it, reading("led", data))
    assert set_to(it, "led", value) == word


def test_what_is_only_inferred_refuses_nothing() -> None:
    it = online()
    send(it, reading("led", "0"))
    send(it, reading("board", "samr21"))
    assert set_to(it, "led", "blink") == "blink"
    assert set_to(it, "board", "x") == "x"
    assert set_to(it, "no such resource", "x") == "x"


def test_metadata_refuses_what_the_device_does_not_allow() -> None:
    it = online()
    describe(
        it,
        speed=SPEED,
        mode=ResourceType(kind="enum", choices=("auto", "heat")),
        sensor=ResourceType(kind="number", writable=False),
        button=ResourceType(kind="command", on="PRESS", writable=True),
    )
    assert set_to(it, "speed", "100") == "100"
    assert set_to(it, "speed", "101")[0] == "refused"
    assert set_to(it, "mode", "HEAT") == "heat"
    assert set_to(it, "mode", "cool") == ("refused", "it takes one of auto, heat")
    assert set_to(it, "sensor", "1") == ("refused", "the resource is read-only")
    assert set_to(it, "button", "") == "PRESS"


def test_links_refuse_nothing() -> None:
    it = online()
    describe(it, lamp=ResourceType(kind="boolean", writable=False, source="links"))
    assert set_to(it, "lamp", "bright") == "bright"


def test_a_refused_command_takes_no_place_among_those_in_flight() -> None:
    it = online()
    describe(it, speed=SPEED)
    assert set_to(it, "speed", "101")[0] == "refused"
    assert len(it.commands) == 0


# -- over a link ----------------------------------------------------------------------------------


async def test_a_client_of_the_registry_gets_types_when_it_joins_and_later() -> None:
    system = System()
    await system.send(NodeAppeared(uid="n"), reading("led", "0", "n"))
    (_, joined), (_, plain) = system.client(), system.client(join=Join(data="client"))
    (_, legacy), (_, events) = system.client(LEGACY), system.client(EVENTS)
    assert kinds(joined) == ["node online", "describe", "new", "update"]
    (types,) = (it["types"] for it in joined.messages if it["type"] == "describe")
    assert types["led"]["kind"] == "boolean"
    await system.send(NodeDescribed(uid="n", types={"speed": SPEED}))
    assert kinds(joined)[-1] == "describe"
    for other in (plain, legacy):
        assert "describe" not in kinds(other)
    assert b"describe" not in b"".join(events.writes)
    await system.send(NodeLeft(uid="n"))
    (_, later) = system.client()
    assert kinds(later) == ["node offline", "describe"]
    (types,) = (it["types"] for it in later.messages if it["type"] == "describe")
    assert set(types) == {"speed"}
    await system.end()


async def test_types_of_a_newcomer_are_sent_when_it_is_accepted() -> None:
    system = System(approving())
    _, client = system.client(ARRAYS)
    await system.send(NodeAppeared(uid="n"), reading("led", "0", "n"))
    await system.send(NodeDescribed(uid="n", types={"speed": SPEED}))
    assert "describe" not in kinds(client)
    await system.edit("n", Edit(admission="accepted"))
    assert kinds(client)[-4:] == ["node online", "describe", "new", "update"]
    await system.end()


def test_a_registry_that_is_loaded_has_what_was_described() -> None:
    registry = Registry()
    record = registry.appear("A", "ours", "MQTT", TS)
    registry.describe(record, {"speed": SPEED}, complete=False)
    again = Registry()
    again.load([record])
    found = again.get("A")
    assert found is not None
    assert dict(found.described) == {"speed": SPEED_STATED}
