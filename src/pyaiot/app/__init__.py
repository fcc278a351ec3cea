# SPDX-License-Identifier: BSD-3-Clause
"""Builds the real objects from the settings and runs them as services."""
