# SPDX-License-Identifier: BSD-3-Clause
"""What nodes said yesterday: a recorder that hears the broker, and stores behind one interface."""
