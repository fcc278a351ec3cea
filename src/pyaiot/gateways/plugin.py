# SPDX-License-Identifier: BSD-3-Clause
"""The interface between a device protocol and the rest of Pyaiot.

Each protocol has a module `plugin.py` with one value, `PLUGIN`. Commands, flags, settings, the
demo, the fleet, the doctor, metrics and the generated documentation are made from these values.

Classes and functions of a plugin are dotted names that are imported when they are used, so that a
command loads the code of a protocol only if it runs that code.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import msgspec

from pyaiot.config import Config, ProtocolSection, SettingFlag

if TYPE_CHECKING:
    from pyaiot.gateways.gateway import ConnectToBroker, Gateway
    from pyaiot.metrics import Collector

Language: TypeAlias = Literal["en", "fr", "de"]
"""A language of the dashboard."""
Check: TypeAlias = Callable[[], Awaitable[str]]
"""A round trip through a part of the system. Returns its problem, or an empty text."""


def type_at(name: str) -> Callable[[], type[Any]]:
    """Returns a function that imports the class `module:name`."""
    return partial(resolve_name, name)


def function_at(name: str) -> Callable[..., Any]:
    """Returns a function that imports the function `module:name` and calls it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return resolve_name(name)(*args, **kwargs)

    return call


class SharingMachine(NamedTuple):
    """A machine whose gateway shares nodes with those of others."""

    address: str
    is_own: bool
    shares: int | None
    """Shares of the nodes that its gateway serves; None: it sends nothing."""


class OpenGateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway whose listener is open."""

    command: str
    """The command that runs only this gateway: `coap-gateway`."""
    protocol: str
    """The protocol of its nodes: `CoAP`."""
    listener: str
    """The port in words: `UDP port 5683`."""
    port: int
    check: Check
    """A round trip through its listener."""
    collect: "Collector"
    """Its metrics."""
    gateway: "Gateway | None"
    """None: it has no link to the broker, because its nodes belong to another gateway."""
    run: "Callable[[ConnectToBroker], Coroutine[Any, Any, None]]"
    """Serves until cancelled, and closes the listener then."""
    leave: Callable[[], Awaitable[None]] | None = None
    """Awaited before `run` is cancelled. Then it receives nothing more, the broker has what it
    acknowledged, and gateways of other machines may have its nodes."""
    machines: Callable[[], Sequence[SharingMachine]] | None = None
    """Those of the gateways with which it shares its nodes, and its own."""
    ready: Callable[[], Awaitable[object]] | None = None
    """Awaited after `run` has begun and before further gateways start, if the order matters."""
    reload_tls: Callable[[], None] = lambda: None
    """Reads the certificate of its listener again. Raises `OperatorError`."""


class ListenerPort(msgspec.Struct, frozen=True):
    """A port that `aiot run` opens for a protocol, from the settings."""

    name: str
    transport: Literal["TCP", "UDP"]
    host: str
    port: int
    flag: str
    """The flag that chooses another port."""


class ProbeResult(msgspec.Struct, frozen=True):
    """The result of a check of something that a protocol depends on."""

    area: str
    name: str
    ok: bool
    text: str
    action: str = ""
    """How to fix it, if not `ok`."""


class SimulatedNode(msgspec.Struct, frozen=True, kw_only=True):
    """`aiot node NAME`: a simulated device that speaks the protocol."""

    name: str
    help: str
    """Help of the command."""
    config: Callable[[], type[Any]]
    """The type of its settings, a subclass of `devices.node_config.NodeConfig`."""
    run: Callable[..., Coroutine[Any, Any, None]]
    """Takes the settings, and a function `opened` that is called when its port is open."""
    port_setting: str
    """The setting that names the port of the gateway or MQTT broker."""
    peer: Callable[[Any], str]
    """Its target in words, from the settings: `CoAP to localhost port 5683`."""
    demo_settings: Callable[[], dict[str, object]] = dict
    """Settings that its nodes need in the demo."""


class DemoNode(msgspec.Struct, frozen=True):
    """A node of `aiot demo`."""

    position: int
    """Nodes are started in this order."""
    name: str
    resources: tuple[str, ...]
    """Flags of the simulated node that are set."""
    settings: Mapping[str, object] = msgspec.field(default_factory=dict)
    """Other settings of the simulated node."""


class FleetNodes(msgspec.Struct, frozen=True):
    """The nodes of a protocol in `aiot fleet`."""

    count: str
    """The setting with the number of nodes."""
    settings: Callable[[], type[Any]]
    """The struct of the fleet settings of this protocol, `count` first."""
    open: Callable[[Any, Any], Awaitable[Any]]
    """Takes these settings and a `fleet.node.FleetRun`; returns a `fleet.node.NodeFactory`."""


class SharedService(msgspec.Struct, frozen=True):
    """A service that several protocols use in one process, such as an MQTT broker."""

    open: Callable[[Config, Path | None], AbstractAsyncContextManager[Any]]
    """Opens it in `aiot run` and `aiot demo`. The folder, if given, replaces that of the
    settings."""
    for_one_gateway: Callable[[Config], Any]
    """Returns it for a gateway in a separate process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """A device that has just got a credential. The text to paste is made from it."""

    uid: str
    secret: str = field(repr=False)
    """Hexadecimal digits of a key or a password. Empty: the protocol has none, or the device made
    it itself."""
    stored: bytes = field(default=b"", repr=False)
    """The value that the gateway stores: the key, a digest, or a public key."""
    host: str
    """Address of this machine, as the device reaches it."""
    config: Config
    language: Language = "en"
    """Language of the summary."""


