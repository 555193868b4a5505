"""torch.compile: the parts are traced whole, train as before and imagine the same.

In a process of its own: the checks of shapes that the other tests switch on cannot be traced. Without
generated code ("aot_eager"), which would take a minute a model and a C++ compiler.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import torch
from seqvae.train.runtime import compile_parts
from seqvae.objectives import ELBO
from tests.models import as_batch, make, video

torch.set_num_threads(1)
model, objective = make(sys.argv[1]), ELBO(start=1)

clip = as_batch(video=video(frames=3))

def gradients():
    torch.manual_seed(1)
    model.zero_grad()
    terms, _ = objective(model, clip, 0.0)
    terms.objective().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

def future():
    with torch.no_grad():
        return model.imagine(model.filter(clip.video, sample=False).carry, 3).z

plain, ahead = gradients(), future()
compile_parts(model, backend="aot_eager")
compiled = gradients()
torch.testing.assert_close(future(), ahead)
counted = torch._dynamo.utils.counters
assert counted["frames"]["ok"] >= 2 and not counted["graph_break"], counted
assert plain.keys() == compiled.keys()
for name, value in plain.items():
    torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-3, msg=name)
"""


@pytest.mark.parametrize("model", ["stove", "spatial_vae"])
def test_compiled_parts_are_traced_whole_and_give_the_same_gradients(model):
    command = [sys.executable, "-c", SCRIPT, model]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
