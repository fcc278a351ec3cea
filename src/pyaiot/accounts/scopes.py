# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes a person or a program sees and commands, and what of them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from pyaiot.accounts.roles import Role
from pyaiot.errors import OperatorError

SCOPE_NAMES_MAX: Final = 32
"""Tags, and gateways, of one scope. More are refused."""
SCOPE_NAME_LENGTH_MAX: Final = 64
"""Characters of a tag or of the name of a gateway in a scope. Longer ones are refused."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Limits of access, besides the role. Each condition that is set must hold for a node."""

    tags: tuple[str, ...] = ()
    """One of them is enough; empty: any node."""
    gateways: tuple[str, ...] = ()
    """Names of gateways, one of which has the node or had it last; empty: any."""
    hides_personal: bool = False
    """Notes of people and addresses of devices are not shown."""
    within: "Scope | None" = None
    """A node must be in this scope, too."""

    @property
    def has_all_nodes(self) -> bool:
        return not self.tags and not self.gateways and self.within is None

    def includes(self, tags: Iterable[str], gateway: str) -> bool:
        """Whether a node with these tags, of this gateway, is in the scope."""
        if not self.has_gateway(gateway):
            return False
        if self.tags and not any(tag in self.tags for tag in tags):
            return False
        return self.within is None or self.within.includes(tags, gateway)

    def has_gateway(self, name: str) -> bool:
        """Whether nodes of this gateway may be in the scope."""
        if self.gateways and name not in self.gateways:
            return False
        return self.within is None or self.within.has_gateway(name)

    def narrowed(self, tags: Iterable[str] | None, gateways: Iterable[str] | None) -> "Scope":
        """The nodes of this scope with one of these tags, of one of these gateways. None: any."""
        # In order, so that equal filters are equal.
        narrow = Scope(tuple(sorted(set(tags or ()))), tuple(sorted(set(gateways or ()))))
        if narrow == EVERYTHING:
            return self
        within = None if self.has_all_nodes else self
        return replace(narrow, within=within, hides_personal=self.hides_personal)

    @property
    def text(self) -> str:
        """For people: `tag lab, gateway roof`; empty if it has all nodes."""
        return ", ".join(
            [*(f"tag {tag}" for tag in self.tags), *(f"gateway {name}" for name in self.gateways)]
        )

    def to_json(self) -> str:
        """How it is stored."""
        return "" if self.has_all_nodes else _encode((self.tags, self.gateways)).decode()

    @classmethod
    def from_json(cls, text: str) -> "Scope":
        """The inverse of `to_json`. Raises `OperatorError` for other text."""
        if not text:
            return EVERYTHING
        try:
            tags, gateways = _decode(text)
        except msgspec.MsgspecError as error:
            raise OperatorError("A scope in the file of accounts cannot be read.") from error
        return cls(tags, gateways)


EVERYTHING: Final = Scope()
PUBLIC: Final = Scope(hides_personal=True)
"""Of clients that have not signed in: all nodes, without personal data."""
PERSONAL_RESOURCES: Final = frozenset({"ip"})
"""Resources that have the address of a device."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[tuple[str, ...], tuple[str, ...]]).decode


def new_scope(role: Role, tags: Iterable[str], gateways: Iterable[str]) -> Scope:
    """The scope of something that is added. Raises `OperatorError` if it is not valid."""
    scope = Scope(tuple(dict.fromkeys(tags)), tuple(dict.fromkeys(gateways)))
    if scope.has_all_nodes:
        return EVERYTHING
    if role == "admin":
        raise OperatorError(
            "An administrator manages all access and sees all nodes: for a scope, the role is"
            " viewer or operator."
        )
    for names in (scope.tags, scope.gateways):
        if len(names) > SCOPE_NAMES_MAX:
            raise OperatorError(f"A scope has at most {SCOPE_NAMES_MAX} tags and as many gateways.")
        for name in names:
            if not name.strip() or len(name) > SCOPE_NAME_LENGTH_MAX or not name.isprintable():
                raise OperatorError(
                    f"A tag and the name of a gateway have 1 to {SCOPE_NAME_LENGTH_MAX} printable"
                    " characters."
                )
    return scope
