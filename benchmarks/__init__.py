# SPDX-License-Identifier: BSD-3-Clause
"""Measures the services as a user would start them. `python -m benchmarks` prints the tables."""
