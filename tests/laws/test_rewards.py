"""Rewards and ends: densities by hand, terms under the right frame, and contacts that are learned."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from data_gen.sims.avoidance import Avoidance
from data_gen.simulator import simulate
from seqvae.build import build
from seqvae.errors import UserError
from seqvae.layout import VELOCITY, Field, StateLayout
from seqvae.nn.rewards import Event, NormalAmount, TwoHotAmount
from seqvae.objectives import ELBO, LatentELBO
from seqvae.prediction import FramePrediction, PositionPrediction
from seqvae.rewards.slots import SlotReward
from seqvae.train.encodings import EncodingBatch, track_slots
from seqvae.types import DataSpec
from tests.models import as_batch, config, perturbed, video
from tests.refusals import refusal

F64 = torch.float64

# ---- densities


def test_an_event_is_a_bernoulli_of_its_worth():
    density = Event(value=-2.0, rate=0.2)
    raw = torch.tensor([[0.0], [1.5]], dtype=F64)
    logit = raw[:, 0] + math.log(0.2 / 0.8)
    no, yes = (density.log_prob(torch.full((2,), r, dtype=F64), raw) for r in (0.0, -2.0))
    assert_close(yes, logsigmoid(logit))
    assert_close(no.exp() + yes.exp(), torch.ones(2, dtype=F64))
    assert_close(density.mean(raw), -2 * logit.sigmoid())
    assert density.fault(torch.tensor([0.0, -2.0])) is None
    assert density.fault(torch.tensor([0.0, 1.0])) == "some are 1, neither 0 nor value=-2"
    for bad in ({"value": 0.0}, {"rate": 0.0}, {"rate": 1.0}):
        assert "an event has a worth" in refusal(lambda bad=bad: Event(**bad))


def test_an_amount_is_a_gaussian():
    density, raw, reward = NormalAmount(scale=3.0), torch.randn(5, 2, dtype=F64), torch.randn(5, dtype=F64)
    std = 0.03 + 3 * torch.nn.functional.softplus(raw[:, 1])
    assert_close(
        density.log_prob(reward, raw), torch.distributions.Normal(3 * raw[:, 0], std).log_prob(reward)
    )
    assert_close(density.mean(raw), 3 * raw[:, 0])


def test_two_hot_amounts_by_hand():
    """Amounts 0, +-(e - 1), +-(e^2 - 1); a reward of 1 lies between the third and the fourth."""
    density = TwoHotAmount(limit=2.0, bins=5).double()
    a, b = math.e - 1, math.e**2 - 1
    assert_close(density.amounts, torch.tensor([-b, -a, 0.0, a, b], dtype=F64), rtol=1e-6, atol=1e-6)
    raw = torch.randn(1, 5, dtype=F64)
    log_p = raw.log_softmax(-1)[0]
    for reward, expected in {
        1.0: (1 - 1 / a) * log_p[2] + log_p[3] / a,
        -1.0: (1 - 1 / a) * log_p[2] + log_p[1] / a,
        0.0: log_p[2],
        99.0: log_p[4],
        -99.0: log_p[0],
    }.items():
        found = density.log_prob(torch.tensor([reward], dtype=F64), raw)
        assert_close(found[0], expected, rtol=1e-6, atol=1e-6)
    assert_close(density.mean(raw), (raw.softmax(-1) * density.amounts).sum(-1))
    assert density.fault(torch.tensor([3.0])) is None and "beyond the largest" in density.fault(
        torch.tensor([9.0])
    )
    assert "odd number" in refusal(lambda: TwoHotAmount(bins=4))


def test_two_hot_amounts_start_at_zero_and_learn_the_mean():
    density = TwoHotAmount()
    assert density.mean(torch.zeros(3, 65)).tolist() == [0.0] * 3, "exactly, for amounts up to 3,000"
    rewards = torch.tensor([0.3, 700.0, -5.0, 0.0], dtype=F64)
    raw = torch.zeros(65, dtype=F64, requires_grad=True)
    density = density.double()
    optimiser = torch.optim.LBFGS(
        [raw], lr=1, max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def loss():
        optimiser.zero_grad()
        value = -density.log_prob(rewards, raw.expand(4, -1)).mean()
        value.backward()
        return value

    optimiser.step(loss)
    # at the maximum p is the mean of the two-hot targets, whose mean is that of the rewards; p of absent
    # amounts goes to 0 slowly, and amounts are up to 3,000
    assert_close(density.mean(raw.detach()), rewards.mean(), rtol=1e-3, atol=0)


# ---- the network

LAYOUTS = {
    "motion": StateLayout((Field("position", 2, "product"), VELOCITY)),
    "no positions": StateLayout((Field("code", 3, "product"),)),
}


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_reward_is_the_same_under_every_order_of_slots(layout, slots):
    layout = LAYOUTS[layout]
    reward = perturbed(SlotReward(layout, slots, actions=3, width=16), 0.3).double()
    before, after = torch.randn(2, 5, 6, slots, layout.dim, dtype=F64)  # axes in front of the slots at will
    action = torch.randint(3, (5, 6))
    outcome = reward(before, action, after)
    for order in torch.cartesian_prod(*[torch.arange(slots)] * slots).reshape(-1, slots):
        if len(set(order.tolist())) < slots:
            continue
        other = reward(before[..., order, :], action, after[..., order, :])
        assert_close(other.raw, outcome.raw, rtol=1e-10, atol=1e-10)
        assert_close(other.end_logit, outcome.end_logit, rtol=1e-10, atol=1e-10)
    # each of the three, and the pairing of slots before and after, does matter
    assert not torch.allclose(reward(before, (action + 1) % 3, after).raw, outcome.raw)
    assert not torch.allclose(reward(before + 0.1, action, after).raw, outcome.raw)
    assert not torch.allclose(reward(before, action, after + 0.1).raw, outcome.raw)
    if slots > 1:
        assert not torch.allclose(reward(before, action, after.flip(-2)).raw, outcome.raw)


def test_without_training_nothing_happens_and_nothing_ends():
    layout = LAYOUTS["motion"]
    outcome = SlotReward(layout, 3)(torch.randn(4, 3, 4), None, torch.randn(4, 3, 4))
    reward, end = outcome.mean()
    assert_close(reward, torch.full((4,), -0.01))
    assert_close(end, torch.full((4,), 0.01))


@pytest.mark.slow
def test_a_contact_is_learned():
    """Trained on true states of avoidance, it tells frames with a contact of the agent from the others."""
    world, layout = Avoidance(), LAYOUTS["motion"]

    def frames(n, seed):
        rng = np.random.default_rng(seed)
        actions = world.sample_actions(n, 40, rng)
        run = simulate(world, world.reset(n, rng), 40, actions)
        z = np.concatenate([run.states.positions / 5 - 1, run.states.velocities / 5], -1)
        z = torch.as_tensor(z, dtype=torch.float32)
        led = torch.as_tensor(actions[:, 1:])
        return [x.flatten(0, 1) for x in (z[:, :-1], led, z[:, 1:], torch.as_tensor(run.rewards[:, 1:]))]

    model = SlotReward(layout, 3, actions=9, width=32)
    before, led, after, rewards = frames(200, 0)
    optimiser, rng = torch.optim.Adam(model.parameters(), 3e-3), torch.Generator().manual_seed(0)
    for _ in range(400):
        i = torch.randint(len(led), (256,), generator=rng)
        log_prob = model(before[i], led[i], after[i]).log_prob(rewards[i], torch.zeros(256))
        optimiser.zero_grad()
        (-log_prob["reward"].mean() - log_prob["end"].mean()).backward()
        optimiser.step()
    before, led, after, rewards = frames(100, 1)
    with torch.no_grad():
        outcome = model(before, led, after)
    rate = (rewards != 0).double().mean()
    constant = rate * rate.log() + (1 - rate) * (1 - rate).log()
    assert 0.02 < rate < 0.3
    found = outcome.log_prob(rewards, torch.zeros_like(rewards))["reward"].mean()
    assert found > 0.6 * constant, "of the nats that a constant rate leaves, more than 40 % are gone"
    expected, ends = outcome.mean()
    assert expected[rewards != 0].mean() < 10 * expected[rewards == 0].mean()
    assert ends.max() < 0.02


# ---- terms of an objective


def model_and_batch(frames=7, reward=True):
    torch.manual_seed(0)
    name = "stove_reward" if reward else "stove"
    model = perturbed(build(config(name), DataSpec(24, 24, 3, actions=9, objects=3))).double()
    clip = video(frames=frames, height=24, width=24, channels=3, dtype=F64)
    given = {
        "prev_actions": torch.randint(9, (2, frames)),
        "rewards": -torch.randint(2, (2, frames)).double(),
        "ends": torch.rand(2, frames) < 0.3,
    }
    return model, clip, given


def by_hand(model, z, given, t):
    """log p(r_t, end_t | z_t-1, a_t-1, z_t) for frame t, from 0, sequence by sequence."""
    found = []
    for b in range(2):
        outcome = model.reward(z[b, t - 1], given["prev_actions"][b, t], z[b, t])
        found.append(outcome.log_prob(given["rewards"][b, t], given["ends"][b, t].double()))
    return {name: torch.stack([x[name] for x in found]) for name in ("reward", "end")}


@pytest.mark.parametrize(
    "objective", [ELBO(start=3), ELBO(rollout=FramePrediction(context=4)), "latent", "cached"]
)
def test_a_reward_stands_under_the_frame_to_which_its_action_led(objective):
    model, clip, given = model_and_batch()
    batch, split = as_batch(video=clip, **given), 7
    if isinstance(objective, str):
        split = 4 if objective == "latent" else 7
        rollout = PositionPrediction(context=4) if objective == "latent" else None
        objective = LatentELBO(rollout=rollout, reward_weight=0.25)
        encoding = track_slots(model, model.frame.encode(clip))
        batch = EncodingBatch(encoding, given["prev_actions"], given["rewards"], given["ends"])
    elif objective.rollout:
        split = 4
    torch.manual_seed(1)
    terms, trace = objective(model, batch, 0.0)
    # after the context, where there is one, the states are the imagined ones
    carry = trace.carry
    if isinstance(objective, ELBO) and split < 7:
        torch.manual_seed(1)
        carry = model.filter(clip[:, :split], given["prev_actions"][:, :split], sample=True).carry
    z = trace.z[:, :split]
    if split < 7:
        z = torch.cat([z, model.imagine(carry, 7 - split, given["prev_actions"][:, split:]).z], 1)
    first = objective.start - 1
    for t in range(first, 7):
        for name, value in (by_hand(model, z, given, t) if t else {}).items():
            assert_close(terms.values[name][:, t - first], value)
            assert terms.defined[name][:, t - first].all()
    assert terms.values["reward"].shape[1] == 7 - first
    assert terms.weights["reward"] == terms.weights["end"] == objective.reward_weight
    loss = terms.objective().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.reward.parameters())


def test_without_known_ends_no_episode_ends():
    model, clip, given = model_and_batch()
    never = given | {"ends": torch.zeros(2, 7, dtype=torch.bool)}
    found = []
    for batch in (never, {k: x for k, x in given.items() if k != "ends"}):
        torch.manual_seed(1)
        found.append(ELBO()(model, as_batch(video=clip, **batch), 0.0)[0].values["end"])
    assert torch.equal(*found)


def test_rewards_change_nothing_in_a_model_without_the_part():
    model, clip, given = model_and_batch(reward=False)
    terms, _ = ELBO()(model, as_batch(video=clip, **given), 0.0)
    assert not {"reward", "end"} & terms.values.keys()


def test_the_part_adds_no_parameter_to_filter_and_imagination():
    """With the same weights the model with a reward part filters and imagines as the one without."""
    model, clip, given = model_and_batch()
    plain, _, _ = model_and_batch(reward=False)
    weights = {name: x for name, x in model.state_dict().items() if not name.startswith("reward.")}
    plain.load_state_dict(weights)
    traces = [m.filter(clip, given["prev_actions"]) for m in (model, plain)]
    assert torch.equal(traces[0].z, traces[1].z)


def test_rewards_need_steps():
    independent = config("monet") | {"reward": config("stove_reward")["reward"]}
    words = "model.reward: rewards belong to steps, and StandardNormal takes frames for independent"
    assert words in refusal(build, independent, DataSpec(24, 24, 3, actions=9, objects=3))


def test_rewards_that_the_density_cannot_have_are_refused():
    reward = SlotReward(LAYOUTS["motion"], 2)
    reward.require_rewards(torch.tensor([[0.0, -1.0]]))
    with pytest.raises(
        UserError, match=r"model.reward.density: Event cannot be .* some are 0.5, neither 0 nor"
    ):
        reward.require_rewards(torch.tensor([[0.0, 0.5]]))
