"""torch.compile: objectives and parts are traced whole, train as before and imagine the same.

In a process of its own: the checks of shapes that the other tests switch on cannot be traced. Without
generated code ("aot_eager"), which would take a minute a model and a C++ compiler; that is made for a small
function alone, to kill the compiler.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys
from copy import deepcopy
import torch
from seqvae.train.graphs import compile_parts
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
copy = deepcopy(model.frame)
with torch.no_grad():
    for p in copy.parameters():
        p.add_(1)
    assert not torch.equal(copy.encode(clip.video).mean, model.frame.encode(clip.video).mean)
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
    run_script(SCRIPT, model)


WHOLE = """
import sys
import torch
from seqvae.collage import CollageLikelihood
from seqvae.objectives import ELBO, EnergyScore, LatentELBO
from seqvae.prediction import FramePrediction, PositionPrediction
from seqvae.train.encodings import EncodingBatch, track_slots
from seqvae.train.graphs import compile_objective
from seqvae.train.optim import Ramp
from seqvae.tree import map_record
from tests.models import as_batch, make, video
from torch.utils._pytree import tree_leaves

torch.set_num_threads(1)
name, objective = sys.argv[1:]
model = make(name)
objective, frames = {
    "elbo": (ELBO(start=1, beta=0.5), 2),
    "factors": (ELBO(factors={"attention_masks": Ramp(0.0, 1.0)}), 2),
    "rollout": (ELBO(rollout=FramePrediction(2)), 3),
    "collage": (CollageLikelihood(), 1),
    "motion": (LatentELBO(2, PositionPrediction(2)), 3),
    "spread": (EnergyScore(2, samples=2), 3),
}[objective]
clip = as_batch(video=video(frames=frames))
if frames == 3 and not isinstance(objective, ELBO):
    with torch.no_grad():
        clip = EncodingBatch(track_slots(model, model.frame.encode(clip.video)), None)
objective.begin(model)

def gradients(measure, progress):
    torch.manual_seed(1)
    model.zero_grad()
    terms, trace = measure(model, clip)
    objective.scheduled(terms, progress).objective().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

plain = [gradients(objective.measure, progress) for progress in (0.2, 0.7)]
compiled = compile_objective(objective, model, backend="eager")
for progress, expected in zip((0.2, 0.7), plain):
    found = gradients(compiled, progress)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-3, msg=name)
counted = torch._dynamo.utils.counters
assert counted["stats"]["unique_graphs"] == 1 and not counted["graph_break"], counted

# on a device, every tensor of the graph is there, and every shape is known: what CUDA graphs ask for
tensors = []

def look(graph, inputs):
    values = [node.meta.get("example_value") for node in graph.graph.nodes]
    tensors.extend(x for x in tree_leaves(values) if isinstance(x, torch.Tensor))
    return graph.forward

model.to("meta")
objective.begin(model)
there = as_batch(**{name: map_record(lambda x: x.to("meta"), value) for name, value in vars(clip).items()})
compile_objective(objective, model, backend=look)(model, there)
assert {x.device.type for x in tensors} == {"meta"}, [x for x in tensors if x.device.type != "meta"][:5]
assert all(type(size) is int for x in tensors for size in x.shape)
"""


def run_script(script: str, *words: str) -> None:
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("model", "objective"),
    [
        ("stove", "elbo"),
        ("stove", "collage"),
        ("stove", "motion"),
        ("stove", "spread"),
        ("monet", "factors"),
        ("monet_sequence", "elbo"),
        ("vrnn", "rollout"),
    ],
)
def test_an_objective_is_one_graph_at_every_progress(model, objective):
    """Encoder, loop over time and terms: no break, and no second graph when the progress changes."""
    run_script(WHOLE, model, objective)


AHEAD = """
import sys
import torch
from tests.models import make, video

torch.set_num_threads(1)
model, clip = make(sys.argv[1]), video(frames=3)
with torch.no_grad():
    filtered = torch.compile(lambda x: model.filter(x).z, fullgraph=True, backend="eager")
    carry = model.filter(clip).carry
    imagined = torch.compile(lambda c: model.imagine(c, 3).z, fullgraph=True, backend="eager")
    torch.testing.assert_close(filtered(clip), model.filter(clip).z)
    torch.testing.assert_close(imagined(carry), model.imagine(carry, 3).z)
assert not torch._dynamo.utils.counters["graph_break"]
"""


@pytest.mark.parametrize("model", ["stove", "monet_sequence", "vrnn"])
def test_filtering_and_imagining_are_one_graph_each(model):
    run_script(AHEAD, model)


COMPILE = """
import sys
import types
import torch
from seqvae.errors import UserError
from seqvae.train.graphs import compile_parts

torch.set_num_threads(1)
frame = types.SimpleNamespace(encode=lambda x: (x.sin() * 2).sum(-1))
model = types.SimpleNamespace(frame=frame, dynamics=None)
compile_parts(model)
torch._inductor.config.cpp_cache_precompile_headers = False  # takes longer than this function
try:
    torch.testing.assert_close(model.frame.encode(torch.ones(64, 64)), torch.ones(64).sin() * 128)
except UserError as error:
    sys.exit(f"refused: {error}")
"""


def compiling(folder: Path, **environment: str) -> subprocess.Popen:
    """A process that compiles a small function, in a group of its own."""
    variables = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(folder)} | environment
    return subprocess.Popen(
        [sys.executable, "-c", COMPILE],
        cwd=Path(__file__).parents[1],
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compilation_killed_half_way_is_made_again(tmp_path):
    """The library that the kill has cut off is removed, and the complete ones are kept."""
    process = compiling(tmp_path)
    while not list(tmp_path.rglob("*_CxxBuild")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (building,) = tmp_path.rglob("*_CxxBuild")
    cut = building.with_name(building.name.removesuffix("_CxxBuild") + ".so")
    cut.write_bytes(b"\x7fELF")  # whether the compiler has begun to write it is chance
    complete = building.with_name("complete.so")
    complete.write_bytes(b"")
    again = compiling(tmp_path)
    said = again.communicate()[1]
    assert again.returncode == 0, said[-2000:]
    assert not list(tmp_path.rglob("*_CxxBuild")) and complete.is_file()


def test_processes_that_compile_at_a_time_have_folders_of_their_own(tmp_path, monkeypatch):
    from seqvae.train import compiled

    monkeypatch.setenv(compiled.FOLDER, str(tmp_path))
    monkeypatch.setattr(compiled.tempfile, "tempdir", str(tmp_path))
    first = compiled.own_folder.__wrapped__()
    monkeypatch.setenv(compiled.FOLDER, str(tmp_path))
    second = compiled.own_folder.__wrapped__()
    assert (first.name, second.name) == ("seqvae-0", "seqvae-1") and first.parent == tmp_path
    assert compiled.tempfile.tempdir == str(tmp_path)


def test_without_a_compiler_it_is_refused_in_one_line(tmp_path):
    process = compiling(tmp_path, PATH="/nowhere")
    line = process.communicate()[1].strip()
    assert process.returncode == 1 and "\n" not in line
    assert line.startswith("refused: compile=true: torch cannot compile the model (InvalidCxxCompiler: ")
    assert f"remove {tmp_path}/seqvae-0, or leave compile out" in line
