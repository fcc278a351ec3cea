# SPDX-License-Identifier: BSD-3-Clause
"""Pyaiot connects constrained devices to the web."""

__all__ = ["__version__"]

__version__ = "0.1.0"
