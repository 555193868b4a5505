"""Dynamics: as they start, against loops spelled out over objects, and their stds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus
from torch.testing import assert_close

from seqvae.dynamics.double import DoubleDynamics
from seqvae.dynamics.graph import GraphDynamics
from seqvae.dynamics.gru import GRUDynamics
from seqvae.dynamics.independent import StandardNormal
from seqvae.dynamics.linear import LinearDynamics, StaticDynamics
from seqvae.dynamics.stove import StoveDynamics
from seqvae.layout import Field, StateLayout
from seqvae.types import LastState
from tests.laws.common import F64, MOVING, POSITION, SIZE, VELOCITY, perturbed

SPEED = 0.05  # the scale of GraphDynamics
PAIRS = {
    GraphDynamics: ("pair_own", "pair_other", "pair_geometry", "relation", "attention"),
    StoveDynamics: ("relation", "attention"),
}


def stirred(part: nn.Module, scale: float = 0.2) -> nn.Module:
    """Return the part in float64, with weights away from their start."""
    return perturbed(part.double(), scale)


def states(part: nn.Module, batch: int = 2) -> Tensor:
    return 0.3 * torch.randn(batch, part.slots, part.layout.dim, dtype=F64)


def last(z: Tensor) -> LastState:
    return LastState(z, torch.zeros_like(z))


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_an_untrained_graph_moves_objects_along_straight_lines(slots):
    dynamics = GraphDynamics(MOVING, slots, latent=3).double()
    z = states(dynamics)
    mean, _ = dynamics.step(z)
    now, after = dynamics.layout.split(z), dynamics.layout.split(mean)
    assert_close(after["position"], now["position"] + now["velocity"])
    assert torch.equal(after["velocity"], now["velocity"]) and torch.equal(after["size"], now["size"])
    assert (after["latent"] == 0).all()
    future = dynamics.step(mean)[0]
    assert_close(dynamics.layout.split(future)["position"], now["position"] + 2 * now["velocity"])


def test_without_a_velocity_an_untrained_graph_leaves_objects_where_they_are():
    dynamics = GraphDynamics(StateLayout((SIZE, POSITION)), 3, latent=3).double()
    z = states(dynamics)
    assert torch.equal(dynamics.step(z)[0][..., :4], z[..., :4])


def by_hand(d: GraphDynamics, z: Tensor, action: int | None) -> tuple[Tensor, Tensor]:
    """Return the next state of one sequence "k d" and the shares of the stds, pair by pair of objects."""
    has_velocity = "velocity" in d.layout
    x, latent = z[:, d.layout["position"]], z[:, d.layout["latent"]]
    v = z[:, d.layout["velocity"]] / SPEED if has_velocity else z[:, :0]
    shift = d.action.weight[action] if action is not None else 0
    h = [(d.state(torch.cat([x[i], v[i], latent[i]])) + shift).relu() for i in range(len(z))]
    means, shares = [], []
    for i in range(len(z)):
        effect = torch.zeros_like(h[i])
        for j in range(len(z)):
            if j == i:
                continue
            dx, dv = x[j] - x[i], v[j] - v[i]
            distance = (dx @ dx + 1e-6).sqrt()
            geometry = [dx, dv, distance[None]]
            if has_velocity:
                geometry.append((dx @ dv / distance)[None])
            pair = d.pair_own(h[i]) + d.pair_other(h[j]) + d.pair_geometry(torch.cat(geometry))
            relation = d.relation(pair.relu()).relu()
            effect = effect + d.attention(relation).sigmoid() * relation
        out = d.out(torch.cat([h[i], effect]))
        mean, std = z[i].clone(), torch.ones_like(z[i])
        raw = out[-len(d.moved) :]
        mean[d.layout["position"]] = x[i] + SPEED * out[:2]
        if has_velocity:
            before = z[i, d.layout["velocity"]]
            velocity = before + SPEED * out[2:4]
            mean[d.layout["velocity"]] = velocity
            mean[d.layout["position"]] += velocity
            if d.impact:
                share = out[:2].sigmoid()
                mean[d.layout["position"]] = x[i] + share * before + (1 - share) * velocity
        mean[d.layout["latent"]] = out[sum(d.sizes) - latent.shape[1] : sum(d.sizes)].tanh()
        for name, raw_std in zip(d.moved, raw, strict=True):
            std[d.layout[name]] = (raw_std - 1).sigmoid()
        means.append(mean), shares.append(std)
    return torch.stack(means), torch.stack(shares)


@pytest.mark.parametrize("impact", [True, False])
@pytest.mark.parametrize("fields", [(SIZE, POSITION, VELOCITY), (SIZE, POSITION)])
@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_the_graph_is_a_loop_over_pairs_of_different_objects(slots, fields, impact):
    layout = StateLayout(fields)
    dynamics = stirred(GraphDynamics(layout, slots, actions=4, latent=3, width=8, impact=impact))
    z, action = states(dynamics), torch.tensor([3, 1])
    mean, share = dynamics.step(z, action)
    for b in range(2):
        expected_mean, expected_share = by_hand(dynamics, z[b], action[b])
        assert_close(mean[b], expected_mean)
        assert_close(share[b], expected_share)
    without_action = torch.stack([by_hand(dynamics, one, None)[0] for one in z])
    assert_close(dynamics.step(z)[0], without_action)


def test_with_impacts_an_object_whose_velocity_stays_moves_straight_on():
    dynamics = stirred(GraphDynamics(MOVING, 3, latent=3))
    where, (out,) = dynamics.layout["velocity"], dynamics.out[-1:]
    velocities = slice(2, 4)  # of the numbers that the last layer returns: position, velocity, latent, stds
    with torch.no_grad():
        out.weight[velocities], out.bias[velocities] = 0, 0
    z = states(dynamics)
    mean = dynamics.layout.split(dynamics.step(z)[0])
    assert torch.equal(mean["velocity"], z[..., where])
    assert torch.equal(mean["position"], z[..., dynamics.layout["position"]] + z[..., where])


def reached(dynamics: nn.Module, slots: int) -> set[str]:
    """Return the networks named in PAIRS that have an effect on the next state."""
    z = states(dynamics)
    dynamics.zero_grad()
    dynamics.step(z)[0].square().sum().backward()
    return {
        name
        for name in PAIRS[type(dynamics)]
        if any(p.grad is not None and p.grad.any() for p in getattr(dynamics, name).parameters())
    }


@pytest.mark.parametrize("kind", PAIRS)
def test_an_object_does_not_push_itself(kind):
    alone, together = (stirred(kind(MOVING, slots, latent=3)) for slots in (1, 2))
    assert reached(alone, 1) == set() and reached(together, 2) == set(PAIRS[kind])


@pytest.mark.parametrize("kind", PAIRS)
def test_the_prior_has_the_fixed_stds_and_the_proposal_learned_ones_below_a_bound(kind):
    dynamics = kind(
        MOVING,
        3,
        latent=3,
        prior_std={"position": 0.015},
        proposal_std={"velocity": 0.07},
        walk={"size": 0.025},
        first_std={"latent": 0.4},
    )
    stirred(dynamics, 0.05)
    transition = dynamics.predict(last(states(dynamics)))
    split = dynamics.layout.split
    prior, proposal = split(transition.prior.std), split(transition.proposal.std)
    fixed = {"size": 0.025, "position": 0.015, "velocity": 0.01, "latent": 0.01}
    factor = dict(zip(dynamics.moved, dynamics.spread.log_factor.exp().tolist(), strict=True))
    assert len(set(factor.values())) == 3
    for name, std in fixed.items():
        expected = std * factor.get(name, 1.0)
        assert_close(prior[name], torch.full_like(prior[name], expected), rtol=1e-6, atol=0)
    for name, most in {"position": 0.3, "velocity": 0.07, "latent": 0.04}.items():
        std = proposal[name]
        assert (std > 1e-3).all() and (std < 1e-3 + most).all()
    # sizes walk with the same std in both, except for the floor
    assert_close(proposal["size"], torch.full_like(proposal["size"], 0.026), rtol=1e-6, atol=0)
    assert torch.equal(transition.prior.mean, transition.proposal.mean)


def test_the_proposal_std_is_a_share_of_its_bound():
    dynamics = stirred(GraphDynamics(MOVING, 3, latent=3))
    z = states(dynamics)
    mean, share = dynamics.step(z)
    most = {"size": 0.02, "position": 0.3, "velocity": 0.04, "latent": 0.04}
    bound = torch.cat([torch.full((f.size,), most[f.name], dtype=F64) for f in dynamics.layout.fields])
    q = dynamics.predict(last(z)).proposal
    factor = torch.ones(dynamics.layout.dim, dtype=F64)
    factor[dynamics.layout["latent"]] = dynamics.latent_spread.log_factor.detach().exp()
    assert_close(q.std, factor * (1e-3 + bound * share), rtol=1e-6, atol=1e-9)
    assert torch.equal(q.mean, mean)


@pytest.mark.parametrize("kind", PAIRS)
def test_the_first_state_is_wide_and_its_size_typical(kind):
    dynamics = kind(MOVING, 3, latent=3, first_std={"velocity": 0.2})
    like = torch.zeros(2, 3, 6)
    first = dynamics.predict(dynamics.init(2, like))
    for q in (first.prior, first.proposal):
        mean, std = dynamics.layout.split(q.mean), dynamics.layout.split(q.std)
        assert q.mean.shape == (2, 3, dynamics.layout.dim)
        assert_close(mean["size"], torch.full((2, 3, 2), 0.3))
        assert all((mean[name] == 0).all() for name in ("position", "velocity", "latent"))
        for name, value in {"size": 0.3, "position": 0.6, "velocity": 0.2, "latent": 0.1}.items():
            assert_close(std[name], torch.full_like(std[name], value))


def test_a_constant_velocity_filter_moves_by_the_velocity():
    dynamics = LinearDynamics(MOVING, 3, std={"velocity": 0.03}, first_std=0.7).double()
    z = states(dynamics)
    prior = dynamics.predict(last(z)).prior
    assert_close(prior.mean[..., :2], z[..., :2])
    assert_close(prior.mean[..., 2:4], z[..., 2:4] + z[..., 4:])
    assert_close(prior.mean[..., 4:], z[..., 4:])
    std = torch.tensor([0.0201, 0.0201, 0.0201, 0.0201, 0.0301, 0.0301], dtype=F64)  # a floor of 1e-4
    assert_close(prior.std, std.expand_as(z), rtol=1e-5, atol=0)
    first = dynamics.predict(dynamics.init(2, z)).prior
    assert (first.mean == 0).all() and (first.std == 0.7).all() and first.mean.shape == z.shape
    still = StaticDynamics(MOVING, 3).double()
    assert torch.equal(still.predict(last(z)).prior.mean, z)
    other = LinearDynamics(StateLayout((POSITION, VELOCITY, Field("appearance", 1, "product"))), 1)
    assert_close(other.log_std.exp()[-1].item(), 0.05)


def test_independent_frames_have_a_standard_normal_prior():
    dynamics = StandardNormal(StateLayout((POSITION,)), 3)
    carry = dynamics.init(2, torch.zeros(2, 3, 2))
    for _ in range(2):
        transition = dynamics.predict(carry)
        for q in (transition.prior, transition.proposal):
            assert (q.mean == 0).all() and (q.std == 1).all() and q.mean.shape == (2, 3, 2)
        carry = dynamics.update(carry, torch.randn(2, 3, 2), None)


def test_the_second_dynamics_proposes_and_the_first_generates():
    def graph(**given):
        return GraphDynamics(latent=3, **given)

    double = stirred(DoubleDynamics(MOVING, 3, graph, actions=4))
    z, action = states(double.generative), torch.tensor([3, 1])
    transition = double.predict(last(z), action)
    prior, proposal = double.generative.predict(last(z), action), double.inference.predict(last(z), action)
    assert torch.equal(transition.prior.mean, prior.prior.mean)
    assert torch.equal(transition.prior.std, prior.prior.std)
    assert torch.equal(transition.proposal.mean, proposal.proposal.mean)
    assert torch.equal(transition.proposal.std, proposal.proposal.std)
    assert torch.equal(double.update(last(z), 2 * z, None).z, 2 * z)


def test_a_gru_has_its_prior_from_its_memory():
    dynamics = stirred(GRUDynamics(StateLayout((Field("code", 3, "frame"),)), 2, context=8, hidden=16))
    z = torch.randn(4, 2, 3, dtype=F64)
    first = dynamics.init(4, z)
    assert torch.equal(first, dynamics.first.expand(4, -1))
    h = dynamics.update(first, z, None)
    assert_close(h, dynamics.cell(z.flatten(1), first))
    transition = dynamics.predict(h)
    out = dynamics.prior(h).unflatten(1, (2, 6))  # slots one after the other, each with mean and raw std
    for q in (transition.prior, transition.proposal):
        assert_close(q.mean, out[..., :3])
        assert_close(q.std, 0.01 + softplus(out[..., 3:]))
    assert torch.equal(transition.context, h)


def test_an_action_shifts_the_memory_of_a_gru():
    dynamics = stirred(GRUDynamics(StateLayout((Field("code", 3, "frame"),)), 1, actions=5, context=8))
    h, action = torch.randn(4, 8, dtype=F64), torch.tensor([0, 4, 2, 2])
    shift = one_hot(action, 5).to(F64) @ dynamics.act.weight
    assert_close(dynamics.predict(h, action).context, h + shift)
    assert torch.equal(dynamics.predict(h).context, h)
    without = GRUDynamics(StateLayout((Field("code", 3, "frame"),)), 1, context=8)
    assert torch.equal(without.predict(h.float(), action).context, h.float())
