# SPDX-License-Identifier: BSD-3-Clause
"""The command line: `aiot`, and the historic commands with their flags."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from pyaiot import __version__, config
from pyaiot.app import dashboard as pages
from pyaiot.app import services
from pyaiot.app.demo import DEMO_NODES
from pyaiot.app.runner import run_until_signal
from pyaiot.broker.keys import generate_keys, write_keys
from pyaiot.cli import client, doctor
from pyaiot.cli import nodes as simulated
from pyaiot.cli.flags import (
    BROKER,
    COAP_GATEWAY,
    DASHBOARD,
    MQTT_GATEWAY,
    MQTTSN_GATEWAY,
    RUN,
    WEBSOCKET_GATEWAY,
)
from pyaiot.cli.options import CONFIG_OPTION, SettingFlag, load, options_of, summary, with_options
from pyaiot.cli.terminal import EXIT_OPERATOR, say
from pyaiot.config import Config
from pyaiot.errors import OperatorError
from pyaiot.redaction import redact, redact_value

app = typer.Typer(
    name="aiot",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a box of 80 columns cuts long flags in two
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Connects constrained devices to the web: their values in a browser, commands back."
    " Begin with aiot demo.",
)


def main() -> None:
    """`aiot`."""
    _invoke(app)


def broker_main() -> None:
    """`aiot-broker`, the historic name of `aiot broker`."""
    _invoke(app, "broker")


def coap_gateway_main() -> None:
    """`aiot-coap-gateway`, the historic name of `aiot coap-gateway`."""
    _invoke(app, "coap-gateway")


def ws_gateway_main() -> None:
    """`aiot-ws-gateway`, the historic name of `aiot ws-gateway`."""
    _invoke(app, "ws-gateway")


def mqtt_gateway_main() -> None:
    """`aiot-mqtt-gateway`, the historic name of `aiot mqtt-gateway`."""
    _invoke(app, "mqtt-gateway")


def mqttsn_gateway_main() -> None:
    """`aiot-mqttsn-gateway`, the historic name of `aiot mqttsn-gateway`."""
    _invoke(app, "mqttsn-gateway")


def dashboard_main() -> None:
    """`aiot-dashboard`, the historic name of `aiot dashboard`."""
    _invoke(app, "dashboard")


def generate_keys_main() -> None:
    """`aiot-generate-keys`, the historic name of `aiot generate-keys`."""
    _invoke(app, "generate-keys")


def _invoke(program: typer.Typer, *first: str) -> None:
    try:
        program(args=[*first, *sys.argv[1:]], prog_name="aiot")
    except OperatorError as error:
        print(f"aiot: {redact(str(error))}", file=sys.stderr)
        sys.exit(EXIT_OPERATOR)


# -- commands -----------------------------------------------------------------------------------


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        say(f"pyaiot {__version__}")
        raise typer.Exit


def _broker(settings: Config) -> None:
    """Run the broker: clients at /ws, gateways at /gw, the page at /.

    It knows the state of every node and gives each client what it asked for.
    """
    run_until_signal(services.run_broker(settings, say), settings.log)


def _coap_gateway(settings: Config) -> None:
    """Run the CoAP gateway: nodes post to its UDP port, the broker hears of them.

    It holds the nodes while there is no broker, and announces them when there is one.
    The broker lets it in with the key file that aiot generate-keys writes.
    """
    run_until_signal(services.run_coap_gateway(settings, say), settings.log)


def _ws_gateway(settings: Config) -> None:
    """Run the WebSocket gateway: nodes connect to /node, the broker hears of them.

    It holds the nodes while there is no broker, and announces them when there is one.
    The broker lets it in with the key file that aiot generate-keys writes.
    """
    run_until_signal(services.run_ws_gateway(settings, say), settings.log)


def _mqtt_gateway(settings: Config) -> None:
    """Run the MQTT gateway: a client of an MQTT broker that nodes publish to.

    User, password and TLS for that broker stand in the settings file, section mqtt.
    The broker of Pyaiot lets it in with the key file that aiot generate-keys writes.
    """
    run_until_signal(services.run_mqtt_gateway(settings, say), settings.log)


def _mqttsn_gateway(settings: Config) -> None:
    """Run the MQTT-SN gateway: it takes clients over UDP to an MQTT broker.

    Run an MQTT gateway at the same broker: there, the clients are nodes.
    User, password and TLS for that broker stand in the settings file, section mqtt.
    """
    run_until_signal(services.run_mqttsn_gateway(settings, say), settings.log)


def _dashboard(settings: Config) -> None:
    """Serve the page alone, towards a broker that runs elsewhere, also an old one.

    A broker of Pyaiot must let its origin in: the command for that is printed.
    """
    run_until_signal(pages.run_dashboard(settings, say), settings.log)


def _everything(settings: Config) -> None:
    """Run everything in one process: broker, page and gateways.

    It listens on this machine only. --coap-host ::, --ws-host ::, --mqtt-listen :: and
    --mqttsn-host :: let devices of the network in. Without --mqtt-host it starts an MQTT broker
    of its own.
    """
    run_until_signal(services.run_all(settings, say), settings.log)


def _demo(settings: Config, nodes: int) -> None:
    """Run everything and some simulated nodes. Open the URL that it prints.

    The nodes speak real CoAP, MQTT, MQTT-SN and WebSocket over this machine's loopback. Nothing is
    kept when it ends.
    """
    run_until_signal(services.run_demo(settings, nodes, say), settings.log, quiet=True)


@app.command("generate-keys")
def _generate_keys(
    key_file: Annotated[
        str, typer.Option("--key-file", help="Where to write them.")
    ] = config.KEY_FILE,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace keys that are there: all gateways need them.")
    ] = False,
) -> None:
    """Write the key file that broker and gateways share. Only its owner can read it.

    Only gateways that run apart from the broker need one.
    """
    path = Path(key_file).expanduser()
    write_keys(path, generate_keys(), replace=force)
    say(f"Keys written to {path}. Copy it to the machines of your gateways.")


def _show_config(settings: Config, origins: Mapping[str, str]) -> None:
    values = {setting.key: setting for setting in config.settings()}
    width = max(map(len, values))
    for key, setting in values.items():
        value = redact_value(getattr(getattr(settings, setting.section), setting.name))
        shown = msgspec.json.encode(value).decode()
        say(f"{key:<{width}}  {shown:<24}  {origins[key]}")


# -- from settings to flags ---------------------------------------------------------------------

_NODES_OPTION: Final = inspect.Parameter(
    "nodes",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        int, typer.Option("--nodes", min=1, max=500, help="How many simulated nodes.")
    ],
    default=DEMO_NODES,
)


def _add(
    name: str,
    run: Callable[..., None],
    flags: Iterable[SettingFlag],
    *extra: inspect.Parameter,
) -> None:
    """Register a command whose flags are settings."""

    def command(config_file: Path | None = None, **given: Any) -> None:
        arguments = {item.name: given.pop(item.name) for item in extra}
        run(load(config_file, given)[0], **arguments)

    options = [*extra, *options_of(flags), CONFIG_OPTION]
    app.command(name, short_help=summary(run.__doc__))(with_options(command, options, run.__doc__))


_add("run", _everything, RUN)
_add("demo", _demo, RUN, _NODES_OPTION)
_add("broker", _broker, BROKER)
_add("coap-gateway", _coap_gateway, COAP_GATEWAY)
_add("ws-gateway", _ws_gateway, WEBSOCKET_GATEWAY)
_add("mqtt-gateway", _mqtt_gateway, MQTT_GATEWAY)
_add("mqttsn-gateway", _mqttsn_gateway, MQTTSN_GATEWAY)
_add("dashboard", _dashboard, DASHBOARD)


@app.command(
    "config",
    short_help="Check the settings of file and environment, or show each with its origin.",
)
def _config_command(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML).", show_default=False)
    ] = None,
    *,
    show: Annotated[
        bool, typer.Option("--show", help="Print every setting, its value and its origin.")
    ] = False,
) -> None:
    """Check the settings of file and environment, or show each with its origin.

    A flag outranks the environment, which outranks the file.
    """
    settings, origins = load(config_file, {})
    if show:
        _show_config(settings, origins)
    else:
        say("The settings are good. See them with aiot config --show.")


simulated.add_to(app)
client.add_to(app)
doctor.add_to(app)
