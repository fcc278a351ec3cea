# SPDX-License-Identifier: BSD-3-Clause
"""`python -m benchmarks`: measure and print tables. Exit code 1 if a measurement failed."""

import argparse
import compileall
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import (
    api,
    cluster,
    cluster_path,
    coap_gateway,
    coap_path,
    dtls_gateway,
    fan_out,
    history,
    home_assistant,
    joining,
    memory,
    mqtt_machines,
    mqtt_path,
    mqttsn_path,
    observe_path,
    peers,
    registered_nodes,
    registry_kills,
    scopes,
    sign_in_cost,
    starting,
    steps,
    websocket_path,
    workers,
)
from benchmarks.processes import ROOT, BenchmarkError, Home, temporary_home
from benchmarks.sizes import FULL, QUICK, TINY, Size
from benchmarks.table import Results, busy_s, own_s, this_machine

FIGURES: Final[dict[str, Callable[[Results, Home, Size], None]]] = {
    "start": starting.measure,
    "api": api.measure,
    "sign-in": sign_in_cost.measure,
    "steps": steps.measure,
    "latency": coap_path.measure_latency,
    "posts": coap_path.measure_posts,
    "commands": coap_path.measure_commands,
    "observe": observe_path.measure,
    "websocket": websocket_path.measure,
    "mqtt": mqtt_path.measure,
    "home-assistant": home_assistant.measure,
    "mqttsn": mqttsn_path.measure,
    "coap-posts": coap_gateway.measure_posts,
    "coap-oscore": coap_gateway.measure_oscore,
    "coap-discovery": coap_gateway.measure_discovery,
    "coap-idle": coap_gateway.measure_idle,
    "coap-commands": coap_gateway.measure_commands,
    "coap-dtls": dtls_gateway.measure,
    "join": joining.measure,
    "memory": memory.measure,
    "registry": registered_nodes.measure,
    "registry-kills": registry_kills.measure,
    "fan-out": fan_out.measure,
    "scopes": scopes.measure,
    "cluster": cluster.measure,
    "workers": workers.measure,
    "cluster-path": cluster_path.measure,
    "mqtt-machines": mqtt_machines.measure,
    "history": history.measure,
}
PEERS: Final = "peers"
"""The name of the comparison with other software, which is measured only if it is named."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the services, started as a user starts them, and print tables.",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="three minutes instead of ten")
    size.add_argument("--tiny", action="store_true", help="only check that the benchmarks run")
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=[*FIGURES, PEERS],
        help=f"measure only this (repeatable): {', '.join(FIGURES)}",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="measure only the path from MQTT to web clients, beside Node-RED and mosquitto",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures to FILE")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    options = parser.parse_args()
    results = run(
        options.only or ([PEERS] if options.peers else list(FIGURES)),
        QUICK if options.quick else TINY if options.tiny else FULL,
    )
    print(results.as_text(markdown=options.markdown), end="")
    if options.json:
        options.json.write_text(results.as_json() + "\n", encoding="utf-8")
    return 1 if results.failures else 0


def run(names: list[str], size: Size) -> Results:
    """Measure these figures in turn. A failure does not stop the others."""
    results = Results(this_machine())
    began, busy_began_s, own_began_s = time.monotonic(), busy_s(), own_s()
    # As an installation does. Else each start compiles all modules, where Python may not write.
    compileall.compile_dir(ROOT / "src", quiet=1)
    with temporary_home() as home:
        for name in names:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            try:
                measure = peers.measure if name == PEERS else FIGURES[name]
                measure(results, home, size)
            except (BenchmarkError, OSError) as error:
                results.failures.append(f"{name}: {error}")
    results.seconds = time.monotonic() - began
    others_s = (busy_s() - busy_began_s) - (own_s() - own_began_s)
    results.others_cores = max(0.0, others_s / results.seconds)
    return results


if __name__ == "__main__":
    sys.exit(main())
