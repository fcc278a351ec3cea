# SPDX-License-Identifier: BSD-3-Clause
"""History in one file of SQLite: the default."""
