"""torch.compile: whole objectives in a training, and the costly methods of a model everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch

from seqvae.matching import table_of_permutations
from seqvae.objectives import Objective
from seqvae.sequence import SequenceModel
from seqvae.types import Terms, Trace

# methods from tensors to tensors: frames to encoding, states to frame terms, a state to the next
METHODS = {"frame": ("encode", "terms"), "dynamics": ("step",)}

Measure = Callable[[SequenceModel, Any], tuple[Terms, Trace]]


def compile_parts(model: SequenceModel, backend: str = "inductor") -> None:
    """Compile the model's costly methods; the first step then takes a minute or two.

    The loop over time stays in Python, so that it may have any length. Results equal those of the uncompiled
    model up to rounding.

    Raises:
        UserError: here, there is no folder for the compiled code; in the calls, torch cannot compile.
    """
    from seqvae.train.compiled import own_folder, report_failure  # takes seconds to import

    if backend == "inductor":
        own_folder()
    for part, names in METHODS.items():
        owner = getattr(model, part)
        for name in names:
            if hasattr(owner, name):
                method = getattr(type(owner), name, None) or getattr(owner, name)
                compiled = report_failure(torch.compile(method, dynamic=False, backend=backend), method)
                # as a method, so that a copy of the part has its own
                setattr(owner, name, MethodType(compiled, owner) if hasattr(type(owner), name) else compiled)


def compile_objective(objective: Objective, model: SequenceModel, backend: str = "inductor") -> Measure:
    """Return `objective.measure` as one graph: encoder, loop over time and terms, with their gradient.

    The graph is that of one shape of batch, and another shape is compiled anew. Nothing in it waits for the
    device. Noise is drawn by the compiled code, so it is other noise than without.

    Raises:
        UserError: as compile_parts.
    """
    from seqvae.train.compiled import own_folder, report_failure

    if backend == "inductor":
        own_folder()
    device = next(model.parameters()).device
    for slots in {model.frame.slots, model.frame.slots - model.background_slots}:
        table_of_permutations(slots, device)  # which the graph would otherwise make each time
    compiled = torch.compile(objective.measure, dynamic=False, fullgraph=True, backend=backend)
    return report_failure(compiled, objective.measure)


def is_one_graph(objective: Objective, processes: int) -> bool:
    """Return whether an objective can be compiled whole: if it has `measure`, and exchanges nothing."""
    kind = type(objective)
    measures = kind.measure is not Objective.measure and kind.__call__ is Objective.__call__
    return measures and not (objective.gathers_rows and processes > 1)
