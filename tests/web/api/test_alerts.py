# SPDX-License-Identifier: BSD-3-Clause
"""Alerts over HTTP, on a real socket."""

import time
from pathlib import Path
from typing import Any

import pytest

from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.alerts.channels import NotSent
from pyaiot.alerts.notices import Notice
from pyaiot.alerts.rule import rule_of
from pyaiot.web.sign_in import SignIn
from tests.web.serving import Served, eventually, serving

pytestmark = pytest.mark.sockets

WARM = {"title": "Too warm", "when": "above", "resource": "temperature", "limit": 30}
RULE = "/api/alert-rules/warm"


class FakeService:
    """A `Sender` that accepts the notices of one URL."""

    async def send(self, url: str, notice: Notice) -> None:  # noqa: ARG002
        if url != "ntfy://good":
            raise NotSent("no route")


async def put(served: Served, path: str, body: object, status: int = 200) -> Any:
    async with served.web.put(path, json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def raised(served: Served, uid: str = "n") -> dict[str, Any]:
    served.gateway.send(uid, "temperature", "31 °C")
    await eventually(lambda: served.alerts.engine.watches.active)
    (alert,) = (await served.json("/api/alerts"))["alerts"]
    return dict(alert)


async def test_a_rule_is_put_raises_an_alert_and_is_removed() -> None:
    async with serving() as served:
        put_rule = await put(served, RULE, {**WARM, "for": "0s"})
        assert put_rule["rule"]["title"] == "Too warm"
        alert = await raised(served)
        assert (alert["state"], alert["uid"], alert["value"]) == ("active", "n", "31 °C")
        (rule,) = (await served.json("/api/alert-rules"))["rules"]
        assert (rule["id"], rule["editable"]) == ("warm", True)

        async with served.web.delete(RULE) as answer:
            assert answer.status == 204

        (alert,) = (await served.json("/api/alerts"))["alerts"]
        assert alert["state"] == "cleared"
        assert (await served.json("/api/alerts?state=active"))["alerts"] == []


async def test_an_alert_is_acknowledged_and_snoozed() -> None:
    async with serving(alert_rules={"warm": rule_of(WARM)}) as served:
        alert = await raised(served)
        body = {"ids": [alert["id"]], "acknowledge": True, "snooze": 3600}
        async with served.web.patch("/api/alerts", json=body) as answer:
            assert answer.status == 200
            (edited,) = (await answer.json())["alerts"]

        assert (edited["state"], edited["acknowledged_by"]) == ("acknowledged", "local")
        assert edited["snoozed_until"] > edited["raised"] + 3000


async def test_an_unknown_alert_is_a_problem_and_nothing_is_acknowledged() -> None:
    async with serving(alert_rules={"warm": rule_of(WARM)}) as served:
        alert = await raised(served)
        body = {"ids": [alert["id"], "x"], "acknowledge": True}
        async with served.web.patch("/api/alerts", json=body) as answer:
            assert answer.status == 404
            assert (await answer.json())["type"].endswith("unknown-alert")
        assert (await served.json("/api/alerts"))["alerts"][0]["state"] == "active"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"title": "x", "when": "above", "resource": "t"}, "needs a limit"),
        ({"title": "x", "when": "above"}, "needs a resource"),
        ({**WARM, "for": "soon"}, "is not a duration"),
    ],
)
async def test_an_invalid_rule_is_a_problem_with_the_reason(
    body: dict[str, object], sentence: str
) -> None:
    async with serving() as served:
        problem = await put(served, RULE, body, 400)

        assert sentence in problem["detail"]


async def test_an_id_that_is_none_is_a_problem() -> None:
    async with serving() as served:
        await put(served, "/api/alert-rules/Too%20warm", WARM, 400)


async def test_a_rule_of_the_file_is_shown_and_not_edited() -> None:
    async with serving(alert_rules={"warm": rule_of(WARM)}) as served:
        problem = await put(served, RULE, WARM, 409)

        assert "in the file of alerts" in problem["detail"]
        assert (await served.json("/api/alert-rules"))["rules"][0]["editable"] is False


async def test_a_rule_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    async with serving(registry_file=path) as served:
        await put(served, RULE, WARM)
        await raised(served)
    async with serving(registry_file=path) as served:
        await eventually(lambda: served.alerts.engine.rules)

        assert (await served.json("/api/alert-rules"))["rules"][0]["rule"]["limit"] == 30


async def test_maintenance_is_added_listed_and_removed() -> None:
    async with serving() as served:
        body = {"title": "Move", "start": 1_800_000_000, "end": 1_800_003_600}
        async with served.web.post("/api/maintenance", json=body) as answer:
            assert answer.status == 201
            window = (await answer.json())["id"]
        (found,) = (await served.json("/api/maintenance"))["windows"]
        assert (found["id"], found["maintenance"]["title"]) == (window, "Move")

        async with served.web.delete(f"/api/maintenance/{window}") as answer:
            assert answer.status == 204
        assert (await served.json("/api/maintenance"))["windows"] == []


