"""Planning over vectors of actions by drawing lines around a mean: the cross-entropy method, and MPPI."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from seqvae.config import register
from seqvae.errors import UserError
from seqvae.planning.planner import Generators, Plan, Planner, draw, limits, line_returns
from seqvae.planning.world import World, device_of
from seqvae.types import ActionSpace


class _AroundMean(Planner):
    """Lines x ~ N(mean, std^2) within the limits, from which mean and std are improved, several times.

    The mean begins in the middle of the limits, or with the line before, one step later; the plan is the mean
    in the end. The simulations are shared by the iterations.

    iterations: improvements of the mean for each move
    std: at the beginning, in units of half the distance between the limits
    block: steps for which an action is held

    Raises:
        UserError: an option is out of its range.
    """

    def __init__(
        self,
        simulations: int,
        depth: int,
        discount: float = 1.0,
        iterations: int = 4,
        std: float = 0.5,
        block: int = 1,
    ):
        super().__init__(simulations, depth, discount)
        self.iterations, self.std, self.block = iterations, std, block
        for name, value in (("iterations", iterations), ("block", block)):
            if value < 1:
                raise UserError(f"planner.{name}={value}: expected a whole number from 1")
        if not std > 0:
            raise UserError(f"planner.std={std}: expected a number above 0")
        if simulations < 2 * iterations:
            raise UserError(
                f"simulations={simulations}: planner.iterations={iterations} need at least {2 * iterations}"
            )

    def require_actions(self, actions: ActionSpace) -> None:
        limits(actions)

    def __call__(self, world: World, state: Any, rng: Generators, previous: Plan | None = None) -> Plan:
        low, high = (torch.as_tensor(x).to(device_of(state), torch.float32) for x in limits(world.actions))
        half = (high - low) / 2
        blocks, each = -(-self.depth // self.block), self.simulations // self.iterations
        mean = (low + half).expand(len(rng), blocks, -1)  # b t a
        if previous is not None:
            later = torch.cat([previous.actions[:, 1:], previous.actions[:, -1:]], 1)
            mean = later[:, :: self.block]
        std = (self.std * half).expand_as(mean)
        noise = draw(rng, "normal", (self.iterations, each, *mean.shape[1:]), state)
        for i in range(self.iterations):
            x = (mean[:, None] + std[:, None] * noise[:, i]).clamp(low, high)  # b n t a
            value = line_returns(world, state, self._held(x), self.discount)
            mean, std = self.improved(x, value, mean, std)
        line = self._held(mean[:, None])
        return Plan(line[:, 0], line_returns(world, state, line, self.discount)[:, 0])

    @abstractmethod
    def improved(
        self,
        x: Float[Tensor, "b n t a"],
        value: Float[Tensor, "b n"],
        mean: Float[Tensor, "b t a"],
        std: Float[Tensor, "b t a"],
    ) -> tuple[Float[Tensor, "b t a"], Float[Tensor, "b t a"]]:
        """Return the next mean and std from lines and what they bring."""
        raise NotImplementedError

    def _held(self, x: Float[Tensor, "b n t a"]) -> Float[Tensor, "b n depth a"]:
        """Return a line of `depth` actions, each of x held for a block."""
        return repeat(x, "b n t a -> b n (t held) a", held=self.block)[:, :, : self.depth]


@register(Planner)
class CEM(_AroundMean):
    """The cross-entropy method: mean and std are those of the best lines.

    Rubinstein 1999; for planning in learned models Chua et al. 2018 (PETS, arXiv 1805.12114).

    elites: share of the lines that count as the best
    momentum: weight of the former mean and std
    """

    def __init__(
        self,
        simulations: int,
        depth: int,
        discount: float = 1.0,
        iterations: int = 4,
        std: float = 0.5,
        block: int = 1,
        elites: float = 0.1,
        momentum: float = 0.0,
    ):
        super().__init__(simulations, depth, discount, iterations, std, block)
        if not 0 < elites <= 1:
            raise UserError(f"planner.elites={elites}: expected a share above 0, at most 1")
        if not 0 <= momentum < 1:
            raise UserError(f"planner.momentum={momentum}: expected a number from 0, below 1")
        self.momentum = momentum
        self.elites = max(2, round(elites * (simulations // iterations)))

    def improved(
        self,
        x: Float[Tensor, "b n t a"],
        value: Float[Tensor, "b n"],
        mean: Float[Tensor, "b t a"],
        std: Float[Tensor, "b t a"],
    ) -> tuple[Float[Tensor, "b t a"], Float[Tensor, "b t a"]]:
        best = value.topk(self.elites, 1).indices  # b e
        x = x.take_along_dim(best[:, :, None, None], 1)
        return torch.lerp(x.mean(1), mean, self.momentum), torch.lerp(x.std(1), std, self.momentum)


@register(Planner)
class MPPI(_AroundMean):
    """Model predictive path integral control: mean = sum_n w_n x_n, w = softmax(value / temperature).

    Williams et al. 2017, "Information theoretic MPC for model-based reinforcement learning".

    temperature: in the units of a return; near 0 the best line alone counts
    decay: factor on the std after each improvement
    """

    def __init__(
        self,
        simulations: int,
        depth: int,
        discount: float = 1.0,
        iterations: int = 4,
        std: float = 0.5,
        block: int = 1,
        temperature: float = 0.1,
        decay: float = 1.0,
    ):
        super().__init__(simulations, depth, discount, iterations, std, block)
        if not temperature > 0:
            raise UserError(f"planner.temperature={temperature}: expected a number above 0")
        if not 0 < decay <= 1:
            raise UserError(f"planner.decay={decay}: expected a number above 0, at most 1")
        self.temperature, self.decay = temperature, decay

    def improved(
        self,
        x: Float[Tensor, "b n t a"],
        value: Float[Tensor, "b n"],
        mean: Float[Tensor, "b t a"],
        std: Float[Tensor, "b t a"],
    ) -> tuple[Float[Tensor, "b t a"], Float[Tensor, "b t a"]]:
        weight = (value / self.temperature).softmax(1).to(x.dtype)
        return torch.einsum("bn,bnta->bta", weight, x), self.decay * std
