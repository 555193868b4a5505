"""Fingerprints of short trainings: python benchmarks/updates.py FILE.json [--only WORD ...]

Trains every stage of every experiment for 50 updates on one thread, on small data sets made for the purpose,
and writes one hash of the weights and one of the logged losses per experiment to FILE.json. If FILE.json
exists, the results are compared with it instead. A change of the code that must not change any training
(renamed modules, moved files) gives equal fingerprints before and after it on the same machine; a difference
ends the script with code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

UPDATES = 50
STOVE = ("objects", "motion", "spread")
SMALL = ("train=48", "val=4", "test=0")
WORLDS = {
    "avoidance": ("sim=avoidance", "length=40"),
    "billiards": ("sim=billiards", "length=40"),
    "billiards6": ("sim=billiards6", "length=40"),
    "gravity": ("sim=gravity", "length=40"),
    "balls": ("sim=balls_interaction", "length=40"),
    "sprites32": ("sim=sprites", "image_size=32", "length=40"),
    "sprites_still": ("sim=sprites_still",),
    "digits_still": ("sim=digits_still",),
    "digits28": ("sim=digits_still", "image_size=28", "sim.counts=[1]", "sim.digit_size=[0.7,0.75]"),
}
EXPERIMENTS = {  # experiment -> its world, its stages
    "air_digits": ("digits_still", ()),
    "monet_sequence": ("sprites32", ("objects", "motion", "prediction", "spread")),
    "monet_sprites": ("sprites_still", ()),
    "stove_avoidance": ("avoidance", STOVE),
    "stove_balls_interaction": ("balls", STOVE),
    "stove_billiards": ("billiards", STOVE),
    "stove_billiards6": ("billiards6", STOVE),
    "stove_billiards_paper": ("billiards", ()),
    "stove_gravity": ("gravity", STOVE),
    "vae_digits": ("digits28", ()),
    "vae_iaf_digits": ("digits28", ()),
    "vrnn_billiards": ("billiards", ()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, help="fingerprints: written if missing, else compared with")
    parser.add_argument("--only", nargs="+", default=[], help="experiments whose name holds one of these")
    options = parser.parse_args()
    names = [n for n in EXPERIMENTS if not options.only or any(w in n for w in options.only)]
    expected = json.loads(options.file.read_text()) if options.file.is_file() else {}
    prints, different = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            prints[name] = fingerprint(name, Path(folder))
            same = prints[name] == expected.get(name, prints[name])
            if not same:
                different.append(name)
            verdict = "equal" if same else "DIFFERENT"
            print(f"{name:<24}{prints[name]['weights'][:16]}  {verdict if expected else ''}", flush=True)
    if not expected:
        options.file.write_text(json.dumps(prints, indent=2) + "\n")
    if different:
        sys.exit(f"different: {', '.join(different)}")


def fingerprint(experiment: str, folder: Path) -> dict[str, str]:
    """Train an experiment and hash the weights of its last checkpoint and its logged losses."""
    world, stages = EXPERIMENTS[experiment]
    data, run = folder / world, folder / experiment
    command("data_gen", *WORLDS[world], *SMALL, f"out={data}", "workers=1")
    prefixes = [f"stages.{stage}." for stage in stages] or [""]
    short = [
        f"{prefix}trainer.{key}"
        for prefix in prefixes
        for key in (f"steps={UPDATES}", f"validate_every={UPDATES}", "batch_size=8")
    ]
    command(
        "seqvae", "train", f"experiment={experiment}", f"data={data}", f"run={run}", "threads=1", "seed=0",
        "device=cpu", "trainer.log_every=10", *short,
    )  # fmt: skip
    weights = torch.load(run / "last.pt", weights_only=True)["model"]
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(key.encode() + weights[key].contiguous().numpy().tobytes())
    losses = [line.get("loss") for line in map(json.loads, (run / "log.jsonl").read_text().splitlines())]
    return {"weights": digest.hexdigest(), "losses": hashlib.sha256(repr(losses).encode()).hexdigest()}


def command(module: str, *arguments: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{module} {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
