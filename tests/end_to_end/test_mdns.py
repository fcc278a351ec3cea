# SPDX-License-Identifier: BSD-3-Clause
"""Another system on the network finds Pyaiot by name: Avahi, in a separate network namespace."""

import os
import shutil
import subprocess
import sys
from typing import Final

import pytest

from tests.programs import ANY_PORTS, Programs

pytestmark = pytest.mark.sockets

LIMIT_S: Final = 90.0
NEEDED: Final = ("unshare", "nsenter", "ip", "dbus-daemon", "avahi-daemon", "avahi-browse")
INSIDE: Final = """
set -e
wait_for() { until grep -q "$1" "$2" 2>/dev/null; do sleep 0.1; done; }
# Two machines on one wire: Pyaiot here, Avahi on the other.
ip link set lo up
ip link add lan type veth peer name phone
ip address add 192.0.2.7/24 dev lan
ip link set lan up
ip route add default via 192.0.2.1
mount -t tmpfs none /run
unshare --net sh -c 'touch /run/there; exec sleep 1000' & other=$!
until [ -e /run/there ]; do sleep 0.1; done
ip link set phone netns $other
there() { nsenter -t $other -n "$@"; }
there sh -c 'ip link set lo up; ip address add 192.0.2.8/24 dev phone; ip link set phone up'
# Avahi changes to its user, which this namespace does not have.
for name in passwd group; do
    sed -E 's/^(root|avahi|messagebus|netdev):.*//' /etc/$name >/run/$name
done
printf 'root:x:0:0::/:/bin/sh\\navahi:x:0:0::/:/bin/sh\\n' >>/run/passwd
printf 'root:x:0:\\navahi:x:0:\\nnetdev:x:0:\\n' >>/run/group
mount --bind /run/passwd /etc/passwd
mount --bind /run/group /etc/group
mkdir -p /run/dbus
cat >/run/bus.conf <<'END'
<busconfig>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
END
dbus-daemon --config-file=/run/bus.conf --fork --nopidfile
printf '[server]\\nhost-name=phone\\nuse-ipv6=no\\nallow-interfaces=phone\\n' >/run/avahi.conf
there avahi-daemon -f /run/avahi.conf --no-drop-root --no-chroot --no-rlimits >/run/avahi.log 2>&1 &
wait_for "startup complete" /run/avahi.log
"$@" >/run/out 2>/run/log & service=$!
wait_for "Ctrl+C ends it" /run/out
if [ "$EXPECTED" ]; then wait_for "$EXPECTED" /run/log; fi
echo "browse:"
there avahi-browse --all --resolve --terminate --parsable
echo "resolve:"
there avahi-resolve -4 --name board-lab.local || true
kill -TERM $service
wait $service && echo "ended well"
echo "after:"
there avahi-browse --all --terminate --parsable
cat /run/log >&2
"""


@pytest.fixture(autouse=True)
def network_namespaces() -> None:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def on_two_machines(programs: Programs, expected: str, *flags: str) -> dict[str, str]:
    """What the other machine sees, by the headings of the script."""
    namespaces = ("--map-root-user", "--net", "--mount", "--pid", "--mount-proc", "--fork")
    result = subprocess.run(
        [
            *("unshare", *namespaces, "--kill-child", "sh", "-c", INSIDE, "sh"),
            *(sys.executable, "-m", "pyaiot", "run", *ANY_PORTS, *flags),
        ],
        env=programs.environment(EXPECTED=expected),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert "Traceback" not in result.stderr, result.stderr
    parts: dict[str, str] = {}
    heading = ""
    for line in result.stdout.splitlines():
        if line.endswith(":") and ";" not in line:
            heading = line
        parts[heading] = parts.get(heading, "") + line + "\n"
    assert "after:" in parts, result.stdout + result.stderr
    return parts


def test_other_machine_finds_the_services_and_the_name_until_they_end(programs: Programs) -> None:
    flags = ("--lan", "--mdns", "board-lab")
    parts = on_two_machines(programs, "announced on the network as board-lab.local", *flags)
    found = {}
    for line in parts["browse:"].splitlines():
        fields = line.split(";")
        if fields[0] == "=":
            found[fields[4]] = fields
    assert set(found) == {"_pyaiot._tcp", "_coap._udp", "_mqtt._tcp"}
    for fields in found.values():
        assert (fields[3], fields[6], fields[7]) == ("board-lab", "board-lab.local", "192.0.2.7")
        assert int(fields[8]) > 0
    assert '"tls=0"' in found["_pyaiot._tcp"][9]
    assert "board-lab.local\t192.0.2.7" in parts["resolve:"]
    assert "ended well" in parts["resolve:"]
    # Who browses a moment later may see them from a cache (`+`), and then removed (`-`).
    events = [line.split(";") for line in parts["after:"].splitlines() if ";" in line]
    seen, removed = ({it[4] for it in events if it[0] == sign} for sign in "+-")
    assert seen <= removed


@pytest.mark.parametrize("flags", [(), ("--lan", "--mdns", "off")], ids=["loopback", "off"])
def test_nothing_is_announced_on_loopback_or_when_it_is_off(
    flags: tuple[str, ...], programs: Programs
) -> None:
    parts = on_two_machines(programs, "", *flags)
    assert "_tcp" not in parts["browse:"]
    assert "192.0.2.7" not in parts["resolve:"]


def test_environment_of_ci_has_what_these_tests_need() -> None:
    if os.environ.get("CI") and shutil.which("avahi-daemon"):
        assert all(map(shutil.which, NEEDED))
