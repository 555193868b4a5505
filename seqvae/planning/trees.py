"""Search trees of many environments, in tensors with a fixed number of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seqvae.planning.world import WorldStep, batch_of, device_of
from seqvae.tree import join_records, map_record


@dataclass
class Trees:
    """The trees of b environments, with room for m nodes each, of which number 0 is the root.

    Values are float64 sums of rewards. They change in place; -1 stands for no node.

    states: record "(b m) ..."
    child: number of the node to which each action leads
    reward, end: of the step to a node
    visits: number of simulations through a node
    total: sum of their returns, from the step to the node on
    best: the largest of these returns
    count: number of nodes so far
    lines, line_value: the best simulation that begins with each action, and its return from the root
    """

    states: Any
    child: Int[Tensor, "b m a"]
    reward: Float[Tensor, "b m"]
    end: Float[Tensor, "b m"]
    visits: Int[Tensor, "b m"]
    total: Float[Tensor, "b m"]
    best: Float[Tensor, "b m"]
    count: Int[Tensor, "b"]
    lines: Int[Tensor, "b a t"]
    line_value: Float[Tensor, "b a"]

    @classmethod
    def planted(cls, state: Any, room: int, actions: int, depth: int) -> Trees:
        """Return trees that have their roots alone."""
        b, device = batch_of(state), device_of(state)
        values = torch.zeros(b, room, dtype=torch.float64, device=device)
        numbers = torch.zeros(b, room, dtype=torch.int64, device=device)
        trees = cls(
            states=map_record(lambda x: x.new_zeros(b * room, *x.shape[1:]), state),
            child=numbers.new_full((b, room, actions), -1),
            reward=values,
            end=values.clone(),
            visits=numbers,
            total=values.clone(),
            best=torch.full_like(values, -torch.inf),
            count=numbers.new_ones(b),
            lines=numbers.new_zeros(b, actions, depth),
            line_value=values.new_full((b, actions), -torch.inf),
        )
        trees._keep(state, trees.rows * room)
        return trees

    @property
    def rows(self) -> Int[Tensor, "b"]:
        """The numbers of the environments."""
        return torch.arange(len(self.child), device=self.child.device)

    def states_at(self, node: Int[Tensor, "b"]) -> Any:
        """Return the state of one node of each tree."""
        place = self.rows * self.child.shape[1] + node
        return map_record(lambda x: x[place], self.states)

    def add(
        self, parent: Int[Tensor, "b"], action: Int[Tensor, "b"], step: WorldStep, new: Bool[Tensor, "b"]
    ) -> Int[Tensor, "b"]:
        """Add a node to the trees that `new` names; return its number, -1 in the others."""
        rows = self.rows[new]
        node = self.count[rows]
        self.child[rows, parent[new], action[new]] = node
        self.reward[rows, node] = step.reward[new].double()
        self.end[rows, node] = step.end[new].double()
        self._keep(map_record(lambda x: x[new], step.state), rows * self.child.shape[1] + node)
        self.count[rows] += 1
        return torch.where(new, self.count - 1, -1)

    def back_up(
        self,
        path: Int[Tensor, "b n"],
        value: Float[Tensor, "b"],
        line: Int[Tensor, "b t"],
        discount: float,
    ) -> None:
        """Count a simulation of each tree.

        path: its nodes, the root first, -1 after the last
        value: what followed after the last
        line: all of its actions
        """
        rows = self.rows
        for node in path.flip(1).unbind(1):
            passed = node >= 0
            if not passed.any():
                continue
            i = node.clamp(min=0)
            further = self.reward[rows, i] + discount * (1 - self.end[rows, i]) * value
            value = torch.where(passed & (i > 0), further, value)  # nothing leads to the root
            self.visits[rows, i] += passed
            self.total[rows, i] += torch.where(passed, value, 0)
            self.best[rows, i] = torch.where(passed, self.best[rows, i].maximum(value), self.best[rows, i])
        first = line[:, 0]
        better = value > self.line_value[rows, first]
        self.lines[rows, first] = torch.where(better[:, None], line, self.lines[rows, first])
        self.line_value[rows, first] = self.line_value[rows, first].maximum(value)

    def of_children(
        self, node: Int[Tensor, "b"]
    ) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b a"], Float[Tensor, "b a"]]:
        """Return visits, mean and best return of each action of a node; -inf for untried ones."""
        child = self.child[self.rows, node]
        tried, i = child >= 0, child.clamp(min=0)
        visits, total, best = (x.gather(1, i) for x in (self.visits, self.total, self.best))
        visits = visits.double().masked_fill(~tried, 0)
        mean = (total / visits).masked_fill(~tried, -torch.inf)
        return visits, mean, best.masked_fill(~tried, -torch.inf)

    def _keep(self, state: Any, place: Int[Tensor, "n"]) -> None:
        """Write states to places of the record of all nodes."""

        def write(pair: list[Tensor]) -> Tensor:
            kept, given = pair
            kept[place] = given
            return kept

        join_records(write, [self.states, state])
