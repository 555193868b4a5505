"""Monte Carlo tree search with discrete actions, of all environments at once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.planning.planner import Generators, Plan, Planner, draw, draw_actions
from seqvae.planning.trees import Trees
from seqvae.planning.world import World, returns
from seqvae.types import ActionSpace

CHOICES = ("visits", "mean", "best")


@register(Planner)
class MCTS(Planner):
    """UCT: down the tree by a = argmax Q(s, a) + c sqrt(log N(s) / N(s, a)), then at random to the depth.

    Every simulation adds one node, a state that the world has imagined once. Untried actions come first, in
    random order. Q is the mean return of the simulations through an edge, its rewards included.

    Kocsis & Szepesvari 2006, "Bandit based Monte-Carlo planning". STOVE plans so in its
    states (Kossen et al. 2020, arXiv 1910.02425).

    exploration: c, in the units of a return
    choose: the action that is taken in the end: that of most visits, of the best mean, or of the best single
        line, which can be had if the world is deterministic and the model right

    Raises:
        UserError: an option is out of its range.
    """

    def __init__(
        self,
        simulations: int,
        depth: int,
        discount: float = 1.0,
        exploration: float = 1.0,
        choose: str = "visits",
    ):
        super().__init__(simulations, depth, discount)
        if exploration < 0:
            raise UserError(f"planner.exploration={exploration}: expected 0 or more")
        if choose not in CHOICES:
            raise UserError(f"planner.choose={choose}: expected {', '.join(CHOICES)}")
        self.exploration, self.choose = exploration, choose

    def require_actions(self, actions: ActionSpace) -> None:
        if actions.size:
            raise UserError(
                f"planner: MCTS searches numbered actions, and the world has {actions}; take planner=cem, "
                "planner=mppi or planner=shooting"
            )

    def __call__(self, world: World, state: Any, rng: Generators, previous: Plan | None = None) -> Plan:
        trees = self.search(world, state, rng)
        rows, root = trees.rows, torch.zeros_like(trees.rows)
        visits, mean, best = trees.of_children(root)
        first = {"visits": visits, "mean": mean, "best": best}[self.choose]
        second = visits if self.choose == "mean" else mean  # where two are equal
        ties = first == first.amax(1, keepdim=True)
        action = second.masked_fill(~ties, -torch.inf).argmax(1)
        return Plan(trees.lines[rows, action], trees.line_value[rows, action], visits.long())

    def search(self, world: World, state: Any, rng: Generators) -> Trees:
        """Return the trees after all simulations."""
        actions = world.actions.count
        order = draw(rng, "uniform", (self.simulations, actions), state)
        lines = draw_actions(world.actions, rng, (self.simulations, self.depth), state)
        trees = Trees.planted(state, self.simulations + 1, actions, self.depth)
        for s in range(self.simulations):
            self._simulate(world, trees, order[:, s], lines[:, s])
        return trees

    def _simulate(
        self, world: World, trees: Trees, order: Float[Tensor, "b a"], line: Int[Tensor, "b t"]
    ) -> None:
        """Go down each tree, add a node, imagine the rest of the line, and count the return on the way up.

        order: of the actions of a node that were not tried yet, the one with the largest number comes first
        line: random actions, of which those on the way through the tree are replaced
        """
        path, steps, new, line = self._descend(trees, order, line)
        value = torch.zeros_like(trees.total[:, 0])
        if new.any():
            # 1. the node, by the first action that leaves the tree
            parent, action = path.gather(1, steps[:, None])[:, 0], _at(line, steps)
            step = world.step(trees.states_at(parent), action)
            added = trees.add(parent, action, step, new)
            path = path.scatter(1, steps[:, None] + 1, added[:, None])
            # 2. on from there by random actions, to the depth
            value = self._roll_out(world, step.state, line, torch.where(new, steps + 1, self.depth))
        trees.back_up(path, value, line, self.discount)

    def _descend(
        self, trees: Trees, order: Float[Tensor, "b a"], line: Int[Tensor, "b t"]
    ) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b"], Bool[Tensor, "b"], Int[Tensor, "b t"]]:
        """Return the way down: its nodes, its count of actions, whether the next one adds a node, the line.

        The path begins with the root and has room for that node; -1 stands after its end.
        """
        rows, chosen = trees.rows, []
        node, inside = torch.zeros_like(rows), torch.ones_like(rows, dtype=torch.bool)
        path = torch.full((len(rows), self.depth + 2), -1, device=rows.device)
        path[:, 0] = 0
        steps, new = torch.zeros_like(rows), torch.zeros_like(inside)
        for t in range(self.depth):
            inside = inside & (trees.end[rows, node] < 1)  # nothing is done after the end of an episode
            if not inside.any():
                break
            children = trees.child[rows, node]  # b a
            untried = children < 0
            first = order.masked_fill(~untried, -1).argmax(1)
            action = torch.where(untried.any(1), first, self._upper_bounds(trees, node).argmax(1))
            chosen.append(torch.where(inside, action, line[:, t]))
            child = children.gather(1, action[:, None])[:, 0]
            new = new | (inside & (child < 0))
            inside = inside & (child >= 0)
            steps = steps + inside
            node = torch.where(inside, child, node)
            path[:, t + 1] = torch.where(inside, child, -1)
        line = torch.cat([*(a[:, None] for a in chosen), line[:, len(chosen) :]], 1)
        return path, steps, new, line

    def _upper_bounds(self, trees: Trees, node: Int[Tensor, "b"]) -> Float[Tensor, "b a"]:
        """Return Q(s, a) + c sqrt(log N(s) / N(s, a)) of actions that were tried."""
        visits, mean, _ = trees.of_children(node)
        total = trees.visits[trees.rows, node].clamp(min=1)
        return mean + self.exploration * (total.log()[:, None] / visits).sqrt()

    def _roll_out(
        self, world: World, state: Any, line: Int[Tensor, "b t"], begin: Int[Tensor, "b"]
    ) -> Float[Tensor, "b"]:
        """Return what a line brings from its action number `begin` on; nothing if it has no such action."""
        rewards, ends = [], []
        for i in range(int((self.depth - begin).max())):
            place = begin + i
            step = world.step(state, _at(line, place))
            state, within = step.state, place < self.depth
            rewards.append(torch.where(within, step.reward.double(), 0))
            ends.append(torch.where(within, step.end.double(), 0))
        if not rewards:
            return torch.zeros(len(line), dtype=torch.float64, device=line.device)
        return returns(torch.stack(rewards, 1), torch.stack(ends, 1), self.discount)


def _at(line: Int[Tensor, "b t"], place: Int[Tensor, "b"]) -> Int[Tensor, "b"]:
    """Return one action of each line; the last one for places after it."""
    return line.gather(1, place.clamp(max=line.shape[1] - 1)[:, None])[:, 0]
