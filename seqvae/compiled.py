"""torch.compile on what a step spends its time in."""

from __future__ import annotations

import torch

from seqvae.sequence import SequenceModel

# methods from tensors to tensors: frames to evidence, states to frame terms, a state to the next
METHODS = {"frame": ("encode", "terms"), "dynamics": ("step",)}


def compile_parts(model: SequenceModel, backend: str = "inductor") -> None:
    """Compile the model's costly methods, where it has them; the first step then takes a minute or two.

    The loop over time stays in Python. Results agree with the uncompiled model's up to rounding.
    """
    for part, names in METHODS.items():
        owner = getattr(model, part)
        for name in names:
            if hasattr(owner, name):
                setattr(owner, name, torch.compile(getattr(owner, name), dynamic=False, backend=backend))
