"""The small parts of a training: meter, logbook, random streams, averages, signs of collapse, options."""

from __future__ import annotations

import json

import pytest
import torch

from seqvae.distributions import Normal
from seqvae.errors import UserError
from seqvae.layout import Field, StateLayout
from seqvae.streams import Stream
from seqvae.train.diagnostics import slot_statistics, warnings
from seqvae.train.logging import FILE, Logbook, Meter, read_log
from seqvae.train.optim import Optim, WeightAverage
from seqvae.train.progress import clock
from seqvae.train.runtime import own_randomness, pick_device, restore_rng, rng_state, seed_everything
from seqvae.train.stages import TrainerOptions
from seqvae.types import Carry, Terms, Trace

CPU = torch.device("cpu")
LAYOUT = StateLayout((Field("size", 2, "frame"), Field("position", 2, "product")))


def test_the_meter_averages_and_starts_anew():
    meter = Meter()
    for step, loss in enumerate([1.0, 2.0, 6.0]):
        meter.add(step, {"loss": torch.tensor(loss), "gradient": torch.tensor(1.0)})
    assert meter.read() == {"loss": 3.0, "gradient": 1.0}
    assert meter.read() == {} and meter.first_not_finite() is None


def test_the_meter_remembers_the_first_step_that_is_not_finite():
    meter = Meter()
    for step, loss in enumerate([1.0, float("inf"), float("nan")]):
        others = {"gradient": torch.tensor(2.0), "other": torch.tensor(3.0)}
        meter.add(10 + step, {"loss": torch.tensor(loss)} | others)
    assert meter.first_not_finite() == (11, {"loss": float("inf"), "gradient": 2.0, "other": 3.0})


def test_numbers_that_are_only_logged_may_be_anything():
    meter = Meter()
    numbers = {"loss": torch.tensor(1.0), "gradient": torch.tensor(1.0), "other": torch.tensor(float("nan"))}
    meter.add(0, numbers)
    assert meter.first_not_finite() is None


def test_the_log_drops_what_came_after_the_step_it_is_opened_at(tmp_path):
    first = Logbook(tmp_path)
    for step in (1, 2, 3):
        first.scalars("train", step, {"loss": float("nan") if step == 1 else float(step)})
    first.close()
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind": "train", "st')  # killed while writing
    again = Logbook(tmp_path, step=2, validated=2)
    again.warning(3, "look")
    again.close()
    assert read_log(tmp_path) == [
        {"kind": "train", "step": 1, "loss": None},
        {"kind": "train", "step": 2, "loss": 2.0},
        {"kind": "warning", "step": 3, "text": "look"},
    ]
    assert all(json.loads(line) for line in (tmp_path / FILE).read_text().splitlines())


def test_the_log_drops_a_validation_that_will_be_done_again(tmp_path):
    killed = Logbook(tmp_path)  # after this validation, and before the checkpoint that would know of it
    killed.scalars("validation", 2, {"objective": 1.0})
    killed.scalars("train", 4, {"loss": 1.0})
    killed.scalars("validation", 4, {"objective": 2.0})
    killed.close()
    Logbook(tmp_path, step=4, validated=2).close()
    assert [(line["kind"], line["step"]) for line in read_log(tmp_path)] == [("validation", 2), ("train", 4)]


def test_the_log_needs_no_tracker(tmp_path):
    log = Logbook(tmp_path)
    log.scalars("train", 1, {"loss": 1.0})
    log.image("picture", 1, torch.zeros(3, 4, 4))
    log.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_random_streams_are_restored_and_kept_apart():
    seed_everything(3, Stream.TRAINING, 0, 0)
    state = rng_state(CPU)
    with own_randomness(0, CPU):
        inside = torch.rand(4)
    expected = torch.rand(4)
    restore_rng(state, CPU)
    assert torch.equal(torch.rand(4), expected) and not torch.equal(inside, expected)
    seed_everything(3, Stream.TRAINING, 0, 0)
    assert torch.equal(torch.rand(4), expected)
    for other in ((0, 1), (1, 0)):  # of another rank, of another stage
        seed_everything(3, Stream.TRAINING, *other)
        assert not torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("seed", [-1, 2**31, "abc", True, 1.5])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(UserError, match="seed="):
        seed_everything(seed, Stream.WEIGHTS)


def test_the_average_follows_its_recursion_and_comes_and_goes():
    layer = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, decay=0.9)
    expected = own = layer.weight.item()
    for step in range(30):
        own = float(step)
        torch.nn.init.constant_(layer.weight, own)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * own
        average.update(step)
    with average.in_place():
        assert layer.weight.item() == pytest.approx(expected, rel=1e-5)
    assert layer.weight.item() == own


