# SPDX-License-Identifier: BSD-3-Clause
"""Builds the objects of a service from its settings and runs them."""