async def test_a_channel_is_tested_and_its_url_is_never_shown() -> None:
    channels = {"phone": "ntfy://good", "pager": "ntfy://secret"}
    async with serving(alert_channels=channels, sender=FakeService()) as served:
        async with served.web.get("/api/alert-channels") as answer:
            text = await answer.text()
        assert "phone" in text
        assert "ntfy" not in text
        for name, status in (("phone", 204), ("pager", 502), ("other", 404)):
            async with served.web.post(f"/api/alert-channels/{name}/test") as answer:
                assert answer.status == status
                assert "secret" not in await answer.text()


class People:
    """A broker with visitors, an operator of the tag lab, and an operator of everything."""

    def __init__(self) -> None:
        accounts = AccountsFile(None)
        self.secrets = {}
        for name, scope in (("scoped", Scope(tags=("lab",))), ("ada", Scope())):
            token, self.secrets[name] = new_token(
                name, "operator", now=0.0, life_s=None, scope=scope
            )
            accounts.add_token(token)
        self.sign_in = SignIn(accounts, behind_tls=False, viewers=True, clock=time.monotonic)

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[name]}"} if name else {}


async def alerts_of(served: Served, people: People, name: str) -> list[dict[str, Any]]:
    async with served.web.get("/api/alerts", headers=people.headers(name)) as answer:
        assert answer.status == 200
        return list((await answer.json())["alerts"])


async def acknowledge(served: Served, people: People, name: str, alert: str) -> int:
    body = {"ids": [alert], "acknowledge": True}
    headers = people.headers(name)
    async with served.web.patch("/api/alerts", json=body, headers=headers) as answer:
        return answer.status


async def test_alert_outside_the_scope_is_not_shown_and_not_acknowledged() -> None:
    people = People()
    async with serving(login=people.sign_in, alert_rules={"warm": rule_of(WARM)}) as served:
        served.gateway.send("n", "temperature", "31 °C")
        await eventually(lambda: served.alerts.engine.watches.active)
        (alert,) = await alerts_of(served, people, "ada")
        assert await alerts_of(served, people, "scoped") == []
        assert await acknowledge(served, people, "scoped", alert["id"]) == 404
        body = {"tags": ["lab"]}
        headers = people.headers("ada")
        async with served.web.patch("/api/nodes/n", json=body, headers=headers) as answer:
            assert answer.status == 200
        assert await acknowledge(served, people, "scoped", alert["id"]) == 200


async def test_visitor_does_not_see_who_acknowledged_an_alert_nor_an_address() -> None:
    people = People()
    moved = rule_of({"title": "Silent", "when": "no data", "resource": "ip", "for": 0.05})
    rules = {"warm": rule_of(WARM), "moved": moved}
    async with serving(login=people.sign_in, alert_rules=rules) as served:
        served.gateway.send("n", "ip", "192.0.2.77")
        served.gateway.send("n", "temperature", "31 °C")
        await eventually(lambda: len(served.alerts.engine.watches.active) == 2)
        for alert in await alerts_of(served, people, "ada"):
            assert await acknowledge(served, people, "ada", alert["id"]) == 200
        seen = await alerts_of(served, people, "ada")
        assert {it["acknowledged_by"] for it in seen} == {"token:ada"}
        shown = await alerts_of(served, people, "")
        assert len(shown) == 2
        assert "ada" not in str(shown)
        assert "192.0.2.77" not in str(shown)
        assert await acknowledge(served, people, "", shown[0]["id"]) == 403


async def limits_of(served: Served, people: People, name: str, status: int = 200) -> Any:
    headers = people.headers(name)
    async with served.web.get("/api/nodes/n/limits", headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def test_limits_are_shown_to_who_sees_the_node_and_nothing_else_of_the_rules() -> None:
    people = People()
    rules = {
        "warm": rule_of({**WARM, "severity": "critical", "channels": ["pager-of-ada"]}),
        "cold": rule_of({**WARM, "title": "Cold", "when": "below", "limit": 5, "tags": ["lab"]}),
        "off": rule_of({**WARM, "title": "Off", "enabled": False}),
        "jump": rule_of({**WARM, "title": "Jump", "when": "change"}),
        "other": rule_of({**WARM, "title": "Other", "uids": ["m"]}),
        "address": rule_of({**WARM, "title": "Address", "resource": "ip"}),
    }
    async with serving(login=people.sign_in, alert_rules=rules) as served:
        served.gateway.send("n", "temperature", "20 °C")
        await served.known("n")
        warm = {
            "resource": "temperature",
            "when": "above",
            "limit": 30.0,
            "severity": "critical",
            "title": "Too warm",
        }
        found = await limits_of(served, people, "ada")
        assert [it["title"] for it in found["limits"]] == ["Address", "Too warm"]
        assert await limits_of(served, people, "") == {"limits": [warm]}

        # A node outside the scope is like one that does not exist.
        await limits_of(served, people, "scoped", 404)
        headers = people.headers("ada")
        async with served.web.patch("/api/nodes/n", json={"tags": ["lab"]}, headers=headers) as it:
            assert it.status == 200
        found = await limits_of(served, people, "scoped")
        assert [it["title"] for it in found["limits"]] == ["Address", "Cold", "Too warm"]
        assert "pager" not in str(found)
