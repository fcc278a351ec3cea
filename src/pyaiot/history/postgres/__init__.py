# SPDX-License-Identifier: BSD-3-Clause
"""History in a PostgreSQL server, for more data than one disk or one machine can hold."""
