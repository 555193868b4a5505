"""Time the reading of training clips: python benchmarks/reading.py [device=cuda]

Print clips per second for batches of 256 clips of 8 frames, from 1000 sequences of 100 frames of billiards:
from memory (uint8 on the device), from disk by worker processes, and simulated while the training runs. Then
read from disk in a process that may not hold the frames in memory, and print the size of the file. The clock
is wall time, so the machine should be idle; the first batches, during which workers start, are left out. A
training step of the models here takes 5,000 to 10,000 frames per second on a CPU of two cores.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy starts

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from data_gen.generate import read_settings
from data_gen.schema import read_info
from data_gen.simulator import build_simulator
from data_gen.splits import Split, write_split
from seqvae.data.clips import ClipRequest, InMemoryClips
from seqvae.data.online import ENDLESS, OnlineClips
from seqvae.data.streamed import StreamedClips

BATCH, CLIP, SEQUENCES, LENGTH = 256, 8, 1000, 100
BEFORE, STEPS = 36, 60  # steps: three rounds of online clips, and five
PICKLE = LENGTH * SEQUENCES * 32 * 32 * 3 * 8  # bytes of float64 frames, as the reference's files hold them


def rate(clips: Any, device: str) -> float:
    """Return clips per second, measured once the prefetched batches are used up."""
    for step in range(BEFORE):
        clips.batch(ClipRequest(step, BATCH, CLIP, seed=0))
    began = time.perf_counter()
    for step in range(BEFORE, BEFORE + STEPS):
        clips.batch(ClipRequest(step, BATCH, CLIP, seed=0))
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    clips.close()
    return BATCH * STEPS / seconds


def show(source: str, clips_per_second: float) -> None:
    print(f"{source:<44}{clips_per_second:>10,.0f}{clips_per_second * CLIP:>12,.0f}", flush=True)


# A limit on the address space, beyond the needs of the imports, simulates a machine with less memory.
LIMITED = """
import resource, sys
from benchmarks.reading import rate
from seqvae.data.streamed import open_clips
import torch
torch.set_num_threads(1)
path, held, room = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
clips = open_clips(path, memory=held, workers=0)
print(f"{rate(clips, 'cpu'):,.0f} clips/s by {type(clips).__name__}")
"""


def limited(path: Path, held: int, room: int) -> str:
    """Return the rate in a process that may take `room` bytes more, of which open_clips may fill `held`."""
    command = [sys.executable, "-c", LIMITED, str(path), str(held), str(room)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def main(device: str) -> None:
    settings = read_settings(["sim=billiards"])
    world = build_simulator(settings.sim)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.h5"
        split = Split(world, "train", SEQUENCES, LENGTH, settings.image_size, seed=0)
        write_split(path, split, "billiards")
        info = read_info(path)
        frames = info.sequences * info.length * info.height * info.width * 3
        print(f"{'':<44}{'clips/s':>10}{'frames/s':>12}")
        show(f"memory, on {device}", rate(InMemoryClips(path, device), device))
        show("disk, in this process", rate(StreamedClips(path, device, workers=0), device))
        for method in ("fork", "spawn", "forkserver"):
            for workers in (1, 2, 4):
                if workers <= (os.cpu_count() or 1):
                    clips = StreamedClips(path, device, workers, start_method=method)
                    show(f"disk, {workers} workers by {method}", rate(clips, device))
        endless = Split(world, "train", ENDLESS, LENGTH, settings.image_size, seed=0)
        show("online, 2 workers", rate(OnlineClips(endless, device, workers=2), device))

        room = frames // 2
        print(f"\n{frames / 2**20:.0f} MiB of frames in a process that may take {room / 2**20:.0f} MiB more:")
        print(f"  held in memory: {limited(path, frames, room)}")
        print(f"  read from disk: {limited(path, room, room)}")
        size = path.stat().st_size
        print(f"\nfile: {size / 10**6:.1f} MB; frames as float64: {PICKLE / 10**6:.0f} MB")


if __name__ == "__main__":
    main(dict(word.split("=") for word in sys.argv[1:]).get("device", "cpu"))
