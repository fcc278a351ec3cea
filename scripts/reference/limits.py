# SPDX-License-Identifier: BSD-3-Clause
"""docs/reference/limits.md, from the constants of the modules and the texts below them."""

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from scripts.reference.describe import table

SOURCE: Final = Path(__file__).parents[2] / "src" / "pyaiot"

NOT_LIMITS: Final = {
    "broker.subscriber.CLOSE_POLICY": "a code of RFC 6455",
    "broker.subscriber.CLOSE_SLOW": "a code of RFC 6455",
    "cli.terminal.EXIT_NO": "an exit code",
    "cli.terminal.EXIT_OPERATOR": "an exit code",
    "client.connection.FORBIDDEN": "a status of HTTP",
    "client.connection.UNAUTHORIZED": "a status of HTTP",
    "client.address.PORT": "a port",
    "gateways.coap.aiocoap_adapter.ANSWER_MESSAGE_IDS": "a share of the message IDs",
    "history.postgres.schema.WEEK": "a unit",
    "history.postgres.schema.WRITER_LOCK": "a name, as a number",
    "cluster.packets.LEVEL": "a version",
    "history.postgres.schema.WORKER_LOCK": "a name, as a number",
    "history.postgres.schema.SCHEMA_LOCK": "a name, as a number",
    "history.rows.CLOCK_SET_S": "the year 2020",
    "history.rows.MICROSECONDS": "a unit",
    "history.sqlite.schema.APPLICATION_ID": "a name, as a number",
    "history.series_index.MINUTE": "a unit",
    "registry.postgres.WRITER_LOCK": "a name, as a number",
    "registry.postgres.SCHEMA_LOCK": "a name, as a number",
    "registry.sqlite.APPLICATION_ID": "a name, as a number",
}
"""Public numbers that are not limits."""
OTHER_LIMITS: Final = re.compile(r"devices\.|protocols\.(.*numbers|mqtt\.packets?)\.")
"""Modules whose numbers are those of a small board, or of a standard."""

TEXTS: Final = {
    "broker.keys.SECRET_LENGTH": "Characters of the secret in a new key file.",
    "broker.keys.TOKEN_AGE_MAX_S": "Age of a gateway's token. An older one is answered 401.",
    "gateways.coap.gateway.PING_LIMIT_S": "How long the gateway may take to answer its own ping."
    " After that `/readyz` reports it.",
    "gateways.coap.commands.READ_BACK_S": "How long a node may take to report a value after"
    " a write. After that the known value stays.",
    "gateways.command_runner.DETAIL_LENGTH_MAX": "Longest detail of a receipt, in characters. A"
    " longer one is cut.",
    "transport.rate_limit.RateLimitedLog.DETAIL_LENGTH_MAX": "Longest text of a peer in a log"
    " line, in characters.",
    "transport.rate_limit.RateLimitedLog.LINES_BURST": "Burst of log lines that peers cause.",
    "transport.rate_limit.RateLimitedLog.LINES_PER_S": "The same, sustained. Further ones are"
    " counted.",
    "messages.limits.COMMAND_TIMEOUT_MAX_S": "The longest deadline of a command. Longer ones are"
    " refused.",
}
"""Descriptions of constants that have no docstring."""

INTRODUCTION: Final = """\
# Limits

<!-- Written by scripts/generate-docs from the constants below src/pyaiot. -->

Every limit, with its name in the code and its consequence. Limits that an operator may change are
[settings](settings.md). The simulated board has the small memory of a real one; its limits are in
its module. Limits that a standard defines are in the modules of its protocol.

By topic:

* Rate limits: [commands of clients](#brokerclient_rates), [readings](#gatewayslive_node), [new
  nodes](#gatewayslive_nodes), [datagrams per host](#transporthost_rate_limit),
  [MQTT-SN](#gatewaysmqttsnadmission), [subscribers](#brokersubscriber), [sign-in](#websign_in),
  [log lines](#transportrate_limit).
* Anti-amplification limit: [unverified peers](#protocolsamplification),
  [bookkeeping](#transportanti_amplification).
* Deduplication: [CoAP](#protocolscoapdeduplication), [MQTT-SN](#protocolsmqttsndeduplication),
  [HTTP commands](#webapiidempotency).
* Embedded MQTT broker: [its process](#mqttembeddedbroker), [quotas of a
  device](#mqttembeddedquotas).
* History: [recorder and queue](#historyrecorder), [queries](#historystore),
  [retention](#historyretention).
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """A constant: its dotted name below `pyaiot`, its value, and its consequence."""

    name: str
    value: float
    text: str

    @property
    def module(self) -> str:
        return re.sub(r"(\.[A-Z]\w*)+$", "", self.name)

    @property
    def shown(self) -> str:
        """The value in a readable form, with the unit at the end of its name."""
        last = self.name.rpartition(".")[2]
        if last.endswith("_PER_S"):
            return f"{self.value:,.0f} /s" if self.value >= 100 else f"{self.value:.3g} /s"
        if last.endswith("_S"):
            return f"{self.value:,.12g} s"
        if re.search("SIZE|BYTES|COST|BUFFER", last):
            for unit, size in (("MiB", 2**20), ("KiB", 2**10)):
                if self.value % size == 0:
                    return f"{int(self.value) // size:,} {unit}"
            return f"{int(self.value):,} bytes"
        return f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:,.12g}"


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION]
    for module, group in groupby(limits(), key=lambda limit: limit.module):
        rows = [
            (f"`{limit.name.removeprefix(module + '.')}`", limit.shown, limit.text)
            for limit in group
        ]
        parts.append(f"## `{module}`\n\n" + table(("limit", "value", "meaning"), rows))
    return "\n".join(parts)


def limits() -> Iterator[Limit]:
    """Every limit, by module."""
    for limit in numbers():
        if limit.name not in NOT_LIMITS and not OTHER_LIMITS.match(limit.name):
            yield limit


@functools.cache
def numbers() -> tuple[Limit, ...]:
    """Each public `NAME: Final = <number>` of a module or of a class in it."""
    return tuple(_all_numbers())


def _all_numbers() -> Iterator[Limit]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        yield from _numbers(name, "", tree.body)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                yield from _numbers(name, node.name, node.body)


def _numbers(module: str, class_: str, body: list[ast.stmt]) -> Iterator[Limit]:
    for index, node in enumerate(body):
        match node:
            case ast.AnnAssign(target=ast.Name(id=constant), annotation=kind, value=value) if (
                ast.unparse(kind).startswith("Final")
                and isinstance(value, ast.Constant | ast.BinOp)
                and not constant.startswith("_")
            ):
                owner: Any = importlib.import_module(f"pyaiot.{module}")
                number = getattr(getattr(owner, class_) if class_ else owner, constant)
                if isinstance(number, int | float):
                    name = ".".join(filter(None, (module, class_, constant)))
                    text = _text(constant, body[index + 1 :]) or TEXTS.get(name, "")
                    yield Limit(name, number, text)


def _text(constant: str, following: list[ast.stmt]) -> str:
    """The docstring below a constant. Constants with a common stem, such as `X_PER_S` and
    `X_BURST`, share one."""
    for node in following:
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                return " ".join(text.split())
            case ast.AnnAssign(target=ast.Name(id=other)) if (
                other.partition("_")[0] == constant.partition("_")[0]
            ):
                continue
        return ""
    return ""
