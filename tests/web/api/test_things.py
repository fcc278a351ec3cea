# SPDX-License-Identifier: BSD-3-Clause
"""Thing Descriptions of nodes, and the values that they point to."""

from typing import Any
from urllib.parse import urljoin

import pytest

from pyaiot.messages import NodeAppeared, NodeDescribed, NodeLeft
from pyaiot.model import ResourceType
from pyaiot.registry.record import Annotations, NodeRecord
from pyaiot.web.api.thing_description import CONTEXT, thing_description
from tests.web.serving import Served, eventually, serving

UNKNOWN_KIND = ResourceType(label="Odd")
TYPES = {
    "temperature": ResourceType(kind="number", unit="Cel", writable=False),
    "speed": ResourceType(kind="number", unit="/100", minimum=0, maximum=100, step=5),
    "steps": ResourceType(kind="number", step=0.5),
    "led": ResourceType(kind="boolean", on="ON", off="OFF", writable=True, label="Lamp"),
    "mode": ResourceType(kind="enum", choices=("auto", "off"), writable=True),
    "text/ü": ResourceType(kind="text", minimum=1, maximum=20, writable=True),
    "restart": ResourceType(kind="command", on="PRESS"),
    "robot": ResourceType(kind="command", choices=("u", "s")),
    "glow": ResourceType(kind="colour", writable=True),
    "position": ResourceType(kind="position", writable=False),
    "imu": ResourceType(kind="vector", writable=False),
    "status": ResourceType(kind="json", writable=False),
    "odd": UNKNOWN_KIND,
}


def described(*, signs_in: bool = False) -> dict[str, Any]:
    record = NodeRecord(uid="a/b", annotations=Annotations(label="Desk", notes="New."))
    return thing_description(record, TYPES, "http://host:8000/", signs_in=signs_in)


def test_a_node_has_what_the_standard_requires() -> None:
    thing = described()
    assert thing["@context"][0] == CONTEXT
    assert thing["id"] == "http://host:8000/things/a%2Fb"
    assert (thing["title"], thing["description"]) == ("Desk", "New.")
    assert thing["security"] == list(thing["securityDefinitions"]) == ["nosec_sc"]
    assert described(signs_in=True)["securityDefinitions"] == {"bearer_sc": {"scheme": "bearer"}}


def test_each_kind_has_its_schema() -> None:
    properties = described()["properties"]
    assert properties.keys() | {"restart", "robot", "odd"} == TYPES.keys()
    schemas = {
        name: {key: it for key, it in found.items() if key not in ("forms", "observable")}
        for name, found in properties.items()
    }
    assert schemas["temperature"] == {"type": "number", "unit": "Cel", "readOnly": True}
    assert schemas["speed"] == {
        "type": "number",
        "unit": "/100",
        "minimum": 0,
        "maximum": 100,
        "readOnly": False,
    }
    assert schemas["steps"]["multipleOf"] == 0.5
    assert schemas["led"] == {"title": "Lamp", "type": "boolean", "readOnly": False}
    assert schemas["mode"]["enum"] == ["auto", "off"]
    assert schemas["text/ü"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 20,
        "readOnly": False,
    }
    assert schemas["glow"]["pattern"] == "^#[0-9a-f]{6}$"
    assert schemas["position"]["required"] == ["lat", "lng"]
    assert "type" not in schemas["status"]


def test_forms_name_the_operations_that_are_possible() -> None:
    thing = described()
    (reading,) = thing["properties"]["temperature"]["forms"]
    assert reading["op"] == ["readproperty"]
    reading, writing = thing["properties"]["text/ü"]["forms"]
    assert reading["href"] == "resources/text%2F%C3%BC/value"
    assert (writing["op"], writing["htv:methodName"]) == (["writeproperty"], "PUT")
    assert thing["base"] == "http://host:8000/api/nodes/a%2Fb/"
    (press,) = thing["actions"]["restart"]["forms"]
    assert press["op"] == ["invokeaction"]
    assert thing["actions"]["robot"]["input"] == {"type": "string", "enum": ["u", "s"]}


# -- over HTTP ------------------------------------------------------------------------------------


async def home(served: Served) -> dict[str, Any]:
    """A node with some resources; returns its description."""
    served.gateway.otherwise = "confirmed"
    served.gateway.link.send(NodeAppeared(uid="n"))
    types = {name: it for name, it in TYPES.items() if name in ("led", "mode", "restart")}
    served.gateway.link.send(NodeDescribed(uid="n", types=types))
    for name, data in (("led", "ON"), ("mode", "auto"), ("temperature", "23.5°C")):
        served.gateway.send("n", name, data)
    await served.known("n")
    node = served.broker.router.nodes.get("n")
    assert node is not None
    await eventually(lambda: "temperature" in node.readings)
    thing: dict[str, Any] = await served.json("/things/n")
    return thing


@pytest.mark.sockets
async def test_a_program_that_knows_only_the_standard_reads_and_writes() -> None:
    async with serving() as served:
        thing = await home(served)
        for name, value in (("led", True), ("mode", "auto"), ("temperature", 23.5)):
            (form, *_) = thing["properties"][name]["forms"]
            url = urljoin(thing["base"], form["href"])
            async with served.web.get(url) as answer:
                assert await answer.json() == value
        for kind, name, value, payload in (
            ("properties", "led", False, "OFF"),
            ("properties", "mode", "off", "off"),
            ("actions", "restart", "", "PRESS"),
        ):
            form = thing[kind][name]["forms"][-1]
            url = urljoin(thing["base"], form["href"])
            async with served.web.request(form["htv:methodName"], url, json=value) as answer:
                assert answer.status == 200
            assert served.gateway.commands.pop().payload == payload


@pytest.mark.sockets
async def test_descriptions_come_in_pages_and_with_their_version() -> None:
    async with serving() as served:
        await home(served)
        for uid in ("a", "b"):
            served.gateway.send(uid, "led", "0")
            await served.known(uid)
        served.gateway.link.send(NodeLeft(uid="a"))
        async with served.web.get("/things/n") as answer:
            assert answer.content_type == "application/td+json"
            etag = answer.headers["ETag"]
        async with served.web.get("/things/n", headers={"If-None-Match": etag}) as again:
            assert again.status == 304
        async with served.web.get("/things?limit=2") as answer:
            first = await answer.json(content_type=None)
            following = answer.links["next"]["url"]
        async with served.web.get(following) as answer:
            rest = await answer.json(content_type=None)
            assert "next" not in answer.links
        assert [it["title"] for it in (*first, *rest)] == ["n", "a", "b"]
        await served.json("/things/nobody", 404)
        await served.json("/things?cursor=x", 400)
        await served.json("/things?limit=101", 400)


@pytest.mark.sockets
async def test_a_value_that_does_not_fit_its_type_is_given_as_it_is() -> None:
    async with serving() as served:
        await home(served)
        served.gateway.send("n", "led", "jammed")
        await eventually(
            lambda: served.broker.router.nodes.get("n").readings["led"].data == "jammed"  # type: ignore[union-attr]
        )
        assert await served.json("/api/nodes/n/resources/led/value") == "jammed"
        await served.json("/api/nodes/n/resources/no/value", 404)
