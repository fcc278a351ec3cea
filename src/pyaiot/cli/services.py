# SPDX-License-Identifier: BSD-3-Clause
"""Commands that are services: `aiot run`, `demo`, `broker`, the gateways and `dashboard`."""

import inspect
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from pyaiot.app.protocols import plugins
from pyaiot.cli.entry import is_historic
from pyaiot.cli.flags import BROKER, DASHBOARD, gateway_flags, run_flags
from pyaiot.cli.help_sections import TITLES, SectionedCommand
from pyaiot.cli.options import CONFIG_OPTION, load, options_of, summary, with_options
from pyaiot.cli.terminal import print_error, print_line
from pyaiot.config import Config, SettingFlag
from pyaiot.gateways.plugin import Plugin

_NODES_MAX: Final = 500

_ReadSettings: TypeAlias = Callable[[], Config]
"""Reads the settings again, for SIGHUP. Raises `OperatorError`."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for name in ("run", "demo", "broker", *(it.command for it in plugins()), "dashboard"):
        add_service(app, name)


def add_service(app: typer.Typer, name: str) -> None:
    """Register one of the commands. All of them have 500 flags, 1 MB as objects of Typer."""
    match name:
        case "run":
            _add(app, name, _all, run_flags(), _LAN, adjust=_adjusted)
        case "demo":
            _add(app, name, _demo, run_flags(), _nodes(), _FREE_PORTS, adjust=_adjusted)
        case "broker":
            _add(app, name, _broker, BROKER)
        case "dashboard":
            _add(app, name, _dashboard, DASHBOARD)
        case _:
            (plugin,) = (it for it in plugins() if it.command == name)
            _add(app, name, _gateway(plugin), gateway_flags(plugin))


def _all(settings: Config, read_again: _ReadSettings, **_adjustments: bool) -> None:
    """Run everything in one process: broker, dashboard and gateways.

    It listens on this machine only; --lan opens it to the network. Without --mqtt-host it starts
    the embedded MQTT broker.
    """
    from pyaiot.app import services  # noqa: PLC0415 - imports every part of the system

    process = "worker 1" if settings.broker.workers > 1 else ""
    _run(services.run_all(settings, print_line, read_again), settings, process=process)


def _demo(settings: Config, _read_again: _ReadSettings, nodes: int, **_adjustments: bool) -> None:
    """Run everything and some simulated nodes. Open the URL that it prints.

    The nodes use real CoAP, MQTT, MQTT-SN and WebSocket over the loopback interface. Nothing is
    stored after it ends.
    """
    from pyaiot.app import services  # noqa: PLC0415 - see above

    _run(services.run_demo(settings, nodes, print_line), settings, quiet=True)


def _broker(settings: Config, read_again: _ReadSettings) -> None:
    """Run the broker: clients at /ws, gateways at /gw, the dashboard at /.

    It keeps the state of every node and sends each client what it subscribed to.
    """
    from pyaiot.app import services  # noqa: PLC0415 - see above

    _explain_loopback(settings.broker.host)
    _run(services.run_broker(settings, print_line, read_again), settings)


def _gateway(plugin: Plugin) -> Callable[[Config, _ReadSettings], None]:
    def run(settings: Config, read_again: _ReadSettings) -> None:
        from pyaiot.app import services  # noqa: PLC0415 - see above

        if any(flag.names[0] == "--host" for flag in plugin.flags):
            _explain_loopback(getattr(settings.of(plugin.section), "host", ""))
        _run(services.run_gateway(plugin, settings, print_line, read_again), settings)

    run.__doc__ = plugin.help
    return run


def _dashboard(settings: Config, read_again: _ReadSettings) -> None:
    """Serve the dashboard alone, for a broker that runs elsewhere, also a legacy one.

    A broker of Pyaiot must allow its origin: the flag for that is printed.
    """
    from pyaiot.app import dashboard  # noqa: PLC0415 - see above

    _explain_loopback(settings.dashboard.host)
    _run(dashboard.run_dashboard(settings, print_line, read_again), settings)


def _adjusted(
    settings: Config, origins: dict[str, str], arguments: dict[str, Any]
) -> dict[str, object]:
    """Settings of `--lan`, of the demo, and of `--free-ports`."""
    from pyaiot.app.network import demo_settings, free_ports, lan_settings  # noqa: PLC0415

    if "lan" in arguments:
        return lan_settings(settings, origins) if arguments["lan"] else {}
    ports = free_ports(settings, run_flags()) if arguments["free_ports"] else {}
    return {**demo_settings(origins), **ports}


def _present(given: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in given.items() if value not in (None, [])}


def _switch(name: str, flag: str, help_: str) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[bool, typer.Option(flag, help=help_)],
        default=False,
    )


_LAN: Final = _switch(
    "lan",
    "--lan",
    "Open every listener to the network. People sign in with a link that is printed.",
)
_FREE_PORTS: Final = _switch(
    "free_ports", "--free-ports", "Use ports that are free, beside others."
)


def _nodes() -> inspect.Parameter:
    return inspect.Parameter(
        "nodes",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            int, typer.Option("--nodes", min=1, max=_NODES_MAX, help="Number of simulated nodes.")
        ],
        default=sum(len(plugin.demo) for plugin in plugins()),
    )


def _explain_loopback(host: str) -> None:
    """Inform users of the historic names of a change: these commands listened on all addresses."""
    from pyaiot.transport.addresses import is_loopback  # noqa: PLC0415 - see above

    if is_historic() and is_loopback(host):
        print_error("only this machine can connect; --host :: opens the port to the network.")


def _run(
    service: Coroutine[Any, Any, None],
    settings: Config,
    *,
    quiet: bool = False,
    process: str = "",
) -> None:
    from pyaiot.app.runner import run_until_signal  # noqa: PLC0415 - see above

    run_until_signal(service, settings.log, quiet=quiet, process=process)


def _add(
    app: typer.Typer,
    name: str,
    run: Callable[..., None],
    flags: Iterable[SettingFlag],
    *extra: inspect.Parameter,
    adjust: Callable[[Config, dict[str, str], dict[str, Any]], dict[str, object]] | None = None,
) -> None:
    """Register a command whose flags are settings.

    `adjust` returns settings that the flags of `extra` set, from the others and their origins.
    """

    def command(config_file: Path | None = None, **given: Any) -> None:
        from pyaiot.transport.system_trust import import_aiohttp  # noqa: PLC0415 - see above

        import_aiohttp()
        arguments = {item.name: given.pop(item.name) for item in extra}

        def read() -> Config:
            settings, origins = load(config_file, given)
            new = adjust(settings, origins, arguments) if adjust is not None else {}
            return load(config_file, {**new, **_present(given)})[0] if new else settings

        run(read(), read, **arguments)

    titles = {plugin.section.table: plugin.protocol for plugin in plugins()} | TITLES
    options = [*extra, *options_of(flags, titles), CONFIG_OPTION]
    register = app.command(name, cls=SectionedCommand, short_help=summary(run.__doc__))
    register(with_options(command, options, run.__doc__))
