"""What a model owes to the actions: python benchmarks/actions.py RUN data/avoidance/val.h5 [CHECKPOINT]

Print the position error of predicted frames 1-10 on the sequences of a file, all objects and half-widths,
once with their own actions and once with those of another sequence after the context; and, for a model with a
reward part, the area under the ROC curve of the rewards that the same rollouts foretell. CHECKPOINT is best
or last.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import torch

import seqvae
from seqvae.data.sequences import Sequences
from seqvae.evaluate import score

CONTEXT, HORIZON = 8, 10


def main() -> None:
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    torch.set_num_threads(1)
    model = seqvae.load(sys.argv[1], which=(sys.argv[3:] or ["best"])[0])
    own = seqvae.read(sys.argv[2])
    for name, sequences in {"own actions": own, "actions of another sequence": shuffled(own)}.items():
        scores = score(model, sequences, CONTEXT, HORIZON)
        found = {"predicted 1-10": scores.table()["model"][f"position_error_1_{HORIZON}"]}
        found |= {key: value for key, value in scores.shares.items() if key.startswith("reward")}
        words = ", ".join(f"{key} {value.mean:.4f} ± {value.se:.4f}" for key, value in found.items())
        print(f"{name}: {words}, {len(sequences)} sequences", flush=True)


def shuffled(sequences: Sequences) -> Sequences:
    """Return sequences whose actions after the context are those of the next sequence."""
    if sequences.prev_actions is None:
        sys.exit("these data have no actions")
    led = np.array(sequences.prev_actions)
    led[:, CONTEXT:] = np.roll(led[:, CONTEXT:], 1, axis=0)
    return replace(sequences, prev_actions=led)


if __name__ == "__main__":
    main()
