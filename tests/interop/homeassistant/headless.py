# SPDX-License-Identifier: BSD-3-Clause
"""Runs Home Assistant without its frontend and what belongs to it. Usage: headless.py FOLDER

This file runs in the environment of Home Assistant, not in ours. The core, the MQTT integration and
the two APIs are the real ones; what a person would see in a browser is left out, because it is ten
times as large.
"""

import sys

from homeassistant import bootstrap, runner  # type: ignore[import-not-found]

bootstrap.DEFAULT_INTEGRATIONS = {"zone"}
bootstrap.CRITICAL_INTEGRATIONS = set()

sys.exit(runner.run(runner.RuntimeConfig(config_dir=sys.argv[1], skip_pip=True)))
