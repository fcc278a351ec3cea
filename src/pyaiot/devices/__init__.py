# SPDX-License-Identifier: BSD-3-Clause
"""Simulated nodes that speak to a gateway as real devices do."""
