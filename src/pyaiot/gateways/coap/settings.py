# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the CoAP gateway."""

from typing import Annotated, ClassVar

from msgspec import Meta

from pyaiot.config.section import (
    GatewayName,
    NewNodesPerS,
    NodesMax,
    NodesPerHostMax,
    OfflineTimeoutS,
    Port,
    ProtocolSection,
)


class CoapSection(ProtocolSection, frozen=True, kw_only=True):
    """The CoAP gateway."""

    table: ClassVar[str] = "coap"

    host: Annotated[
        str, Meta(description="Address to listen on; `::` accepts devices from the whole network.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="UDP port that nodes post to; 0: any free port.")] = 5683
    coaps_port: Annotated[
        Port,
        Meta(
            description="UDP port for devices with a key (DTLS). It is open from the time at which"
            " the first device gets one with `aiot device add`; 0: any free port."
        ),
    ] = 5684
    interface: Annotated[
        str, Meta(description="The only network interface to listen on, such as `tap0`.")
    ] = ""
    poll_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Interval in seconds, with jitter, at which resources that cannot be"
            " observed are read; 0: only when the node appears.",
        ),
    ] = 0.0
    sleepy: Annotated[
        tuple[str, ...],
        Meta(
            description="Uids of nodes that sleep, or `*` for all: a command waits for the next"
            " message of the node, at most until its deadline."
        ),
    ] = ()
    trace: Annotated[
        str,
        Meta(
            description="File for a trace of all datagrams (pcapng, for Wireshark), with the names"
            " of nodes and the outcome of each request; empty: no trace."
        ),
    ] = ""
    trace_nodes: Annotated[
        tuple[str, ...], Meta(description="Trace only the datagrams of these nodes (uids).")
    ] = ()
    trace_size_mb: Annotated[
        float,
        Meta(
            gt=0,
            le=10_000,
            description="Size in megabytes at which a new trace file is started. The last three"
            " are kept as FILE.1 to FILE.3.",
        ),
    ] = 10.0
    silence_limit_s: OfflineTimeoutS = 120.0
    nodes_max: NodesMax = 100_000
    nodes_per_host_max: NodesPerHostMax = 2000
    new_nodes_per_s: NewNodesPerS = 200.0
    name: GatewayName = "coap"
    state_file: Annotated[
        str,
        Meta(
            description="File that keeps the registrations of the resource directory over a"
            " restart; empty: `$XDG_STATE_HOME/pyaiot/NAME-PORT.db`, or none if the port is 0;"
            " `off`: none."
        ),
    ] = ""
