# SPDX-License-Identifier: BSD-3-Clause
"""Runs `async def` tests: on a clock that jumps, or, marked `sockets`, on real sockets.

`sockets(speed=5)`: the clock of the loop runs five times as fast as the real one. For tests that
wait for timeouts of our services, and have everything in their own loop.
"""

import asyncio
import fnmatch
import gc
import inspect
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Generator, Iterator
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import argon2
import pytest
import uvloop
from hypothesis import settings

from pyaiot.accounts import passwords
from tests.hang_limits import HangLimits
from tests.no_secrets import NoSecrets
from tests.priority import has_priority
from tests.time_limits import time_limit

# aiohttp loads the public certificate authorities twice on import. No test uses them.
with pytest.MonkeyPatch.context() as variables:
    variables.setenv("SSL_CERT_FILE", os.devnull)
    variables.setenv("SSL_CERT_DIR", os.devnull)
    import aiohttp  # noqa: F401

settings.register_profile("fixed", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("fixed")

SOCKET_TEST_LIMIT_S = 90.0
"""A test that takes longer is assumed to hang. The slowest one takes 7 s alone. On a busy machine,
`time_limit` ends after three times as long: before the limit of `HangLimits`."""
TESTS = Path(__file__).parent

# Imports and collection create no garbage; searching for it would take a third of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    # Tests leave little garbage. With the usual 700 objects, 4 % of the time goes into its search.
    gc.set_threshold(5_000, 10, 10)
    gc.enable()


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: adds the time that the loop would have slept to its clock."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the test waits for an event that cannot happen")
            self.jumped_s += timeout
        return ready


class JumpingClockLoop(asyncio.SelectorEventLoop):
    """An event loop on which two minutes of silence cost nothing."""

    def __init__(self) -> None:
        self._jumping_selector = _JumpingSelector()
        super().__init__(self._jumping_selector)

    def time(self) -> float:
        return 1000.0 + self._jumping_selector.jumped_s

    def pause(self, seconds: float) -> None:
        """Advance the clock while the process does not run."""
        self._jumping_selector.jumped_s += seconds


class _FastSelector(selectors.DefaultSelector):
    """Waits for a timeout divided by the speed of the clock."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / self._speed)


class FastClockLoop(asyncio.SelectorEventLoop):
    """An event loop with real sockets on which ten seconds take two."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        super().__init__(_FastSelector(speed))

    def time(self) -> float:
        return time.monotonic() * self._speed


def run_on_jumping_clock(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=JumpingClockLoop) as runner:
        runner.run(coroutine)


def run_on_real_clock(
    coroutine: Coroutine[Any, Any, None],
    runner: asyncio.Runner | None = None,
    *,
    speed: float = 1.0,
) -> None:
    """Run in the loop of `runner`, which stays open, else in a new loop.

    The loop is that of uvloop, as in `aiot`, because its transports and timers differ from those of
    asyncio. With a `speed` it is that of asyncio, with a fast clock.
    """

    async def limited() -> None:
        async with time_limit(SOCKET_TEST_LIMIT_S):
            await coroutine

    if runner is not None:
        runner.run(limited())
        return
    factory = uvloop.new_event_loop if speed == 1.0 else partial(FastClockLoop, speed)
    with asyncio.Runner(loop_factory=factory) as own:
        own.run(limited())


def coroutine_of(test: pytest.Function) -> Coroutine[Any, Any, None]:
    """The call of an `async def` test with its fixtures."""
    names = inspect.signature(test.obj).parameters
    called: Coroutine[Any, Any, None] = test.obj(**{name: test.funcargs[name] for name in names})
    return called


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    sockets = pyfuncitem.get_closest_marker("sockets")
    if sockets is None:
        run_on_jumping_clock(coroutine_of(pyfuncitem))
    else:
        run_on_real_clock(coroutine_of(pyfuncitem), **sockets.kwargs)
    return True


