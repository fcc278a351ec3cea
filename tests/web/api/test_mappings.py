# SPDX-License-Identifier: BSD-3-Clause
"""Mappings of plain MQTT topics over HTTP, on a real socket."""

from pathlib import Path
from typing import Any, Final

import pytest

from pyaiot.model.topic_mapping import MAPPINGS_MAX, TopicMapping
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

FARM: Final[dict[str, Any]] = {"topic": "farm/{node}/{resource}", "units": {"temperature": "°C"}}


async def put(served: Served, name: str, body: object, status: int = 200) -> Any:
    async with served.web.put(f"/api/mappings/{name}", json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def tried(served: Served, **body: object) -> Any:
    async with served.web.post("/api/mapping-trials", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_mapping_is_saved_and_given_to_the_gateways_until_it_is_removed() -> None:
    async with serving() as served:
        await eventually(lambda: served.gateway.mappings == [()])  # on its link, or at the load
        saved = await put(served, "farm", FARM)
        assert saved == {"id": "farm", "editable": True, "mapping": FARM}
        await eventually(lambda: served.gateway.mappings[-1] == (TopicMapping(**FARM),))
        assert (await served.json("/api/mappings"))["mappings"] == [saved]
        async with served.web.delete("/api/mappings/farm") as answer:
            assert answer.status == 204
        await eventually(lambda: served.gateway.mappings[-1] == ())
        assert (await served.json("/api/mappings"))["mappings"] == []
        async with served.web.delete("/api/mappings/farm") as answer:
            assert answer.status == 404
            assert "unknown-mapping" in await answer.text()


async def test_saved_mappings_survive_a_restart_of_the_broker(tmp_path: Path) -> None:
    async with serving(registry_file=tmp_path / "registry.db") as served:
        await put(served, "farm", FARM)
    async with serving(registry_file=tmp_path / "registry.db") as served:
        await eventually(lambda: (TopicMapping(**FARM),) in served.gateway.mappings)


async def test_a_mapping_is_tried_without_saving_it() -> None:
    async with serving() as served:
        found = await tried(served, mapping=FARM, topic="farm/barn/temperature", payload="4.5")
        assert (found["uid"], found["name"]) == ("map-barn", "barn")
        (value,) = found["values"]
        assert (value["resource"], value["value"], value["unit"], value["type"]["kind"]) == (
            *("temperature", 4.5),
            *("Cel", "number"),
        )
        found = await tried(served, mapping=FARM, topic="elsewhere/x", payload="1")
        assert found == {"problem": "the topic is not of the form farm/{node}/{resource}"}
        found = await tried(served, mapping={"topic": "farm/x"}, topic="farm/x", payload="1")
        assert "needs one level {node}" in found["problem"]
        assert (await served.json("/api/mappings"))["mappings"] == []


@pytest.mark.parametrize(
    ("name", "mapping", "status"),
    [
        ("farm", {"topic": "farm/x"}, 409),
        ("farm", {"topic": "node/{node}/x"}, 409),
        ("farm", {"topic": "a/{node}", "payload": "xml"}, 400),
        ("farm", {"topic": "a/{node}", "unknown": 1}, 400),
        ("Farm!", FARM, 400),
        ("farm", {"topic": "a/{node}", "payload": "json", "fields": {"x": "y" * 5000}}, 409),
    ],
)
async def test_mapping_that_is_not_valid_is_refused(
    name: str, mapping: object, status: int
) -> None:
    async with serving() as served:
        await put(served, name, mapping, status)
        assert (await served.json("/api/mappings"))["mappings"] == []


async def test_one_saved_mapping_too_many_is_refused() -> None:
    async with serving() as served:
        for number in range(MAPPINGS_MAX):
            await put(served, f"m{number}", {"topic": f"t{number}/{{node}}"})
        answer = await put(served, "more", FARM, 409)
        assert f"there are {MAPPINGS_MAX} saved mappings already" in answer["detail"]
        await put(served, "m0", FARM)  # one that exists may still be replaced
