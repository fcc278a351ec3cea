# SPDX-License-Identifier: BSD-3-Clause
"""The command line: `aiot`, and the historic commands with their flags."""
