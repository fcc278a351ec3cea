# SPDX-License-Identifier: BSD-3-Clause
"""Books two A8 nodes of FIT IoT-LAB, flashes them, and starts a CoAP gateway at the border router.

It needs the commands of iotlabcli and iotlabsshcli, and an account (iotlab-auth). Ctrl+C, an error
and the end of the booked time all stop the experiment. `--dry-run` prints the commands only.
"""

import argparse
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

BOOT_LIMIT_S = 900
START_LIMIT_S = 600
STEP_S = 1.0


class Failed(Exception):
    """A command of IoT-LAB failed."""


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lab = Lab(dry_run=options.dry_run)
    experiment = ""
    try:
        experiment = lab.book(options.site, options.minutes)
        lab.wait_running(experiment)
        border, node = lab.nodes(experiment, options.site)
        lab.wait_booted(experiment)
        lab.flash(experiment, border, options.border_router)
        lab.flash(experiment, node, options.firmware)
        for path in (options.token_file, options.gateway_script):
            lab.copy(experiment, path)
        lab.start_gateway(experiment, border, options)
        print(f"The gateway runs on {border}. Ctrl+C ends the experiment.", flush=True)
        lab.sleep(options.minutes * 60)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if experiment:
            lab.stop(experiment)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", default="saclay", help="site of the nodes")
    parser.add_argument("--minutes", type=int, default=60, help="duration of the experiment")
    parser.add_argument("--border-router", type=Path, required=True, help="its firmware (ELF)")
    parser.add_argument("--firmware", type=Path, required=True, help="of the other node (ELF)")
    parser.add_argument("--broker-host", required=True, help="host of the broker, with TLS")
    parser.add_argument("--broker-port", type=int, default=443)
    parser.add_argument("--token-file", type=Path, required=True, help="from aiot gateway add")
    parser.add_argument(
        "--gateway-script",
        type=Path,
        default=Path(__file__).with_name("border.sh"),
        help="what runs on the border router",
    )
    parser.add_argument("--prefix", default="2001:660:3207:401::/64", help="prefix of the border")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    options = parser.parse_args()
    for path in (options.border_router, options.firmware, options.token_file):
        if not path.is_file():
            parser.error(f"there is no file {path}")
    return options


class Lab:
    """The commands of IoT-LAB."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run

    def book(self, site: str, minutes: int) -> str:
        """Book two nodes and return the id of the experiment."""
        wanted = f"2,archi=a8:at86rf231+site={site}"
        words = ("submit", "-n", "pyaiot", "-d", str(minutes), "-l", wanted)
        answer = self._json("iotlab-experiment", *words, dry='{"id": 0}')
        return str(answer["id"])

    def wait_running(self, experiment: str) -> None:
        limit = ("--timeout", str(START_LIMIT_S), "--cancel-on-timeout")
        self._run("iotlab-experiment", "wait", "-i", experiment, *limit)

    def nodes(self, experiment: str, site: str) -> tuple[str, str]:
        """The two nodes as iotlab-ssh writes them: `saclay,a8,12`."""
        dry = '{"items": [{"network_address": "a8-1."}, {"network_address": "a8-2."}]}'
        answer = self._json("iotlab-experiment", "get", "-i", experiment, "-n", dry=dry)
        names = sorted(item["network_address"].partition(".")[0] for item in answer["items"])
        if len(names) != 2:
            raise Failed(f"The experiment has {len(names)} nodes instead of 2.")
        first, second = (f"{site},a8,{name.rpartition('-')[2]}" for name in names)
        return first, second

    def wait_booted(self, experiment: str) -> None:
        self._run("iotlab-ssh", "-i", experiment, "wait-for-boot", "--max-wait", str(BOOT_LIMIT_S))

    def flash(self, experiment: str, node: str, firmware: Path) -> None:
        self._run("iotlab-ssh", "-i", experiment, "flash", str(firmware), "-l", node)

    def copy(self, experiment: str, path: Path) -> None:
        """Copy a file to ~/shared/.iotlabsshcli of the nodes."""
        self._run("iotlab-ssh", "-i", experiment, "copy-file", str(path))

    def start_gateway(self, experiment: str, node: str, options: argparse.Namespace) -> None:
        folder = "~/shared/.iotlabsshcli"
        words = (options.prefix, options.broker_host, str(options.broker_port))
        script = f"{folder}/{options.gateway_script.name}"
        token = f"{folder}/{options.token_file.name}"
        # It goes on after the command has ended.
        command = f"nohup sh {script} {shlex.join(words)} {token} >gateway.log 2>&1 </dev/null &"
        self._run("iotlab-ssh", "-i", experiment, "run-cmd", command, "-l", node)

    def stop(self, experiment: str) -> None:
        self._run("iotlab-experiment", "stop", "-i", experiment)

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._dry_run and time.monotonic() < end:
            # A Ctrl+C just before the system call takes effect after it.
            time.sleep(STEP_S)

    def _json(self, *words: str, dry: str) -> dict:
        text = self._run(*words) or dry
        try:
            return json.loads(text)
        except ValueError:
            raise Failed(f"{words[0]} printed no JSON: {text[:200]}") from None

    def _run(self, *words: str) -> str:
        print(f"$ {shlex.join(words)}", flush=True)
        if self._dry_run:
            return ""
        try:
            done = subprocess.run(  # noqa: S603 - our words
                words, stdout=subprocess.PIPE, text=True, check=True
            )
        except FileNotFoundError:
            raise Failed(
                f"{words[0]} is not installed: pip install iotlabcli iotlabsshcli"
            ) from None
        except subprocess.CalledProcessError as error:
            raise Failed(
                f"{words[0]} {words[1]} failed with exit code {error.returncode}."
            ) from None
        return done.stdout


if __name__ == "__main__":
    sys.exit(main())