class Snippet(msgspec.Struct, frozen=True):
    """What to paste into a device or a program."""

    board: str
    """`riot`, `micropython`, `arduino` or `shell`."""
    text: str


class Enrolled(NamedTuple):
    """A new credential of a device."""

    secret: str
    """The secret for the device, in hexadecimal digits; empty if the device has it already."""
    stored: bytes
    """The value that the gateway stores."""


class DeviceAccess(msgspec.Struct, frozen=True, kw_only=True):
    """A method by which a device of the protocol proves its uid: `aiot device add`."""

    name: str
    """The argument of `--protocol`: `coap`."""
    kind: str
    """The kind of its credentials in `DeviceStore`; empty: the protocol has none."""
    is_key: bool = False
    """Whether the gateway needs the secret itself, which is a key. Otherwise it is a password, of
    which the SHA-256 is stored."""
    enroll: Callable[[Config, str], Enrolled] | None = None
    """Makes the credential; None: a random secret. The second argument is the public key of the
    device in hexadecimal digits; empty if it has none yet. Raises `OperatorError`."""
    excludes: str = ""
    """A kind of credential that the same device cannot have as well; empty if there is none."""
    summary: Callable[[NewDevice], str]
    """Some sentences for people, in their language: where the device connects, and its messages."""
    snippets: Callable[[NewDevice], Iterable[Snippet]]
    is_local_only: Callable[[Config], bool]
    """Whether its listener accepts only devices on this machine."""
    forbidden: str = ""
    """Characters that the names of its devices may not contain, although uids may."""
    title: str = ""
    """For people; empty: the name of the protocol."""
    problem: Callable[[str], str] = lambda _name: ""
    """Why a device cannot have this name; empty if it can."""
    uid_prefix: str = ""
    """Prefix of the uid of a device; its name follows."""
    other_name: Callable[[str], str] = lambda _uid: ""
    """A further name with which a device of this uid connects; empty if there is none. Another
    device cannot have it."""


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """A device protocol."""

    protocol: str
    """Its name in messages, metrics and the dashboard: `CoAP`."""
    command: str
    """The command that runs only its gateway."""
    help: str
    """Help of that command."""
    section: type[ProtocolSection]
    flags: Sequence[SettingFlag]
    """Flags of its gateway command, beside those of all gateways."""
    run_flags: Sequence[SettingFlag]
    """Its flags of `aiot run`, `aiot demo` and `aiot doctor`."""
    open: Callable[[Config, Any], Awaitable[OpenGateway]]
    """Opens the listener. The second argument is the value of `shared`, or None. Raises
    `OperatorError`."""
    ports: Callable[[Config], Iterator[ListenerPort]]
    offline_timeout: str = ""
    """The setting of its offline timeout; empty: a node is offline when its connection ends."""
    listen_setting: str = ""
    """The setting of the address that its devices connect to; `aiot run --lan` sets it."""
    service_type: str = ""
    """The DNS-SD type of its listener, such as `_coap._udp`; empty: it is not announced."""
    tls_service_type: str = ""
    """The same with TLS."""
    has_link: bool = True
    """Whether its gateway has a link to the broker of Pyaiot."""
    has_tls: bool = False
    """Whether it has a TCP listener that uses the certificate of the settings (`TlsSection`)."""
    shared: SharedService | None = None
    probe: Callable[[Config], AsyncIterator[ProbeResult]] | None = None
    """Checks for `aiot doctor`, in addition to its ports."""
    metrics: str = ""
    """The module of its metrics; empty: it has only the metrics of all gateways."""
    node: SimulatedNode | None = None
    demo: Sequence[DemoNode] = ()
    fleet: FleetNodes | None = None
    access: Sequence[DeviceAccess] = ()
    """The credentials that its devices may have."""
    how_to: str = ""
    """The page of `docs/how-to` about it."""
