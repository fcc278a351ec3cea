# SPDX-License-Identifier: BSD-3-Clause
"""`aiot doctor`: looks at a machine and its settings, and says of what it finds what to do."""
