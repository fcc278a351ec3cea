# SPDX-License-Identifier: BSD-3-Clause
"""Writes docs/reference/reliability.md.

    python -m benchmarks.faults > docs/reference/reliability.md
    python -m benchmarks.faults loss clock           only these rows, without the page

With AIOT_FAULTS_EARLIER, the folder of an earlier version, brokers of both are one cluster.

It needs root, or user namespaces, nftables, libfaketime, mosquitto and PostgreSQL (Debian: `apt
install nftables libfaketime mosquitto postgresql`), and takes half an hour. It runs in
separate network and mount namespaces, so the faults affect nothing outside.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Final

from benchmarks.faults import cluster, crowd, machine, mqtt_cluster, processes
from benchmarks.faults.cluster import ClusterRow
from benchmarks.faults.mqtt_cluster import MqttClusterRow
from benchmarks.faults.page import CLUSTER, HEAD, MQTT_CLUSTER, TAIL, TESTS
from benchmarks.faults.row import Row

GROUPS: Final[dict[str, Callable[[], Iterator[Row | ClusterRow | MqttClusterRow]]]] = {
    "processes": processes.rows,
    "loss": machine.losses,
    "clock": machine.clock_steps,
    "disk": machine.full_disks,
    "crowd": crowd.rows,
    "cluster": cluster.rows,
    "failovers": cluster.failovers,
    "mqtt-cluster": mqtt_cluster.rows,
}
_INSIDE: Final = "FAULTS_NAMESPACE"


def enter_namespaces() -> None:
    """Run this program again in new namespaces, whose only network interface is loopback."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    own = ["unshare", *as_root, "--net", "--mount", sys.executable, "-m", "benchmarks.faults"]
    os.execvpe(own[0], [*own, *sys.argv[1:]], {**os.environ, _INSIDE: "1"})


def main() -> None:
    names = sys.argv[1:] or list(GROUPS)
    if unknown := set(names) - GROUPS.keys():
        raise SystemExit(f"unknown: {', '.join(unknown)}; known: {', '.join(GROUPS)}")
    if _INSIDE not in os.environ:
        enter_namespaces()
    del os.environ[_INSIDE]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    writes_page = not sys.argv[1:]
    lines: dict[type, list[str]] = {Row: [], ClusterRow: [], MqttClusterRow: []}
    for name in names:
        for row in GROUPS[name]():
            lines[type(row)].append(row.line())
            print(row.line(), file=sys.stderr, flush=True)
    if writes_page:
        print(HEAD, *lines[Row], CLUSTER, *lines[ClusterRow], sep="\n")
        print(MQTT_CLUSTER, *lines[MqttClusterRow], TAIL, sep="\n")
        for name, within, test in TESTS:
            print(f"| {name} | {within or 'its test'} | `{test}` |")


if __name__ == "__main__":
    main()
