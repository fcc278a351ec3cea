# SPDX-License-Identifier: BSD-3-Clause
"""`aiot doctor`: checks a machine and its settings, with a remedy for each problem."""