# A hook, because an autouse fixture takes a third of the time of a small test.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Services in the process of a test store nothing in the home folder of the user.

    Otherwise a test would find files of another test.
    """
    if item.get_closest_marker("sockets") is None:
        return (yield)
    with (
        tempfile.TemporaryDirectory(prefix="pyaiot-test-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as variables,
    ):
        variables.setenv("XDG_DATA_HOME", folder)
        return (yield)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("not run: a full disk needs a file system that may be mounted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


_REAL_HASHER = passwords._hasher
# From here on, because some files of tests hash a password when they are imported.
passwords._hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def real_hasher() -> argon2.PasswordHasher:
    """The hasher of other processes. Password hashes are cheap in this process."""
    return _REAL_HASHER


def pytest_configure(config: pytest.Config) -> None:
    """Fail tests whose output contains a secret.

    Processes started by tests also end when the run is ended by SIGTERM, as by `timeout`.
    """

    config.pluginmanager.register(NoSecrets(), "no-secrets")
    limits_s = (float(config.getini(name)) for name in HangLimits.SETTINGS)
    config.pluginmanager.register(HangLimits(*limits_s), "hang-limits")

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt("ended by a signal")

    signal.signal(signal.SIGTERM, end)
    # A shell that starts a job in the background has it ignore Ctrl+C; its children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# -- the fast tests ---------------------------------------------------------------------------

SLOW = (
    *("attacks", "end_to_end", "examples", "interop", "machines", "web/test_dashboard*.py"),
    *("web/test_api_docs.py", "web/test_documentation_site.py", "web/test_lighthouse.py"),
    *("web/test_teapot.py", "doctor/test_doctor.py", "homeassistant/test_service.py"),
    *("history/test_clock_steps.py", "history/test_ledger.py", "history/test_lost_store.py"),
    *("history/test_postgres.py", "test_benchmarks.py", "test_docs_commands.py"),
    *("test_fuzz_targets.py", "test_no_secrets.py", "test_package.py", "test_page_script.py"),
    *("test_scripts.py", "test_supply_chain.py"),
)
"""Folders and files of tests that start programs, browsers or servers, or run for long."""


LONGEST = tuple(
    """
    web/test_dashboard_home.py end_to_end/test_fleet.py end_to_end/test_processes.py
    mqtt/test_embedded_broker.py test_docs_commands.py end_to_end/test_mqtt_cluster.py
    end_to_end/test_embedded_mqtt.py mqtt/test_embedded_cluster.py
    test_benchmarks.py interop/test_home_assistant.py doctor/test_doctor.py
    web/test_dashboard_end_to_end.py web/test_dashboard_for_everybody.py
    attacks/test_secrets.py web/test_dashboard_registry.py homeassistant/test_service.py
    web/test_dashboard_installed.py gateways/test_mqtt_old_messages.py
    web/test_dashboard_audit.py end_to_end/test_mdns.py web/test_dashboard_alerts.py
    attacks/test_mutated_inputs.py web/test_dashboard_page.py gateways/test_mqtt_gateway.py
    gateways/test_share_clients.py
    web/test_documentation_site.py interop/test_address_families.py
    web/test_dashboard_history.py web/test_ended_access.py web/test_dashboard_devices.py
    mqtt/test_embedded_quotas.py web/test_dashboard_figures.py attacks/test_secured_mqtt.py
    web/test_dashboard_layout.py test_scripts.py web/test_dashboard_every_way.py
    end_to_end/test_cluster_fault.py web/test_dashboard_fleet.py
    end_to_end/test_cluster_events.py end_to_end/test_cluster_restore.py
    history/test_clock_steps.py web/test_dashboard_map.py attacks/test_stalled_clients.py
    web/test_dashboard_topics.py interop/test_coap_dtls.py history/test_postgres.py
    web/test_lighthouse.py
    interop/test_coap_discovery.py web/test_dashboard_path.py web/api/test_writing.py
    web/test_dashboard_types.py end_to_end/test_cluster.py web/api/test_openapi.py
    interop/test_coap_format_errors.py web/test_sign_in.py interop/test_old_services.py
    test_fuzz_targets.py interop/test_mqtt_clients.py web/test_api_docs.py web/test_metrics.py
    web/test_dashboard_charts.py attacks/test_claims.py web/test_history_problem.py
    attacks/test_secured_uids.py end_to_end/test_backup.py attacks/test_leavers.py
    web/test_access.py attacks/test_unknown_peers.py
    examples/test_micropython.py interop/test_libcoap_dtls.py end_to_end/test_foreign_devices.py
    test_package.py end_to_end/test_fleet_logins.py end_to_end/test_tls.py
    history/test_ledger.py gateways/test_mqttsn_gateway.py interop/test_oscore.py
    attacks/test_nonsense.py test_links.py interop/test_libcoap.py web/test_dashboard_account.py
    web/test_scopes.py cluster/test_simulation.py gateways/test_mqtt_ignored.py
    web/api/test_history.py end_to_end/test_history.py interop/test_mqttsn_client.py
    examples/test_device_snippets.py test_imports.py transport/test_tls_listener.py
    end_to_end/test_node_commands.py attacks/test_file_descriptors.py
    end_to_end/test_gateway_tokens.py end_to_end/test_command_line.py
    end_to_end/test_client_commands.py cli/test_accounts.py end_to_end/test_path.py
    interop/test_coap_requests.py
    """.split()  # noqa: SIM905 - a list of ninety names is as many lines
)
"""The slowest files start first, so that all workers of `scripts/test` end at the same time. Files
that mostly wait alternate with files that mostly compute, so that the processors stay busy."""
MEASURES_SPEED = "web/test_lighthouse.py"
"""Without real-time priority it runs at the end, when the fewest tests run beside it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, (default_s, text) in HangLimits.SETTINGS.items():
        parser.addini(name, text, default=f"{default_s}")
    parser.addoption(
        "--fast",
        action="store_true",
        help="Run only the pure and the service tests: no sockets, programs or browsers.",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--fast`, do not import files of slow tests."""
    name = collection_path.relative_to(TESTS).as_posix() if collection_path != TESTS else ""
    is_slow = any(fnmatch.fnmatchcase(name, pattern) for pattern in SLOW)
    return True if config.getoption("--fast") and is_slow else None


def is_fast(item: pytest.Item) -> bool:
    """Whether the test uses neither sockets nor programs."""
    return not any(item.get_closest_marker(name) for name in ("sockets", "programs"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rank = {TESTS / name: number for number, name in enumerate(LONGEST)}
    if not config.getoption("--fast") and not has_priority():
        rank[TESTS / MEASURES_SPEED] = len(rank) + 2  # after those without a rank
    items.sort(key=lambda item: rank.get(item.path, len(rank)))
    if config.getoption("--fast"):
        slow = [item for item in items if not is_fast(item)]
        config.hook.pytest_deselected(items=slow)
        left = set(map(id, slow))
        items[:] = [item for item in items if id(item) not in left]
