"""The Python example of the README runs as it stands, and gives the numbers of `evaluate`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from seqvae import metrics
from seqvae.cli.main import main
from seqvae.data.sequences import read_sequences
from seqvae.evaluate import Truth, slot_order
from tests.worlds import make_data

ROOT = Path(__file__).parents[2]
LENGTH = 20


def example() -> str:
    """The code block below the heading "Python"."""
    section = (ROOT / "README.md").read_text().partition("\n## Python\n")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    return code


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A folder as `make demo` leaves it: pretrained weights as the run, and a small test set."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copytree(ROOT / "pretrained/stove_billiards", folder / "runs/demo")
    make_data(folder / "data/billiards", "billiards", "test=12", f"length={LENGTH}")
    return folder


def test_the_example_gives_the_numbers_of_evaluate(demo, monkeypatch):
    monkeypatch.chdir(demo)
    names: dict = {}
    exec(compile(example(), "README.md", "exec"), names)
    trace, future = names["trace"], names["future"]
    assert not any(x.requires_grad for x in (trace.z, future.z, names["shown"]))
    assert names["shown"].shape == (12, 92, 3, 32, 32)

    assert main(["evaluate", "run=runs/demo", "data=data/billiards/test.h5", "iwae=0", "videos=0"]) == 0
    found = json.loads(Path("runs/demo/evaluation/metrics.json").read_text())["table"]["model"]
    truth = Truth.of(read_sequences("data/billiards/test.h5"), LENGTH)
    model, seen = names["model"], trace.z.shape[1]
    positions = torch.cat([model.positions(trace.z), names["positions"]], 1)[:, :LENGTH].double().numpy()
    positions = metrics.reorder(positions, slot_order(positions, truth, seen))
    error = metrics.euclidean_error(positions, truth.positions)
    # float32 states, of the same batch: what is left is the rounding of a mean
    for column, frames in {"reconstruction": slice(2, 8), "1_10": slice(8, 18)}.items():
        expected = found[f"position_error_{column}"]["mean"]
        assert expected == pytest.approx(error[:, frames].mean(), rel=1e-5)
    assert found["position_error_1_10"]["mean"] < 0.03  # and these are the README's


def test_a_trace_is_shown_in_a_few_lines(demo, monkeypatch):
    monkeypatch.chdir(demo)
    names: dict = {}
    exec(compile(example().replace("92", "2"), "README.md", "exec"), names)
    trace = names["trace"]
    assert repr(trace) == (
        "Trace(z=float32[12, 8, 3, 18], prior=Normal(...), posterior=Normal(...), encoding=Encoding(...), "
        "carry=Carry(...))"
    )
    assert repr(trace.prior) == "Normal(mean=float32[12, 8, 3, 18], std=float32[12, 8, 3, 18])"
    assert repr(trace.carry) == "Carry(dynamics=LastState(...), posterior=FusedCarry(...))"
    assert repr(trace.encoding).startswith("Encoding(mean=float32[12, 8, 3, 18], precision=")
    data = repr(read_sequences("data/billiards/test.h5"))
    assert "frames=uint8[12, 20, 32, 32, 3]" in data and len(data) < 500
