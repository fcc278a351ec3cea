# SPDX-License-Identifier: BSD-3-Clause
"""Restricts which nodes a client may see and command. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from pyaiot.accounts.roles import Role
from pyaiot.errors import OperatorError

SCOPE_NAMES_MAX: Final = 32
"""Largest number of tags, and of gateways, in one scope. More are refused."""
SCOPE_NAME_LENGTH_MAX: Final = 64
"""Longest tag or gateway name in a scope, in characters. Longer ones are refused."""


class Scope(msgspec.Struct, frozen=True):
    """A restriction of access, in addition to the role. A node must meet each condition that is
    set.
    """

    tags: tuple[str, ...] = ()
    """The node must have one of these tags; empty: any node."""
    gateways: tuple[str, ...] = ()
    """The node must belong, or have belonged last, to one of these gateways (by
    name); empty: any.
    """
    hides_personal: bool = False
    """Hide the notes of people and the addresses of devices."""
    within: "Scope | None" = None
    """The node must also be in this scope."""

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
        """A scope restricted further to nodes with one of these tags and of one of these gateways.
        None: any.
        """
        # In order, so that equal filters are equal.
        narrow = Scope(tuple(sorted(set(tags or ()))), tuple(sorted(set(gateways or ()))))
        if narrow == EVERYTHING:
            return self
        within = None if self.has_all_nodes else self
        return msgspec.structs.replace(narrow, within=within, hides_personal=self.hides_personal)

    @property
    def text(self) -> str:
        """Text for people: `tag lab, gateway roof`; empty if there is no restriction."""
        return ", ".join(
            [*(f"tag {tag}" for tag in self.tags), *(f"gateway {name}" for name in self.gateways)]
        )

    def to_json(self) -> str:
        """The stored form."""
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
"""Scope of clients that have not signed in: all nodes, without personal data."""
PERSONAL_RESOURCES: Final = frozenset({"ip"})
"""Names of resources that contain the address of a device."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[tuple[str, ...], tuple[str, ...]]).decode


def new_scope(role: Role, tags: Iterable[str], gateways: Iterable[str]) -> Scope:
    """The scope of a new user, token or invitation. Raises `OperatorError` if it is invalid."""
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
