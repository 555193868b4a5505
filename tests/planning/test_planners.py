"""Planners on worlds whose best lines are known."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from data_gen.sims.avoidance import Avoidance, SteeredAvoidance
from seqvae.config import instantiate, parts
from seqvae.planning.around_mean import CEM, MPPI
from seqvae.planning.mcts import MCTS
from seqvae.planning.planner import Planner, RandomActions, RandomShooting, line_returns
from seqvae.planning.simulated import SimulatorWorld
from seqvae.planning.world import World, WorldStep, select
from seqvae.types import ActionSpace
from tests.refusals import refusal

ACTIONS, DEPTH = 3, 4
NODES = (ACTIONS ** (DEPTH + 1) - 1) // (ACTIONS - 1)  # of the complete tree
ALL = NODES - 1  # simulations that add every node but the root


@dataclass(frozen=True)
class Place:
    """Number of a node in the complete tree, whose children are 3 i + 1 to 3 i + 3; and of the tree."""

    node: torch.Tensor
    tree: torch.Tensor


class TreeWorld(World):
    """Complete trees with random rewards on their edges, and ends at some nodes."""

    actions = ActionSpace(ACTIONS)

    def __init__(self, trees=8, ends=0.1):
        rng = np.random.default_rng(0)
        self.reward = torch.from_numpy(rng.normal(size=(trees, NODES)))
        self.end = torch.from_numpy((rng.random((trees, NODES)) < ends).astype(float))

    def start(self, trees):
        return Place(torch.zeros(len(trees), dtype=torch.int64), torch.as_tensor(trees))

    def step(self, state, action):
        assert ((action >= 0) & (action < ACTIONS)).all()
        node = (ACTIONS * state.node + action + 1).clamp(max=NODES - 1)
        return WorldStep(Place(node, state.tree), self.reward[state.tree, node], self.end[state.tree, node])


def exhaustive(world, tree, discount, node=0, depth=DEPTH):
    """The largest return from a node on, by recursion over all lines."""
    if depth == 0:
        return 0.0
    returns = []
    for a in range(ACTIONS):
        child = ACTIONS * node + a + 1
        later = exhaustive(world, tree, discount, child, depth - 1)
        end = world.end[tree, child].item()
        returns.append(world.reward[tree, child].item() + discount * (1 - end) * later)
    return max(returns)


def generators(n, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(n)]


def planted(simulations=ALL, discount=0.9, ends=0.1, **options):
    world = TreeWorld(ends=ends)
    planner = MCTS(simulations, DEPTH, discount, **options)
    return world, planner, world.start(range(8))


def test_mcts_finds_the_best_line_of_any_tree():
    world, planner, state = planted(300, exploration=4.0, choose="best")
    plan = planner(world, state, generators(8))
    best = [exhaustive(world, tree, 0.9) for tree in range(8)]
    assert_close(plan.value, torch.tensor(best, dtype=torch.float64), rtol=0, atol=1e-12)
    assert_close(line_returns(world, state, plan.actions[:, None], 0.9)[:, 0], plan.value)


@pytest.mark.parametrize("choose", ["visits", "mean", "best"])
def test_mcts_finds_the_optimum(choose):
    """Of trees in which each step of one line brings more than all others."""
    world, planner, state = planted(200, ends=0, choose=choose)
    world.reward = 0.2 * torch.rand(8, NODES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lines = torch.from_numpy(np.random.default_rng(1).integers(ACTIONS, size=(8, DEPTH)))
    place = torch.zeros(8, dtype=torch.int64)
    for t in range(DEPTH):
        place = ACTIONS * place + lines[:, t] + 1
        world.reward[torch.arange(8), place] += 0.5
    plan = planner(world, state, generators(8))
    assert torch.equal(plan.actions, lines)
    best = [exhaustive(world, tree, 0.9) for tree in range(8)]
    assert_close(plan.value, torch.tensor(best, dtype=torch.float64), rtol=0, atol=1e-12)


def test_with_all_nodes_the_values_are_those_of_exhaustive_search():
    """With a wide exploration every simulation adds a node that was missing, until there is none."""
    world, planner, state = planted(exploration=1e6, ends=0)
    trees = planner.search(world, state, generators(8))
    assert (trees.count == NODES).all()
    for tree in range(8):
        pending = [(0, 0, DEPTH)]  # number in the search tree, in the complete tree, actions left
        while pending:
            node, place, left = pending.pop()
            for a in range(ACTIONS):
                child, below = int(trees.child[tree, node, a]), ACTIONS * place + a + 1
                if left == 0:
                    assert child == -1
                    continue
                value = world.reward[tree, below] + 0.9 * exhaustive(world, tree, 0.9, below, left - 1)
                assert trees.best[tree, child].item() == pytest.approx(value.item(), abs=1e-12)
                pending.append((child, below, left - 1))


def test_means_are_those_of_the_lines_that_were_simulated():
    """Totals by hand: all nodes of the last level once, so the mean of a node is that of its lines."""
    world, planner, state = planted(exploration=1e6, ends=0, discount=1.0)
    trees = planner.search(world, state, generators(8))
    # a node of the last but one level: once by itself with a random child, then once by each of its children
    for tree in range(8):
        node = 0
        for _ in range(DEPTH - 1):
            node = int(trees.child[tree, node, 1])
        children = trees.child[tree, node]
        own, leaves = trees.reward[tree, node], trees.reward[tree, children]
        assert trees.visits[tree, node] == 1 + ACTIONS
        beside = trees.total[tree, node] - (ACTIONS * own + leaves.sum()) - own  # of the random child
        assert (beside - leaves).abs().min() < 1e-12
        assert_close(trees.total[tree, children], leaves)


@pytest.mark.parametrize("simulations", [1, 2, 7, 60])
def test_visits_sum_to_the_simulations(simulations):
    world, planner, state = planted(simulations)
    plan = planner(world, state, generators(8))
    assert plan.visits.sum(1).tolist() == [simulations] * 8
    trees = planner.search(world, state, generators(8))
    assert (trees.visits[:, 0] == simulations).all() and (trees.count <= simulations + 1).all()
    inner = trees.child >= 0
    below = trees.visits.gather(1, trees.child.clamp(min=0).flatten(1)).view_as(trees.child) * inner
    own = trees.visits - below.sum(-1)  # simulations that a node began, or that ended in it
    used = torch.arange(own.shape[1]) < trees.count[:, None]
    assert (own[:, 0] == 0).all() and (own[:, 1:][used[:, 1:]] >= 1).all() and (own[~used] == 0).all()


class Sure(TreeWorld):
    """Every first step ends the episode."""

    def __init__(self):
        super().__init__(ends=2.0)


def test_nothing_is_imagined_after_an_end():
    planner, world = MCTS(30, DEPTH), Sure()
    state = world.start(range(8))
    trees = planner.search(world, state, generators(8))
    assert (trees.count == 1 + ACTIONS).all() and (trees.visits[:, 0] == 30).all()
    plan = planner(world, state, generators(8))
    assert_close(plan.value, world.reward[:, 1 : ACTIONS + 1].amax(1))


WORLDS = {
    "tree": lambda: (TreeWorld(), TreeWorld().start(range(8))),
    "avoidance": lambda: started(Avoidance()),
    "steered": lambda: started(SteeredAvoidance()),
}
SEARCHES = {
    "mcts": (lambda: MCTS(20, 5), ("tree", "avoidance")),
    "shooting": (lambda: RandomShooting(6, 4), tuple(WORLDS)),
    "random": (lambda: RandomActions(1, 1), tuple(WORLDS)),
    "cem": (lambda: CEM(12, 4, iterations=2), ("steered",)),
    "mppi": (lambda: MPPI(12, 4, iterations=2), ("steered",)),
}


def started(simulator):
    world = SimulatorWorld(simulator)
    return world, world.start(8, np.random.default_rng(5))


@pytest.mark.parametrize(
    ("planner", "world"), [(name, world) for name, (_, worlds) in SEARCHES.items() for world in worlds]
)
def test_all_at_once_are_as_one_at_a_time(planner, world):
    """To the bit, in worlds that compute each environment alike in any batch."""
    (world, state), planner = WORLDS[world](), SEARCHES[planner][0]()
    plan = planner(world, state, generators(8))
    for i in range(8):
        alone = planner(world, select(state, torch.tensor([i])), generators(8)[i : i + 1])
        assert torch.equal(alone.actions[0], plan.actions[i])
        assert torch.equal(alone.value[0], plan.value[i])
        if plan.visits is not None:
            assert torch.equal(alone.visits[0], plan.visits[i])


def test_random_shooting_takes_the_best_of_its_lines():
    world = TreeWorld()
    state = world.start(range(8))
    plan = RandomShooting(4000, DEPTH, 0.9)(world, state, generators(8))  # all 81 lines, almost surely
    best = torch.tensor([exhaustive(world, tree, 0.9) for tree in range(8)], dtype=torch.float64)
    assert_close(plan.value, best, rtol=0, atol=1e-12)
    assert_close(line_returns(world, state, plan.actions[:, None], 0.9)[:, 0], plan.value)


def test_random_actions_are_uniform():
    world = TreeWorld(trees=1)
    state = world.start([0] * 3000)
    counts = RandomActions(1, 1)(world, state, generators(3000)).action.bincount()
    assert len(counts) == ACTIONS
    assert ((counts - 1000).abs() < 4 * np.sqrt(3000 * 2 / 9)).all()


class Quadratic(World):
    """Reward -|a_t - target_t|^2 + 2 of a vector, where t counts the steps; the targets are the state."""

    actions = ActionSpace(0, (-1.0, -2.0), (1.0, 2.0))

    def start(self, targets):
        return {"targets": targets, "t": torch.zeros(len(targets), dtype=torch.int64)}

    def step(self, state, action):
        rows = torch.arange(len(action))
        target = state["targets"][rows, state["t"].clamp(max=state["targets"].shape[1] - 1)]
        assert ((action >= -torch.tensor([1.0, 2.0])) & (action <= torch.tensor([1.0, 2.0]))).all()
        after = {"targets": state["targets"], "t": state["t"] + 1}
        return WorldStep(after, -(action - target).square().sum(1), torch.zeros(len(action)))


@pytest.mark.parametrize(
    "planner",
    [
        CEM(4000, 3, iterations=10, elites=0.05),
        CEM(6000, 3, iterations=15, elites=0.05, momentum=0.1),
        MPPI(10000, 3, iterations=25, temperature=1e-3, decay=0.8),
    ],
    ids=["cem", "cem momentum", "mppi"],
)
def test_the_optimum_of_a_quadratic_is_reached(planner):
    """Some of the targets lie on the limits, some within."""
    world = Quadratic()
    targets = torch.tensor([[[0.3, -1.2], [1.0, 0.0], [-0.5, 2.0]], [[0.0, 0.0], [-0.9, 1.5], [-1.0, -2.0]]])
    state = world.start(targets)
    plan = planner(world, state, generators(2))
    assert_close(plan.actions, targets, rtol=0, atol=0.02)
    assert_close(plan.value, torch.zeros(2), rtol=0, atol=1e-3)


def test_one_update_of_mppi_is_the_weighted_mean():
    planner = MPPI(8, 1, iterations=1, temperature=0.5, decay=0.9)
    x = torch.tensor([[[[1.0]], [[2.0]], [[4.0]]]])
    value = torch.tensor([[0.0, 0.5 * np.log(2), 0.5 * np.log(5)]])  # weights 1, 2, 5
    mean, std = planner.improved(x, value, torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    assert mean.item() == pytest.approx((1 * 1 + 2 * 2 + 5 * 4) / 8) and std.item() == pytest.approx(0.9)


def test_one_update_of_cem_is_that_of_the_elites():
    planner = CEM(8, 1, iterations=1, elites=0.25, momentum=0.5)
    x = torch.arange(8.0).view(1, 8, 1, 1)
    value = -(torch.arange(8.0) - 5.4).square()[None]  # best: 5 and 6
    mean, std = planner.improved(x, value, torch.full((1, 1, 1), 1.5), torch.zeros(1, 1, 1))
    assert mean.item() == pytest.approx((5.5 + 1.5) / 2) and std.item() == pytest.approx(np.sqrt(0.5) / 2)


def test_a_plan_goes_on_from_the_one_before():
    """With almost no noise the new line is the old one, a step later; the last action is repeated."""
    world, planner = Quadratic(), CEM(8, 3, iterations=2, std=1e-6)
    state = world.start(torch.zeros(1, 3, 2))
    first = planner(world, state, generators(1))
    assert_close(first.actions, torch.zeros(1, 3, 2), rtol=0, atol=1e-5)
    line = torch.tensor([[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]])
    later = planner(world, state, generators(1), type(first)(line, first.value))
    assert_close(later.actions, line[:, [1, 2, 2]], rtol=0, atol=1e-5)


def test_an_action_is_held_for_a_block():
    world, planner = Quadratic(), CEM(40, 5, iterations=2, block=2)
    plan = planner(world, world.start(torch.zeros(3, 5, 2)), generators(3))
    assert plan.actions.shape == (3, 5, 2)
    assert torch.equal(plan.actions[:, 0], plan.actions[:, 1])
    assert torch.equal(plan.actions[:, 2], plan.actions[:, 3])
    assert not torch.equal(plan.actions[:, 1], plan.actions[:, 2])


def test_planners_that_cannot_search_such_actions_say_so():
    numbered, vectors = ActionSpace(9), ActionSpace(0, (-1.0,), (1.0,))
    assert "MCTS searches numbered actions" in refusal(MCTS(1, 1).require_actions, vectors)
    for planner in (CEM(8, 1), MPPI(8, 1)):
        assert "searches vectors of numbers, and the world has 9 actions" in refusal(
            planner.require_actions, numbered
        )
        endless = ActionSpace(0, (-np.inf,), (1.0,))
        assert "have no limits" in refusal(planner.require_actions, endless)
    for planner in (MCTS(1, 1), RandomShooting(1, 1)):
        planner.require_actions(numbered)
    for planner in (CEM(8, 1), MPPI(8, 1), RandomShooting(1, 1)):
        planner.require_actions(vectors)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(simulations=0), "simulations=0"),
        (dict(depth=0), "depth=0"),
        (dict(discount=0.0), "discount=0"),
        (dict(discount=1.1), "discount=1.1"),
    ],
)
@pytest.mark.parametrize("kind", sorted(parts()[Planner]))
def test_numbers_out_of_range_are_refused(kind, options, words):
    given = {"simulations": 100, "depth": 10, "discount": 0.9} | options
    assert words in refusal(lambda: instantiate({"_target_": kind}, "planner", Planner, **given))


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        (MCTS, {"exploration": -1.0}),
        (MCTS, {"choose": "luck"}),
        *itertools.product((CEM, MPPI), ({"iterations": 0}, {"std": 0.0}, {"block": 0})),
        (CEM, {"elites": 0.0}),
        (CEM, {"momentum": 1.0}),
        (MPPI, {"temperature": 0.0}),
        (MPPI, {"decay": 0.0}),
    ],
)
def test_options_out_of_range_are_refused(kind, option):
    assert f"planner.{next(iter(option))}=" in refusal(lambda: kind(100, 10, **option))


def test_iterations_need_lines_to_compare():
    assert "simulations=4: planner.iterations=4 need at least 8" in refusal(CEM, 4, 1)
