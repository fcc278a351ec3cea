# SPDX-License-Identifier: BSD-3-Clause
"""`/api/cluster`: this broker and the other brokers of its cluster."""

from aiohttp import web

from pyaiot import __version__
from pyaiot.accounts.scopes import EVERYTHING
from pyaiot.broker.broker import Broker
from pyaiot.web.api.cluster_schemas import ClusterInfo, EmbeddedBrokerInfo, PeerInfo
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.responses import json_response
from pyaiot.web.client_access import access_of


class ClusterApi:
    """Viewers see the brokers and their states; administrators also see their addresses."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def cluster(self, request: web.Request, _query: Query) -> web.StreamResponse:
        state = self._broker.cluster_state()
        if state is None:
            return json_response(ClusterInfo(in_cluster=False))
        access = access_of(request)
        is_admin, has_all = access.role == "admin", access.scope == EVERYTHING
        return json_response(
            ClusterInfo(
                in_cluster=True,
                name=state.name,
                version=__version__,
                nodes=state.nodes if has_all else None,
                gateways=state.gateways if has_all else None,
                connected=not state.problem,
                problem=state.problem if is_admin else "",
                queued_bytes=state.queued_bytes,
                peers=[
                    PeerInfo(
                        name=peer.name,
                        address=peer.address if is_admin else "",
                        version=peer.version,
                        state=peer.state,
                        silent_s=round(peer.silent_s, 3),
                        lag_s=round(peer.lag_s, 3),
                        ahead_s=round(peer.ahead_s, 1),
                        nodes=peer.nodes if has_all else None,
                        gateways=peer.gateways if has_all else None,
                        clients=peer.clients if has_all else None,
                        readings=peer.readings if has_all else None,
                    )
                    for peer in state.peers
                ],
                embedded_brokers=[
                    EmbeddedBrokerInfo(
                        address=machine.address if is_admin else "",
                        state=machine.state,
                        shares=machine.shares,
                    )
                    for machine in state.embedded_brokers
                ],
            )
        )
