# SPDX-License-Identifier: BSD-3-Clause
"""Cells of a notebook: the nodes, the readings of the last hour, and an LED.

Paste each cell (`# %%`) into Jupyter, or run the file: python temperatures.py
"""

# %% Connect and list the nodes.
import sys

from pyaiot.client import SyncClient

client = SyncClient(*sys.argv[1:2], *map(int, sys.argv[2:3]))  # this machine, or: host port
for node in client.nodes.values():
    print(node.uid, node.name, {name: it.data for name, it in node.resources.items()})

# %% Choose the first node that measures a temperature.
uid = next(node.uid for node in client.nodes.values() if "temperature" in node.resources)
print("Looking at", client.nodes[uid].name)

# %% The next five readings, as they arrive.
for count, reading in enumerate(client.watch(uid, "temperature", known=False, seconds=30), 1):
    print(reading.number, reading.unit)
    if count == 5:
        break

# %% The last hour, and the same in steps of a minute.
rows = client.history(uid, "temperature", "-1h")
numbers = [row.value for row in rows if row.value is not None]
print(f"{len(rows)} readings, from {min(numbers):.1f} to {max(numbers):.1f}")
for step in client.history(uid, "temperature", "-1h", every_s=60, agg="mean,min,max"):
    print(step.time.isoformat(), step.mean, step.min, step.max)

# %% With pandas installed, the same as a table: rows.to_pandas()["value"].plot()
print(rows.columns().keys())

# %% Switch an LED on and off. The receipt has the outcome.
lamp = next(node.uid for node in client.nodes.values() if "led" in node.resources)
for value in (1, 0):
    receipt = client.set(lamp, "led", value)
    print("led", value, receipt.state, f"{receipt.elapsed_ms:.0f} ms")

# %%
client.close()
