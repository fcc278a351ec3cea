# SPDX-License-Identifier: BSD-3-Clause
"""The platforms for which packages are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True, slots=True)
class Platform:
    """Linux on one processor architecture."""

    machine: str
    """The name that `uname -m` and markers use."""
    glibc: int
    """The minor version of the oldest supported glibc 2."""

    @property
    def tags(self) -> list[str]:
        """The tags of wheels that run on the platform, the newest first."""
        newer = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc, 16, -1)]
        return [*newer, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]

    def markers(self, python: str) -> Mapping[str, str]:
        """The values with which markers of requirements are compared."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": "linux",
            "extra": "",
        }


# glibc 2.36 is that of Debian 12, 2.31 that of Raspberry Pi OS 11.
PLATFORMS: Final = {
    "x86_64": Platform("x86_64", 36),
    "aarch64": Platform("aarch64", 36),
    "armv7l": Platform("armv7l", 31),
}
DEBIANS: Final = {"12": "3.11", "13": "3.13"}
"""The Python of each release of Debian."""
