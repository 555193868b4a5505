"""Latency of the page of `seqvae play`: python benchmarks/play.py [--run DIR] [--data FILE]

Drag objects to random places and drop them. Print the time from the event to the new future: computed; sent
by the server, for every event of the drags; and shown by Chromium, if one is installed, from letting go of
the mouse until the future of the last place is painted, 0 if that was before. As a comparison, the time that
`roll_out` takes, which filters anew and samples one future after the other.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", default="pretrained/stove_billiards")
    parser.add_argument("--data", default="data/billiards/test.h5")
    parser.add_argument("--drops", type=int, default=50)
    parser.add_argument("--horizon", type=int, default=30)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--context", type=int, default=8)
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        print(json.dumps(in_chromium(options.drive, options.drops)))
        return
    print(f"{options.run}, {options.horizon} frames, {options.samples} samples, {options.drops} drops")
    print(f"{'milliseconds':<42}{'median':>8}{'worst':>8}{'CPU':>8}")
    measure(options)


def report(name: str, wall: list[float], cpu: list[float] | None = None) -> None:
    last = f"{1e3 * median(cpu):>8.0f}" if cpu else ""
    print(f"{name:<42}{1e3 * median(wall):>8.0f}{1e3 * max(wall):>8.0f}{last}", flush=True)


def clocked(run: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and CPU time of a call, seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(options: argparse.Namespace) -> None:
    import numpy as np
    import torch

    import seqvae
    from seqvae.interventions import Change
    from seqvae.play import Scene
    from seqvae.rollout import roll_out

    torch.set_num_threads(1)
    model, data = seqvae.load(options.run), seqvae.read(options.data).without_truth()

    def begin() -> Scene:
        scene = Scene(model, data.frames, data.prev_actions, options.horizon, options.samples)
        scene.look(options.context)
        return scene

    scene, rng = begin(), np.random.default_rng(0)
    slots = scene.future().slots

    def drop() -> None:
        x, y = rng.uniform(-0.8, 0.8, 2).tolist()
        scene.move(int(rng.choice(slots)), (x, y))
        scene.future()

    def anew() -> None:
        change = Change(move=(model.background_slots, *rng.uniform(-0.2, 0.2, 2).tolist()))
        led_to = None if data.prev_actions is None else data.prev_actions[:1]
        for i in range(1 + options.samples):
            roll_out(
                model, data.frames[:1], led_to, options.context, options.horizon, i > 0, i == 0, change=change
            )

    computed = {"computed by roll_out, samples one by one": anew, "computed by the page's scene": drop}
    for name, run in computed.items():
        run()
        wall, cpu = zip(*(clocked(run) for _ in range(options.drops)), strict=True)
        report(name, list(wall), list(cpu))
    if not any(map(shutil.which, BROWSERS)):
        print(f"no Chromium ({', '.join(BROWSERS)}): the server and the page are not measured")
        return
    serve(options, begin)


def serve(options: argparse.Namespace, begin: Callable[[], Any]) -> None:
    """Serve the page to Chromium, driven by another process, and time the handling of its commands."""
    from tornado.ioloop import PeriodicCallback

    from seqvae.play import server as served
    from seqvae.play.page import Look

    handled: list[tuple[float, float]] = []
    answer = served.Session.on_message

    def timed(self: served.Session, words: str | bytes) -> None:
        handled.append(clocked(lambda: answer(self, words)))  # until the new data is with the system

    served.Session.on_message = timed
    server = served.serve(begin, Look("benchmark"))
    command = [sys.executable, __file__, f"--drops={options.drops}", "--drive", server.address]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ended = PeriodicCallback(lambda: server.io_loop.stop() if driver.poll() is not None else None, 100)
    ended.start()
    server.io_loop.start()
    ended.stop()
    assert driver.stdout is not None and driver.returncode == 0, "Chromium failed"
    wall, cpu = zip(*handled, strict=True)
    report("received to sent by the server", list(wall), list(cpu))
    times, cpu = json.loads(driver.stdout.read())
    report("let go to shown by Chromium", times, [cpu])
    server.stop()


def in_chromium(url: str, drops: int) -> tuple[list[float], float]:
    """Return seconds from letting go of the mouse to the painted future, and CPU seconds per event answered.

    The CPU time is that of all processes of the browser, which paints without a graphics card.
    """
    import numpy as np
    from playwright.sync_api import sync_playwright

    rng, times = np.random.default_rng(0), []
    with sync_playwright() as playwright:
        path = next(path for name in BROWSERS if (path := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 760})
        page.goto(url)
        page.wait_for_function("window.seqvaePlay?.state.settled")
        page.evaluate("addEventListener('pointerup', (event) => { window.dropped = event.timeStamp }, true)")
        box, system = page.locator("#stage").bounding_box(), browser.new_browser_cdp_session()
        assert box is not None

        def cpu_time() -> float:
            return sum(p["cpuTime"] for p in system.send("SystemInfo.getProcessInfo")["processInfo"])

        def pixels(x: float, y: float) -> tuple[float, float]:
            return box["x"] + (x + 1) / 2 * box["width"], box["y"] + (y + 1) / 2 * box["height"]

        before = cpu_time()
        for _ in range(drops):
            objects = page.evaluate("seqvaePlay.state.slots.length")
            places = page.evaluate("Array.from(seqvaePlay.state.positions)")  # t j 2
            x, y = np.reshape(places, (-1, objects, 2))[0, rng.integers(objects)].tolist()
            page.mouse.move(*pixels(x, y))
            page.mouse.down()
            page.mouse.move(*pixels(*rng.uniform(-0.8, 0.8, 2).tolist()), steps=10)
            page.mouse.up()
            shown = "performance.getEntriesByName('play: shown').at(-1)"
            page.wait_for_function(f"seqvaePlay.state.settled && {shown}?.detail == seqvaePlay.state.serial")
            times.append(page.evaluate(f"Math.max({shown}.startTime + {shown}.duration - dropped, 0) / 1000"))
        cpu = (cpu_time() - before) / page.evaluate("performance.getEntriesByName('play: shown').length")
        browser.close()
    return times, cpu


if __name__ == "__main__":
    main()
