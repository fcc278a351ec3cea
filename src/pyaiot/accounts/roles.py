# SPDX-License-Identifier: BSD-3-Clause
"""The roles of people and programs. Pure."""

from typing import Final, Literal, TypeAlias, get_args

Role: TypeAlias = Literal["viewer", "operator", "admin"]
"""`viewer` reads, `operator` also commands and edits nodes, `admin` also manages access."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From the lowest to the highest. Each role includes the ones before it."""


def includes(role: Role, needed: Role) -> bool:
    """Whether a role may do what another one may."""
    return ROLES.index(role) >= ROLES.index(needed)
