# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard under load: a real Chromium, a real WebSocket, many nodes.

`python -m benchmarks.dashboard` prints a table. The load is `tests/web/mock_broker.py` in
its own process; browser and load share the machine.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Page

ROOT: Final = Path(__file__).resolve().parents[1]
LOADS: Final = ((1_000, 2_000), (1_000, 10_000))
"""Nodes, and updates per second."""
SETTLE_S: Final = 8.0
FLAGS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-precise-memory-info")

FRAMES = """() => {
    window.frames_ = 0;
    const frame = () => { window.frames_ += 1; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
}"""


@dataclass(frozen=True, slots=True)
class Figure:
    nodes: int
    updates_per_s: float
    """As the dashboard counts them."""
    frames_per_s: float
    main_thread: float
    """CPU time of the thread as a share of a core."""
    heap_first_mb: float
    heap_last_mb: float
    seconds: float


@asynccontextmanager
async def broker(nodes: int, rate: int) -> AsyncIterator[str]:
    """A mock broker with changing nodes. The URL of its dashboard."""
    script = str(ROOT / "tests" / "web" / "mock_broker.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script, "--nodes", str(nodes), "--rate", str(rate)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def measure(page: "Page", cdp: "CDPSession", url: str, nodes: int, seconds: float) -> Figure:
    """Measure the dashboard for `seconds` while it is visible."""
    await page.goto(url)
    await page.wait_for_selector("#nodes .card:nth-child(100)")
    await page.wait_for_timeout(SETTLE_S * 1000)
    await page.evaluate(FRAMES)
    await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    heap_first = await heap(cdp)
    before, start = await metrics(cdp), time.perf_counter()
    frames = await page.evaluate("window.frames_")
    rates = []
    while time.perf_counter() - start < seconds:
        await page.wait_for_timeout(min(1000.0, seconds * 1000))
        text = await page.locator("#pill .speed").inner_text()
        rates.append(float("".join(filter(str.isdigit, text)) or 0))
    elapsed = time.perf_counter() - start
    frames = await page.evaluate("window.frames_") - frames
    after = await metrics(cdp)
    return Figure(
        nodes,
        sum(rates) / len(rates),
        frames / elapsed,
        (after["TaskDuration"] - before["TaskDuration"]) / elapsed,
        heap_first,
        await heap(cdp),
        elapsed,
    )


async def metrics(cdp: "CDPSession") -> dict[str, float]:
    found: dict[str, Any] = await cdp.send("Performance.getMetrics")
    return {item["name"]: item["value"] for item in found["metrics"]}


async def heap(cdp: "CDPSession") -> float:
    """Heap in use after a garbage collection, in megabytes."""
    await cdp.send("HeapProfiler.collectGarbage")
    used: dict[str, float] = await cdp.send("Runtime.getHeapUsage")
    return used["usedSize"] / 1e6


async def run(chromium: str, seconds: float) -> list[Figure]:
    from playwright.async_api import async_playwright

    figures = []
    async with async_playwright() as playwright:
        for nodes, rate in LOADS:
            with tempfile.TemporaryDirectory() as profile:
                context = await playwright.chromium.launch_persistent_context(
                    profile,
                    executable_path=chromium,
                    args=list(FLAGS),
                    viewport={"width": 1440, "height": 900},
                )
                page = context.pages[0]
                async with broker(nodes, rate) as url:
                    cdp = await context.new_cdp_session(page)
                    figures.append(await measure(page, cdp, url, nodes, seconds))
                await context.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each load")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    print("| nodes | updates/s | frames/s | main thread | heap at first → at last | for |")
    print("| --- | --- | --- | --- | --- | --- |")
    for it in asyncio.run(run(options.chromium, options.seconds)):
        print(
            f"| {it.nodes:,} | {it.updates_per_s:,.0f} | {it.frames_per_s:.1f} |"
            f" {it.main_thread:.0%} | {it.heap_first_mb:.1f} → {it.heap_last_mb:.1f} MB |"
            f" {it.seconds:.0f} s |"
        )


if __name__ == "__main__":
    main()
