# SPDX-License-Identifier: BSD-3-Clause
"""History in a PostgreSQL server: for more than one disk holds, or one machine."""
