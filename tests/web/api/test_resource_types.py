# SPDX-License-Identifier: BSD-3-Clause
"""Types of resources over the HTTP API and through the Python client."""

import pytest

from pyaiot.client import ApiProblem, Coordinates
from pyaiot.messages import NodeAppeared, NodeDescribed
from pyaiot.model import ResourceType
from pyaiot.registry.resource_types import Types
from tests.client.test_registry import lab
from tests.web.api.test_registry import call, problem
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

SPEED = ResourceType(kind="number", unit="/100", minimum=0, maximum=100, writable=True)


def described_of(served: Served) -> Types:
    record = served.broker.router.registry.get("n")
    return {} if record is None else record.described


async def has(served: Served, resource: str) -> None:
    """Wait until `board` has a reading of this resource."""
    node = served.broker.router.nodes.get("board")
    assert node is not None
    await eventually(lambda: resource in node.readings)


async def test_a_node_has_the_types_of_its_resources_and_a_page_has_not() -> None:
    async with serving() as served:
        served.gateway.send("n", "led", "0")
        served.gateway.send("n", "temperature", "23.5°C")
        served.gateway.link.send(NodeDescribed(uid="n", types={"speed": SPEED}))
        await eventually(lambda: "speed" in described_of(served))
        node = await served.json("/api/nodes/n")
        assert node["resource_types"] == {
            "led": {
                "kind": "boolean",
                "on": "1",
                "off": "0",
                "writable": True,
                "device_class": "light",
                "source": "inferred",
            },
            "speed": {
                "kind": "number",
                "unit": "/100",
                "minimum": 0.0,
                "maximum": 100.0,
                "writable": True,
                "source": "metadata",
            },
            "temperature": {
                "kind": "number",
                "unit": "Cel",
                "device_class": "temperature",
                "source": "unit",
            },
        }
        (listed,) = (await served.json("/api/nodes"))["nodes"]
        assert "resource_types" not in listed
        assert listed["types"] == {}


async def test_people_state_a_type_field_by_field() -> None:
    async with serving() as served:
        served.gateway.link.send(NodeAppeared(uid="n"))
        await served.known("n")
        for patch, types in (
            (
                {"led": {"label": " Lamp ", "on": "an", "off": "aus"}},
                {"led": {"label": "Lamp", "on": "an", "off": "aus", "source": "people"}},
            ),
            (
                {"led": {"on": None, "off": None}, "speed": {"maximum": 5}},
                {
                    "led": {"label": "Lamp", "source": "people"},
                    "speed": {"maximum": 5.0, "source": "people"},
                },
            ),
            ({"led": None}, {"speed": {"maximum": 5.0, "source": "people"}}),
            ({"speed": {"maximum": None}}, {}),
        ):
            _, answer, _ = await call(served, "PATCH", "/api/nodes/n", {"types": patch})
            assert answer["types"] == types
        _, answer, _ = await call(served, "PATCH", "/api/nodes/n", {"types": {"a": {"unit": "V"}}})
        assert answer["resource_types"]["a"] == {"kind": "number", "unit": "V", "source": "people"}
        _, answer, _ = await call(served, "PATCH", "/api/nodes/n", {"types": None})
        assert answer["types"] == answer["resource_types"] == {}


@pytest.mark.parametrize(
    "types",
    [
        {"led": {"kind": "sound"}},
        {"led": {"colour": "red"}},
        {"led": {"minimum": 2, "maximum": 1}},
        {"led": {"choices": ["a"] * 65}},
        {"led": {"choices": ["a" * 65]}},
        {"led": {"kind": "enum"}},
        {"led": {"label": "a\nb"}},
        {"": {}},
        {"a\nb": {"unit": "V"}},
        {f"r{i}": {"unit": "V"} for i in range(265)},
        {f"r{i}": {"choices": [f"{i:064}" for i in range(64)]} for i in range(5)},
    ],
)
async def test_a_type_that_is_not_valid_changes_nothing(types: object) -> None:
    async with serving() as served:
        served.gateway.link.send(NodeAppeared(uid="n"))
        await served.known("n")
        status, answer, _ = await call(served, "PATCH", "/api/nodes/n", {"types": types})
        assert status == 400
        assert problem(answer) == "bad-request"
        assert (await served.json("/api/nodes/n"))["revision"] == 0


async def test_a_program_reads_and_states_types() -> None:
    async with lab() as (served, it):
        led = (await it.node("board")).resource("led")
        assert (led.type.kind, led.value, led.name) == ("boolean", False, "led")
        (listed, _) = await it.find_nodes()
        assert listed.resource("led").type.kind == "boolean"
        with pytest.raises(KeyError):
            listed.resource("speed")
        stated = await it.set_type("board", "speed", kind="number", minimum=0, maximum=100)
        assert (stated.maximum, stated.source) == (100, "people")
        assert (await it.node("board")).resource("speed").value is None
        assert (await it.clear_type("board", "speed")).kind == ""
        with pytest.raises(ApiProblem) as refused:
            await it.set_type("board", "speed", minimum=2, maximum=1)
        assert refused.value.kind == "bad-request"
        served.gateway.send("board", "position", '{"lat":48.5,"lng":2.25}')
        served.gateway.send("board", "odd", "x")
        await has(served, "odd")
        node = await it.node("board")
        assert node.resource("position").value == Coordinates(48.5, 2.25)
        await it.set_type("board", "odd", kind="number")
        assert (await it.node("board")).resource("odd").value is None


async def test_a_command_that_the_type_does_not_allow_is_refused_with_the_reason() -> None:
    async with lab(live=True) as (served, it):
        served.gateway.link.send(NodeDescribed(uid="board", types={"speed": SPEED}))
        served.gateway.send("board", "other", "1")
        await has(served, "other")
        receipt = await it.set("board", "speed", 101)
        assert (receipt.state, receipt.detail) == (
            "refused",
            "it takes a number from 0 to 100 /100",
        )
