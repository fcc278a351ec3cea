# SPDX-License-Identifier: BSD-3-Clause
"""Measures recovery times and losses after faults: writes docs/reference/reliability.md."""
