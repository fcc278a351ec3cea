# SPDX-License-Identifier: BSD-3-Clause
"""What all sections of the settings are."""

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file."""
