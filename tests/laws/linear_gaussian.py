"""A linear-Gaussian sequence model, with likelihood and exact posterior in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from torch import Tensor

from seqvae.distributions import Normal
from seqvae.layout import Field, StateLayout
from seqvae.sequence import SequenceModel
from seqvae.types import DataSpec, Dynamics, Encoding, FrameModel, Posterior, Scene, Transition
from tests.laws.common import F64


@dataclass(frozen=True)
class System:
    """z_1 ~ N(0, diag first^2), z_t ~ N(A z_t-1, diag std^2), x_t ~ N(C z_t, diag noise^2)."""

    first: Tensor
    A: Tensor
    std: Tensor
    C: Tensor
    noise: Tensor

    def log_likelihood(
        self, x: Tensor, observed: Tensor | None = None, start: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Return log p(x_1:T) of x "t p" by the Kalman filter.

        observed: "t", the frames that count; None for all
        start: mean and covariance of the state before the first frame, instead of the prior of z_1
        """
        mean, cov, total = torch.zeros_like(self.first), self.first.square().diag(), 0.0
        if start is not None:
            mean, cov = self._predicted(*start)
        for t, x_t in enumerate(x):
            frame = torch.distributions.MultivariateNormal(
                self.C @ mean, self.C @ cov @ self.C.T + self.noise.square().diag()
            )
            if observed is None or observed[t]:
                total = total + frame.log_prob(x_t)
                gain = cov @ self.C.T @ frame.precision_matrix
                mean, cov = mean + gain @ (x_t - frame.mean), cov - gain @ self.C @ cov
            mean, cov = self._predicted(mean, cov)
        return total

    def _predicted(self, mean: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
        return self.A @ mean, self.A @ cov @ self.A.T + self.std.square().diag()

    def sample(self, length: int) -> Tensor:
        """Draw a video "t p"."""
        z, frames = self.first * torch.randn_like(self.first), []
        for _ in range(length):
            frames.append(self.C @ z + self.noise * torch.randn_like(self.noise))
            z = self.A @ z + self.std * torch.randn_like(self.std)
        return torch.stack(frames)


def system() -> System:
    """Return a damped rotation in the plane, observed through three noisy pixels."""
    return System(
        first=torch.tensor([1.0, 0.7], dtype=F64),
        A=torch.tensor([[0.9, -0.4], [0.3, 0.8]], dtype=F64),
        std=torch.tensor([0.5, 0.3], dtype=F64),
        C=torch.tensor([[1.0, 0.2], [-0.5, 1.0], [0.3, 0.3]], dtype=F64),
        noise=torch.tensor([0.6, 0.9, 0.4], dtype=F64),
    )


class LinearFrame(FrameModel):
    """p(x_t | z_t) = N(C z_t, diag noise^2), and the information about z_t in x_t, or in all of x_t:T.

    smoothing: if True, the encoding of frame t holds log p(x_t:T | z_t), a quadratic in z_t, computed
        backwards over the video; p(z_t | z_t-1) exp(encoding) is then the exact posterior. If False, it holds
        log p(x_t | z_t), and the same product is the best posterior that sees no future
    observed: "t", the frames that carry information; None for all
    """

    def __init__(self, system: System, smoothing: bool, observed: Tensor | None = None):
        super().__init__()
        self.slots, self.system, self.smoothing, self.observed = 1, system, smoothing, observed
        self.layout = StateLayout((Field("state", 2, "product"),))

    def encode(self, video: Tensor) -> Encoding:
        s, x = self.system, rearrange(video, "b t 1 1 p -> t b p")
        weighted = s.C.T / s.noise.square()
        quadratic, linear = weighted @ s.C, einsum(weighted, x, "d p, t b p -> t b d")
        share = torch.ones(len(x), dtype=F64) if self.observed is None else self.observed.to(F64)
        info = [quadratic.expand(x.shape[1], -1, -1) * share_t for share_t in share]
        vector = list(linear * share[:, None, None])
        if self.smoothing:
            precision = s.std.square().reciprocal().diag()
            for t in reversed(range(len(x) - 1)):
                # integrate z_t+1 out of N(z_t+1; A z_t, std^2) exp(-z' info z / 2 + vector' z)
                gain = s.A.T @ precision @ torch.linalg.inv(precision + info[t + 1])
                info[t] = info[t] + s.A.T @ precision @ s.A - gain @ precision @ s.A
                vector[t] = vector[t] + einsum(gain, vector[t + 1], "b d e, b e -> b d")
        nothing = torch.zeros_like(rearrange(linear, "t b d -> b t 1 d"))
        features = {"info": torch.stack(info, 1)[:, :, None], "vector": torch.stack(vector, 1)[:, :, None]}
        return Encoding(nothing, nothing, features)

    def terms(self, video, z, encoding, context) -> dict[str, Tensor]:
        mean = einsum(self.system.C, z, "p d, b t k d -> b t k p")
        frame = Normal(mean, self.system.noise.expand_as(mean))
        return {"log_likelihood": frame.log_prob(rearrange(video, "b t 1 1 p -> b t 1 p"))}

    def decode(self, z, context=None) -> Scene:
        return Scene(einsum(self.system.C, z, "p d, b t k d -> b t k p")[:, :, None])


class LinearMotion(Dynamics):
    """p(z_t | z_t-1) = N(A z_t-1, diag std^2)."""

    def __init__(self, system: System, layout: StateLayout):
        super().__init__()
        self.system, self.layout = system, layout

    def init(self, batch, like):
        first = torch.zeros(batch, 1, 2, dtype=F64)
        return Normal(first, self.system.first.expand_as(first))

    def predict(self, carry, prev_action):
        return Transition(carry, carry)

    def update(self, carry, z, encoding):
        return Normal(einsum(self.system.A, z, "e d, b k d -> b k e"), self.system.std.expand_as(z))


@dataclass(frozen=True)
class Correlated:
    """N(mean, cholesky cholesky') over the numbers of one slot."""

    mean: Tensor
    cholesky: Tensor

    def _normal(self):
        return torch.distributions.MultivariateNormal(self.mean, scale_tril=self.cholesky)

    def rsample(self):
        return self._normal().rsample()

    def log_prob(self, z):
        return self._normal().log_prob(z).sum(-1)

    def point(self):
        return self.mean


class Product(Posterior):
    """q(z_t | ...) proportional to p(z_t | z_t-1) exp(encoding), the encoding a full quadratic."""

    def __call__(self, encoding, transition, carry):
        prior = transition.proposal
        weight = prior.std.square().reciprocal()
        cov = torch.linalg.inv(torch.diag_embed(weight) + encoding.features["info"])
        mean = einsum(cov, weight * prior.mean + encoding.features["vector"], "b k d e, b k e -> b k d")
        return Correlated(mean, torch.linalg.cholesky(cov)), encoding, carry


def linear_gaussian(system: System, smoothing: bool, observed: Tensor | None = None) -> SequenceModel:
    frame = LinearFrame(system, smoothing, observed)
    return SequenceModel(frame, Product(), LinearMotion(system, frame.layout), DataSpec(1, 3, 1))
