"""One update of a model's weights: objective, gradient, clipping, optimiser, average of weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.nn.layers import Spread
from seqvae.objectives import Objective
from seqvae.sequence import SequenceModel
from seqvae.share import sharing
from seqvae.train.graphs import Measure, compile_objective, is_one_graph
from seqvae.train.optim import Optim, WeightAverage
from seqvae.train.runtime import ONE, Ranks
from seqvae.train.stages import PARTS, SPREAD
from seqvae.types import Terms, Trace


@dataclass(frozen=True)
class Update:
    """The result of one gradient.

    numbers: scalars on the device, by their keys in the log
    terms, trace: terms of the objective, and the trace they come from
    """

    numbers: dict[str, Tensor]
    terms: Terms
    trace: Trace


class Learner:
    """A model with its objective and optimiser.

    optim: options of the optimiser
    precision: "float32", or "bf16" for matrix products in bfloat16
    ranks: processes that train together
    parts: parts of the model that are trained; a reward part that the model lacks is none
    compile: whether to compile the objective whole, where it can be
    """

    def __init__(
        self,
        model: SequenceModel,
        objective: Objective,
        optim: Optim,
        precision: str = "float32",
        ranks: Ranks = ONE,
        parts: tuple[str, ...] = PARTS,
        compile: bool = False,
    ):
        self.model, self.objective, self.optim, self.ranks = model, objective, optim, ranks
        objective.begin(model)
        whole = compile and is_one_graph(objective, ranks.size)
        self.measure: Measure | None = compile_objective(objective, model) if whole else None
        self.precision = precision
        self.parameters = _select_parameters(model, parts)
        self.optimiser = optim.optimiser(self.parameters)
        self.average = None if optim.ema is None else WeightAverage(model, optim.ema)

    def gradient(self, batch: Any, progress: float) -> Update:
        """Leave the clipped gradient of the mean loss in the parameters, without changing a weight.

        The loss is minus the objective in nats per frame, averaged over sequences, all frames and ranks.
        Terms, and `bound`, the sum of those without a weight, are means over the frames on which they are
        defined, so the loss is no weighted sum of them where these frames differ.
        """
        self.model.train()
        self.model.zero_grad()
        with self._precision(), sharing(self.ranks.rank, self.ranks.size):
            terms, trace = self._call_objective(batch, progress)
        loss = -terms.objective().float().mean()
        loss.backward()
        own = {"loss": loss}
        own |= {"bound": terms.bound_per_frame()} if terms.bounded else {}
        own |= {name: terms.per_frame(name) for name in terms.values}
        means = self.ranks.average(self.parameters, own)
        norm = self.optim.clip_gradient(self.parameters)
        numbers = {"loss": means["loss"], "gradient": norm} | means
        return Update({name: value.detach() for name, value in numbers.items()}, terms, trace)

    def _call_objective(self, batch: Any, progress: float) -> tuple[Terms, Trace]:
        if self.measure is None:
            return self.objective(self.model, batch, progress)
        terms, trace = self.measure(self.model, batch)
        return self.objective.scheduled(terms, progress), trace

    def _precision(self) -> AbstractContextManager[Any]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.parameters[0].device.type, torch.bfloat16)

    def apply(self, step: int, progress: float) -> None:
        """Take the optimiser's step number `step`, from 0, along the current gradient."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr(step, progress)
        self.optimiser.step()
        if self.average is not None:
            self.average.update(step)

    def lr(self, step: int, progress: float) -> float:
        """Return the learning rate of a step."""
        return self.optim.lr * self.optim.schedule(step, progress)

    def state(self) -> dict[str, Any]:
        """Return what the next update depends on, apart from the model's state dict."""
        weights = None if self.average is None else [p.detach() for p in self.model.parameters()]
        return {"optimiser": self.optimiser.state_dict(), "weights": weights}

    def average_in_place(self) -> AbstractContextManager[None]:
        """Give the model the averaged weights inside the context, where an average is kept."""
        return nullcontext() if self.average is None else self.average.in_place()

    def model_state(self) -> dict[str, Tensor]:
        """Return a copy of the state dict, with averaged weights where an average is kept."""
        with self.average_in_place():
            return {name: value.clone() for name, value in self.model.state_dict().items()}

    def restore(self, model: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Continue from the results of `model_state` and `state`.

        Raises:
            UserError: the state is that of another model or optimiser.
        """
        self.model.load_state_dict(model)
        if self.average is not None:
            _require_alike("weights", state["weights"], list(self.model.parameters()))
            self.average.values = [p.detach().clone() for p in self.model.parameters()]
            self.average.write(state["weights"])
        _load_optimiser(self.optimiser, state["optimiser"], self.parameters)


def _load_optimiser(
    optimiser: torch.optim.Optimizer, state: dict[str, Any], parameters: list[nn.Parameter]
) -> None:
    """Give an optimiser the moments in a state; its options stay those of the config.

    A fused step reads and writes moments without a look at their sizes.

    Raises:
        UserError: they do not fit the parameters.
    """
    moments = state.get("state") if isinstance(state, dict) else None
    own = optimiser.state_dict()
    amsgrad = own["param_groups"][0]["amsgrad"]
    names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if amsgrad else [])]
    if not isinstance(moments, dict) or not moments.keys() <= set(range(len(parameters))):
        raise UserError("training.learner.optimiser is damaged, or of another model; copy the file again")
    copied: dict[int, dict[str, Tensor]] = {}
    for number, values in moments.items():
        if not isinstance(values, dict) or values.keys() != {"step", *names}:
            raise UserError("training.learner.optimiser is of another optimiser; copy the file again")
        _require_alike("optimiser", [values[name] for name in names], [parameters[number]] * len(names))
        step = values["step"]
        if not isinstance(step, Tensor) or step.shape != () or not step.is_floating_point() or not step >= 0:
            raise UserError("training.learner.optimiser has no sound number of steps; copy the file again")
        like = parameters[number].detach()
        # in the memory layout of the weights, which a fused step takes for granted
        copied[number] = {name: torch.empty_like(like).copy_(values[name]) for name in names}
        copied[number]["step"] = step.clone()
    optimiser.load_state_dict(own | {"state": copied})


def _require_alike(name: str, values: Any, parameters: list[nn.Parameter]) -> None:
    """Raise UserError unless values are tensors of the shapes and types of the parameters."""
    is_list = isinstance(values, list) and len(values) == len(parameters)
    if not is_list or not all(
        isinstance(x, Tensor) and x.layout is torch.strided and x.shape == p.shape and x.dtype == p.dtype
        for x, p in zip(values, parameters, strict=True)
    ):
        raise UserError(f"training.learner.{name} does not fit the model's weights; copy the file again")


def _select_parameters(model: SequenceModel, parts: tuple[str, ...]) -> list[nn.Parameter]:
    """Return the parameters of the parts that require gradients; those of a Spread if `parts` names it.

    Raises:
        UserError: there are none.
    """
    spreads = [module for module in model.modules() if isinstance(module, Spread)]
    for spread in spreads:
        spread.requires_grad_(SPREAD in parts)
    modules = [m for part in parts if part != SPREAD and (m := getattr(model, part)) is not None]
    modules += spreads if SPREAD in parts else []
    trained = list(dict.fromkeys(p for module in modules for p in module.parameters() if p.requires_grad))
    if not trained:
        raise UserError(f"parts={list(parts)}: this model has nothing to train there; leave the stage out")
    return trained