def test_the_gradient_is_clipped_to_its_norm():
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    assert Optim(clip=1.0).clip_gradient([weight]) == 5.0
    assert weight.grad.norm() == pytest.approx(1.0, rel=1e-5)
    assert Optim(clip=None).clip_gradient([weight]) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("bad", [{"name": "sgd"}, {"lr": 0.0}, {"clip": 0.0}, {"ema": 1.0}])
def test_bad_options_of_the_optimiser_are_refused(bad):
    (key,) = bad
    with pytest.raises(UserError, match=f"optim.{key}="):
        Optim(**bad)


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"context": 0}, {"checkpoint_seconds": -1.0}])
def test_bad_options_of_the_trainer_are_refused(bad):
    (key,) = bad
    with pytest.raises(UserError, match=f"trainer.{key}="):
        TrainerOptions(steps=1, **bad)


def test_a_device_is_known():
    assert pick_device("cpu") == CPU
    with pytest.raises(UserError, match="tpu"):
        pick_device("tpu")


def test_cuda_is_refused_where_it_is_absent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    with pytest.raises(UserError, match="no CUDA device"):
        pick_device("cuda")


def test_times_are_told_as_people_do():
    assert [clock(s) for s in (5.0, 65.0, 7384.0)] == ["0:05", "1:05", "2:03:04"]


def trace(position: torch.Tensor, size=0.3, std=0.05, kl=2.0) -> tuple[Trace, Terms]:
    """A trace with these positions "b t k 2", and terms with a KL of `kl` nats per slot and frame."""
    z = torch.cat([torch.full_like(position, size), position], -1)
    posterior = Normal(z, torch.full_like(z, std))
    b, t, k, _ = z.shape
    terms = Terms({"log_prior": torch.full((b, t), -kl * k), "neg_log_posterior": torch.zeros(b, t)})
    return Trace(z, posterior, posterior, None, None, Carry(None, None)), terms


def moving(k: int = 3) -> torch.Tensor:
    """Slots that go round, far from each other."""
    angle = torch.arange(8) / 8 * torch.pi + torch.arange(4)[:, None]
    angle = angle[..., None] + torch.arange(k) * 2 * torch.pi / k
    return 0.5 * torch.stack([angle.cos(), angle.sin()], -1)


def warned(*args, **changes) -> set[str]:
    return set(warnings(slot_statistics(*trace(*args, **changes), LAYOUT, size_limits=(0.1, 0.8))))


def test_a_healthy_trace_gives_no_warning():
    assert warned(moving()) == set()


def test_numbers_of_slots():
    numbers = slot_statistics(*trace(moving()), LAYOUT).as_dict()
    assert numbers["size_1"] == pytest.approx(0.3) and numbers["std_position"] == pytest.approx(0.05)
    assert numbers["kl"] == pytest.approx(2.0) and numbers["shared"] == 0.0
    assert numbers["motion_0"] == pytest.approx(2 * 0.5 * torch.pi / 16, rel=0.01)  # chord of an eighth of pi
    assert numbers["nearest"] == pytest.approx(0.5 * 3**0.5, rel=1e-4)  # side of a triangle of radius 1/2
    assert "at_limit_0" not in numbers  # its limits are not known here


def test_each_kind_of_collapse_gives_its_warning():
    still = moving()
    still[:, :, 1] = torch.tensor([0.2, -0.2])
    assert warned(still) == {"spread_1"}
    together = moving()
    together[:, :, 2] = together[:, :, 0] + 0.01
    assert warned(together) == {"shared"}
    assert warned(moving(), size=0.1) == {f"at_limit_{k}" for k in range(3)}
    assert warned(moving(), size=0.8) == {f"at_limit_{k}" for k in range(3)}
    assert warned(moving(), kl=1e4) == {"kl"}
    assert warned(moving(), std=3.0) == {"std_size", "std_position"}


def test_warnings_are_sentences():
    texts = warnings(slot_statistics(*trace(torch.zeros(2, 8, 2, 2)), LAYOUT)).values()
    assert "two slots sit on one object in 100% of the frames" in texts
    assert "slot 0: stays in one place (spread 0.000), so it follows no object" in texts


def test_a_count_that_is_stuck_is_told():
    layout = StateLayout((Field("presence", 1, "frame"), *LAYOUT.fields))

    def told(*counts: int) -> set[str]:
        presence = (torch.arange(2) < torch.tensor(counts)[:, None]).float()[:, None, :, None]
        z = torch.cat([presence, torch.zeros(len(counts), 1, 2, 4)], -1)
        state = Trace(z, Normal(z, z), None, None, None, Carry(None, None))
        statistics = slot_statistics(state, Terms({}), layout)
        assert statistics.as_dict() == {
            f"count_{n}": pytest.approx(counts.count(n) / len(counts)) for n in range(3)
        }
        return set(warnings(statistics))

    assert told(0, 0) == {"count_0"} and told(2, 2) == {"count_2"}
    assert told(1, 1) == told(0, 2) == set()
