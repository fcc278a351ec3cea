# SPDX-License-Identifier: BSD-3-Clause
"""The command line: `aiot`, and the legacy commands such as `aiot-broker`."""
