# SPDX-License-Identifier: BSD-3-Clause
"""`/api/cluster`: who sees what of the other brokers."""

import time
from pathlib import Path
from typing import Any

import pytest

from pyaiot import __version__
from pyaiot.accounts.roles import Role
from pyaiot.accounts.scopes import Scope
from pyaiot.accounts.store import AccountsFile
from pyaiot.accounts.tokens import new_token
from pyaiot.broker.cluster_state import ClusterState, EmbeddedBrokerState, PeerState
from pyaiot.web.sign_in import SignIn
from tests.web.serving import serving

pytestmark = pytest.mark.sockets

PEER = PeerState(
    "b", "http://10.0.0.2:8000", "0.1.0", "online", 0.12345, 0.5, 7, 2, 3, 4000, -12.345
)
STATE = ClusterState(
    "a",
    5,
    1,
    (PEER,),
    problem="10.0.0.9 refuses",
    queued_bytes=3,
    embedded_brokers=(EmbeddedBrokerState("10.0.0.1:6222", "this one", 12),),
)


async def test_a_broker_alone_is_in_no_cluster() -> None:
    async with serving() as served:
        document = await served.json("/api/cluster")
        assert (document["in_cluster"], document["peers"]) == (False, [])


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
@pytest.mark.parametrize("scope", [Scope(), Scope(tags=("lab",))])
async def test_addresses_are_for_admins_and_counts_for_clients_of_all_nodes(
    role: Role, scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = AccountsFile(None)
    token, secret = new_token("t", role, now=0.0, life_s=None, scope=scope)
    accounts.add_token(token)
    login = SignIn(accounts, behind_tls=False, viewers=False, clock=time.monotonic)
    async with serving(tmp_path, login=login) as served:
        monkeypatch.setattr(served.broker, "cluster_state", lambda: STATE)
        assert (await served.web.get("/api/cluster")).status == 401
        headers = {"Authorization": f"Bearer {secret}"}
        async with served.web.get("/api/cluster", headers=headers) as answer:
            document: dict[str, Any] = await answer.json()
    is_admin, has_all = role == "admin", scope == Scope()
    assert document == {
        "in_cluster": True,
        "name": "a",
        "version": __version__,
        "nodes": 5 if has_all else None,
        "gateways": 1 if has_all else None,
        "connected": False,
        "problem": STATE.problem if is_admin else "",
        "queued_bytes": 3,
        "embedded_brokers": [
            {"address": "10.0.0.1:6222" if is_admin else "", "state": "this one", "shares": 12}
        ],
        "peers": [
            {
                "name": "b",
                "address": PEER.address if is_admin else "",
                "version": "0.1.0",
                "state": "online",
                "silent_s": 0.123,
                "lag_s": 0.5,
                "ahead_s": -12.3,
                "nodes": 7 if has_all else None,
                "gateways": 2 if has_all else None,
                "clients": 3 if has_all else None,
                "readings": 4000 if has_all else None,
            }
        ],
    }
