# SPDX-License-Identifier: BSD-3-Clause
"""`aiot service`: the services of this machine, kept running by systemd."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from pyaiot import config
from pyaiot.cli.flags import run_flags
from pyaiot.cli.options import keys_of, load, summary
from pyaiot.cli.terminal import print_error, print_line
from pyaiot.config import Config, Setting
from pyaiot.errors import OperatorError, reason_of
from pyaiot.redaction import redact_value
from pyaiot.systemd import units
from pyaiot.systemd.manager import Manager, service_environment
from pyaiot.systemd.units import HISTORIC, Service

_LOW_PORT_MAX: Final = 1023
_PASS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}

UserOption = Annotated[
    bool, typer.Option("--user", help="The service of this user instead of the machine's.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Services of this machine, which systemd starts at boot and keeps running.",
    )
    group.command("install", context_settings=_PASS_ON)(install)
    group.command("status", short_help=summary(status.__doc__))(status)
    group.command("logs", context_settings=_PASS_ON)(logs)
    group.command(
        "exec",
        short_help="Run a command of aiot as the service, with its user, settings and data.",
        context_settings={**_PASS_ON, "allow_interspersed_args": False},
    )(execute)
    group.command("uninstall")(uninstall)
    app.add_typer(group, name="service", help="Install and manage a service of systemd.")


def install(
    context: typer.Context,
    *,
    user: UserOption = False,
    apart: Annotated[
        bool,
        typer.Option(
            "--apart", help="One service each for broker, gateways and dashboard, in pyaiot.target."
        ),
    ] = False,
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Only enable it: it starts at the next boot.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--print", help="Print the units and change nothing.")
    ] = False,
) -> None:
    """Install a service that starts at boot, and start it.

    Every flag of aiot run may be added, such as --lan or --title "My lab". Other settings
    come from /etc/pyaiot/config.toml (with --user, from ~/.config/pyaiot/config.toml). A second
    install replaces the first. It needs root, except with --user.
    """
    environment, settings = _settings_of(context.args)
    services = _services(settings, environment, apart=apart)
    manager = Manager(user=user)
    program = [_program()]
    if show:
        for service in services:
            print_line(f"# {service.unit}\n{units.service_unit(service, program, user=user)}")
        return
    if not user and os.geteuid() != 0:
        raise OperatorError("This needs root: start it with sudo, or use --user.")
    paths = manager.install(services, program)
    names = [path.name for path in paths]
    if not manager.is_running:
        print_line(f"Installed: {', '.join(names)}. systemd does not run here: start it yourself.")
    elif not no_start:
        manager.restart(names)
        print_line(f"Running, also after a reboot: {', '.join(names)}.")
        _explain_sign_in(settings, user=user)
    else:
        print_line(f"Installed: {', '.join(names)}. It starts at the next boot.")
    if user:
        print_line("Without this, it runs only while you are signed in: loginctl enable-linger")


def status(*, user: UserOption = False) -> None:
    """Show whether the services run, since when, and their last lines of log."""
    manager = _installed(user=user)
    _become(manager.control_command("status", "--no-pager", *manager.installed()))


def logs(context: typer.Context, *, user: UserOption = False) -> None:
    """Show the log of the services. Flags of journalctl may be added, such as -f or -n 100."""
    manager = _installed(user=user)
    chosen = [f"--{'user-' if manager.user else ''}unit={name}" for name in manager.installed()]
    _become(["journalctl", *(["--user"] if manager.user else []), *chosen, *context.args])


def execute(context: typer.Context) -> None:
    """Run a command of aiot as the service: with its user, its settings and its data.

    For example: aiot service exec invite --role admin. It needs root.
    """
    manager = Manager()
    if not manager.installed():
        raise OperatorError("No service is installed: `aiot service install` installs it.")
    if os.geteuid() != 0:
        raise OperatorError("This needs root: start it with sudo.")
    environment = service_environment(manager, os.environ)
    try:
        import pwd  # noqa: PLC0415 - only Unix has it

        person = pwd.getpwnam(units.NAME)
        os.setgroups([])
        os.setgid(person.pw_gid)
        os.setuid(person.pw_uid)
        os.chdir(manager.state_folder)
    except (ImportError, KeyError, OSError) as error:
        raise OperatorError(f"The user {units.NAME} cannot be used: {error}.") from error
    _become([_program(), *context.args], environment)


def uninstall(
    *,
    user: UserOption = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete its data, settings and user, too.")
    ] = False,
) -> None:
    """Stop the services and remove them. Data and settings stay, unless --purge is given."""
    manager = Manager(user=user)
    if not user and os.geteuid() != 0:
        raise OperatorError("This needs root: start it with sudo, or use --user.")
    if purge and user:
        raise OperatorError(
            "--purge is not for --user, whose data is also that of `aiot run`: delete"
            f" {config.data_folder(os.environ)} yourself."
        )
    names = manager.uninstall(purge=purge)
    kept = "" if purge or user else f" Data stay in {manager.state_folder}."
    print_line(f"Removed: {', '.join(names)}.{kept}")


# -- parts --------------------------------------------------------------------------------------


def _settings_of(arguments: list[str]) -> tuple[dict[str, str], Config]:
    """The settings in flags of `aiot run`, as variables and as a whole. Raises `OperatorError`."""
    from pyaiot.cli.app import program  # noqa: PLC0415 - it imports this module

    run: Any = program(["run"])
    command = run.commands["run"]
    if "--help" in arguments or "-h" in arguments:
        raise OperatorError("aiot run --help lists the flags that the service can have.")
    given = command.make_context("aiot service install", list(arguments)).params
    file = given.pop("config_file", None)
    path = Path(file) if file else None
    is_lan = given.pop("lan", False)
    settings, origins = load(path, given)
    if is_lan:
        from pyaiot.app.network import lan_settings  # noqa: PLC0415 - only needed here

        given = {**lan_settings(settings, origins), **given}
        settings, _ = load(path, given)
    known = {setting.key: setting for setting in config.settings()}
    environment = {"AIOT_CONFIG": str(path.absolute())} if path else {}
    for name, value in given.items():
        for key in keys_of(name) if value not in (None, [], ()) else ():
            environment[known[key].variable] = _as_text(value, known[key])
    return environment, settings


def _as_text(value: Any, setting: Setting) -> str:
    if isinstance(value, str) and redact_value(value) != value:
        raise OperatorError(
            f"Every user of this machine could read the password in {setting.key}: write it into"
            f" /etc/{units.NAME}/config.toml."
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def _services(settings: Config, environment: Mapping[str, str], *, apart: bool) -> list[Service]:
    if not apart:
        low = _low_ports(settings, {flag.key for flag in run_flags()})
        return [Service("run", "Pyaiot: everything", environment, low, HISTORIC)]
    from pyaiot.app.protocols import plugins  # noqa: PLC0415 - only needed here
    from pyaiot.cli.flags import BROKER, DASHBOARD, gateway_flags  # noqa: PLC0415

    commands: dict[str, tuple[str, set[str]]] = {
        "generate-keys": ("key file of broker and gateways", set()),
        "broker": ("broker", {flag.key for flag in BROKER}),
        **{
            plugin.command: (
                f"{plugin.protocol} gateway",
                {flag.key for flag in gateway_flags(plugin)},
            )
            for plugin in plugins()
        },
        "dashboard": ("dashboard", {flag.key for flag in DASHBOARD}),
    }
    return [
        Service(
            *(command, f"Pyaiot: {text}", environment, _low_ports(settings, keys)),
            [name for name in HISTORIC if name == f"aiot-{command}"],
        )
        for command, (text, keys) in commands.items()
    ]


def _low_ports(settings: Config, keys: set[str]) -> bool:
    """Whether a listener of these settings has a port below 1024."""
    return any(
        0 < settings.value(setting) <= _LOW_PORT_MAX
        for setting in config.settings()
        if setting.key in keys and setting.name != "broker_port" and setting.name.endswith("port")
    )


def _program() -> str:
    """The absolute path of the `aiot` that runs."""
    beside = Path(sys.executable).parent / "aiot"
    called = Path(sys.argv[0])
    for path in (called.absolute() if called.name == "aiot" else beside, beside):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise OperatorError(f"There is no program aiot beside {sys.executable}: install Pyaiot.")


def _explain_sign_in(settings: Config, *, user: bool) -> None:
    from pyaiot.app.accounts import needs_sign_in  # noqa: PLC0415 - imports the accounts

    if not needs_sign_in(settings.broker):
        print_line(f"Dashboard: http://localhost:{settings.broker.port}/, on this machine only.")
        return
    command = "aiot invite" if user else "sudo aiot service exec invite"
    print_line(f"To sign in: {command} --role admin")


def _installed(*, user: bool) -> Manager:
    """The manager with a service: that of the machine, else that of the user."""
    for manager in (Manager(user=user), Manager(user=True)):
        if manager.installed():
            return manager
    raise OperatorError("No service is installed: `aiot service install` installs it.")


def _become(command: list[str], environment: Mapping[str, str] | None = None) -> NoReturn:
    """Replace this process. Raises `OperatorError`."""
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environment or os.environ)  # noqa: S606 - our own words
    except OSError as error:
        print_error(f"{command[0]} cannot be started: {reason_of(error)}.")
        sys.exit(2)
