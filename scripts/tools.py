#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Install the programs of others that check or install what is published, once.

hadolint checks the Dockerfile, check-jsonschema the compose files, twine the distributions, and
pipx installs the wheelhouse. They are in their own environment (90 MB), whose folder is
printed. Exit code 2: it cannot be installed.
"""

import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from scripts.packaging.side_environment import Missing, SideEnvironment

TOOLS: Final = SideEnvironment(
    "tools", "hadolint, twine or pipx", Path(__file__).parents[1] / "requirements" / "tools.txt"
)

if __name__ == "__main__":
    try:
        print(TOOLS.install(Path(sys.executable)))
    except (Missing, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
