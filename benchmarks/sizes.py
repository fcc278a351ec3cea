# SPDX-License-Identifier: BSD-3-Clause
"""Sizes of a run: full, quick, or tiny, which only checks that the benchmarks run."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Size:
    """Counts and seconds of a run."""

    fan_out_clients: tuple[int, ...]
    fan_out_judged: int
    """Number of clients to which the targets apply."""
    fan_out_rounds: int
    fan_out_window_s: float
    fan_out_nodes: int
    latency_s: float
    posts_s: float
    posts_nodes: int
    join_nodes: int
    joins_alone: int
    join_pause_s: float
    """Pause between joins, for readings of an undisturbed broker."""
    commands: int
    stalled_clients: int
    stalled_s: float
    observed_nodes: int
    observed_s: float
    websocket_nodes: int
    websocket_s: float
    mqtt_nodes: int
    mqtt_s: float
    mqtt_idle_nodes: int
    mqttsn_nodes: int
    mqttsn_s: float
    history_s: float
    history_rounds: int
    history_rows: int
    step_rounds: int
    starts: int
    idle_s: float
    coap_nodes: int
    """Nodes that post. Each may post 20 times per second, with a burst of 100."""
    coap_s: float
    coap_quiet_s: float
    """Without a request for this long, discovery is complete. A lost request is retransmitted after
    at most 3 s (RFC 7252 section 4.2)."""
    discovered: int
    idle_nodes: int
    crowd_nodes: int
    """Idle nodes whose structures are measured together."""
    api_s: float
    export_rows: int
    registered: int
    registry_requests: int
    registry_kills: int
    registry_kills_up_s: float
    """The longest time between two kills."""


FULL: Final = Size(
    fan_out_clients=(1, 10, 100, 500, 1000),
    fan_out_judged=100,
    fan_out_rounds=3,
    fan_out_window_s=1.0,
    fan_out_nodes=100,
    latency_s=10.0,
    posts_s=4.0,
    posts_nodes=500,
    join_nodes=1000,
    joins_alone=7,
    join_pause_s=0.25,
    commands=300,
    stalled_clients=10,
    stalled_s=12.0,
    observed_nodes=200,
    observed_s=10.0,
    websocket_nodes=2000,
    websocket_s=4.0,
    mqtt_nodes=2000,
    mqtt_s=4.0,
    mqtt_idle_nodes=10_000,
    mqttsn_nodes=150,
    mqttsn_s=4.0,
    history_s=4.0,
    history_rounds=5,
    history_rows=10_000_000,
    step_rounds=200,
    starts=5,
    idle_s=20.0,
    coap_nodes=1000,
    coap_s=4.0,
    coap_quiet_s=3.5,
    discovered=1000,
    idle_nodes=10_000,
    crowd_nodes=100_000,
    api_s=4.0,
    export_rows=10_000_000,
    registered=100_000,
    registry_requests=40,
    registry_kills=20,
    registry_kills_up_s=8.0,
)
QUICK: Final = Size(
    fan_out_clients=(100,),
    fan_out_judged=100,
    fan_out_rounds=1,
    fan_out_window_s=1.0,
    fan_out_nodes=100,
    latency_s=3.0,
    posts_s=2.0,
    posts_nodes=250,
    join_nodes=1000,
    joins_alone=3,
    join_pause_s=0.25,
    commands=60,
    stalled_clients=10,
    stalled_s=4.0,
    observed_nodes=200,
    observed_s=4.0,
    websocket_nodes=1000,
    websocket_s=2.0,
    mqtt_nodes=2000,
    mqtt_s=2.0,
    mqtt_idle_nodes=5000,
    mqttsn_nodes=100,
    mqttsn_s=2.0,
    history_s=2.0,
    history_rounds=3,
    history_rows=1_000_000,
    step_rounds=100,
    starts=2,
    idle_s=10.0,
    coap_nodes=1000,
    coap_s=2.0,
    coap_quiet_s=3.5,
    discovered=1000,
    idle_nodes=10_000,
    crowd_nodes=100_000,
    api_s=2.0,
    export_rows=500_000,
    registered=100_000,
    registry_requests=15,
    registry_kills=5,
    registry_kills_up_s=6.0,
)
TINY: Final = Size(
    fan_out_clients=(2,),
    fan_out_judged=2,
    fan_out_rounds=1,
    fan_out_window_s=0.1,
    fan_out_nodes=3,
    latency_s=0.3,
    posts_s=0.1,
    posts_nodes=4,
    join_nodes=10,
    joins_alone=1,
    join_pause_s=0.03,
    commands=3,
    stalled_clients=1,
    stalled_s=0.3,
    observed_nodes=2,
    observed_s=0.5,
    websocket_nodes=5,
    websocket_s=0.2,
    mqtt_nodes=5,
    mqtt_s=0.2,
    mqtt_idle_nodes=20,
    mqttsn_nodes=3,
    mqttsn_s=0.2,
    history_s=0.3,
    history_rounds=1,
    history_rows=20_000,
    step_rounds=2,
    starts=1,
    idle_s=0.2,
    coap_nodes=10,
    coap_s=0.2,
    coap_quiet_s=0.1,
    discovered=10,
    idle_nodes=10,
    crowd_nodes=20,
    api_s=0.2,
    export_rows=2000,
    registered=2000,
    registry_requests=1,
    registry_kills=2,
    registry_kills_up_s=1.0,
)
