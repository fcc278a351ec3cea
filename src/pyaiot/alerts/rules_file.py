# SPDX-License-Identifier: BSD-3-Clause
"""The file of alerts: channels, whose URLs are secret, and rules that the dashboard does not edit.

[channels]
mail = "mailtos://user:password@example.org?to=ada@example.org"

[rules.greenhouse-warm]
title = "Greenhouse too warm"
when = "above"
resource = "temperature"
limit = 30
for = "5m"
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from pyaiot.alerts.rule import RULES_MAX, Rule, RuleId, rule_of
from pyaiot.errors import TEXT_FILE_ENCODING, OperatorError, ProtocolError, reason_of

CHANNELS_MAX: Final = 32
"""Largest number of channels in one file. More are refused."""


class AlertsFile(msgspec.Struct, frozen=True):
    """The contents of the file."""

    channels: Mapping[str, str] = msgspec.field(default_factory=dict)
    """URLs by channel name. They contain passwords: never log or show them."""
    rules: Mapping[str, Rule] = msgspec.field(default_factory=dict)


def read_alerts_file(path: Path) -> AlertsFile:
    """Read and check the file. Raises `OperatorError` with the reason."""
    import tomllib  # noqa: PLC0415 - without such a file, it is not needed

    try:
        table = tomllib.loads(path.read_text(encoding=TEXT_FILE_ENCODING))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"The file of alerts {path} cannot be read: {reason_of(error)}."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"The file of alerts {path} is not TOML: {error}.") from error
    unknown = sorted(table.keys() - {"channels", "rules"})
    if unknown:
        raise OperatorError(f"{path}: there is no table [{unknown[0]}]; use channels and rules.")
    return AlertsFile(
        _channels(path, table.get("channels", {})), _rules(path, table.get("rules", {}))
    )


def _channels(path: Path, table: Any) -> dict[str, str]:
    if not isinstance(table, dict) or not all(
        isinstance(url, str) and "://" in url for url in table.values()
    ):
        raise OperatorError(f'{path}: a channel is a line such as phone = "ntfy://topic".')
    if len(table) > CHANNELS_MAX:
        raise OperatorError(f"{path}: there are more than {CHANNELS_MAX} channels.")
    for name in table:
        _check_id(path, name, "channel")
    return table


def _rules(path: Path, table: Any) -> dict[str, Rule]:
    if not isinstance(table, dict) or not all(isinstance(it, dict) for it in table.values()):
        raise OperatorError(f"{path}: a rule is a table [rules.NAME].")
    if len(table) > RULES_MAX:
        raise OperatorError(f"{path}: there are more than {RULES_MAX} rules.")
    rules = {}
    for name, fields in table.items():
        _check_id(path, name, "rule")
        try:
            rules[name] = rule_of(fields)
        except ProtocolError as error:
            raise OperatorError(f"{path}: the rule {name} is not valid: {error}.") from error
    return rules


def _check_id(path: Path, name: str, what: str) -> None:
    try:
        msgspec.convert(name, RuleId)
    except msgspec.ValidationError as error:
        raise OperatorError(
            f"{path}: {name[:64]!r} is not a valid name of a {what}: use lower-case letters, digits"
            " and hyphens, at most 64."
        ) from error
