# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the CoAP gateway."""

from typing import Annotated, ClassVar

from msgspec import Meta

from pyaiot.config.section import (
    GatewayName,
    NewNodesPerS,
    NodesMax,
    NodesPerHostMax,
    Port,
    ProtocolSection,
    SilenceLimitS,
)


class CoapSection(ProtocolSection, frozen=True, kw_only=True):
    """The CoAP gateway."""

    table: ClassVar[str] = "coap"

    host: Annotated[
        str, Meta(description="Address to listen on; `::` lets in every device that reaches it.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="UDP port that nodes post to; 0: any free one.")] = 5683
    interface: Annotated[
        str, Meta(description="Listen on this network interface only, say `tap0`.")
    ] = ""
    poll_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Resources that a node does not notify of by itself are read again every"
            " so many seconds, somewhat spread; 0: only when the node appears.",
        ),
    ] = 0.0
    sleepy: Annotated[
        tuple[str, ...],
        Meta(
            description="Nodes that sleep (uids, or `*` for every one): a command waits, as long"
            " as its deadline is, until the node speaks next."
        ),
    ] = ()
    trace: Annotated[
        str,
        Meta(
            description="Write what is on the wire to this file (pcapng, for Wireshark), with"
            " names of nodes and what became of each request; empty: nothing."
        ),
    ] = ""
    trace_nodes: Annotated[
        tuple[str, ...], Meta(description="Write only what these nodes (uids) say and hear.")
    ] = ()
    trace_size_mb: Annotated[
        float,
        Meta(
            gt=0,
            le=10_000,
            description="Megabytes of one trace file. Then the next one is begun; the last three"
            " are kept as FILE.1 to FILE.3.",
        ),
    ] = 10.0
    silence_limit_s: SilenceLimitS = 120.0
    nodes_max: NodesMax = 100_000
    nodes_per_host_max: NodesPerHostMax = 2000
    new_nodes_per_s: NewNodesPerS = 200.0
    name: GatewayName = "coap"
    state_file: Annotated[
        str,
        Meta(
            description="File that remembers registrations of the resource directory over a"
            " restart; empty: `$XDG_STATE_HOME/pyaiot/NAME-PORT.db`, and none for port 0; `off`:"
            " none."
        ),
    ] = ""
