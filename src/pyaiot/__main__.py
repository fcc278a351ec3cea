# SPDX-License-Identifier: BSD-3-Clause
"""`python -m pyaiot` is the command `aiot`."""

from pyaiot.cli.entry import main

if __name__ == "__main__":
    main()
