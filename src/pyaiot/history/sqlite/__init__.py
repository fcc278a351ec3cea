# SPDX-License-Identifier: BSD-3-Clause
"""History in one SQLite file. The default."""
