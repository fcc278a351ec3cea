# SPDX-License-Identifier: BSD-3-Clause
"""Who may use a broker that others can reach: roles, and tokens for programs."""
