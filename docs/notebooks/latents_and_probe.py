# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Latents in pandas, and a linear probe
#
# What do the slots of a trained model know? We put the latent states into a table, and
# fit a linear map from them to the true positions and velocities. A linear probe is as
# good as the information that lies open in its inputs, so it is compared with probes
# on less: nothing, and pixels.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import seqvae
from data_gen.generate import generate, read_settings
from seqvae import metrics

torch.set_num_threads(1)

sizes = ["train=0", "val=0", "test=120", "length=40", "workers=1"]
generate(read_settings([*sizes, "seed=7", "out=data/notebook_probe"]))
data = seqvae.read("data/notebook_probe/test.h5")
model = seqvae.load("stove_billiards")

# %% [markdown]
# ## A table of latents
#
# One row per sequence, frame and slot, one column per number of the state. Slots are
# put into the order of the true objects, which only the comparison with the truth
# needs.

# %%
found = seqvae.latents(model, data)
order = metrics.match_slots(found.numpy()["position"][:, 2:8], data.positions[:, 2:8])
latents = replace(found, z=metrics.reorder(found.z, order)).frame()
rows, (n, t, k, d) = latents.index, found.z.shape
latents.iloc[:6, :8].round(3)

# %%
states = np.concatenate([data.positions, data.velocities], -1).reshape(-1, 4)
true = pd.DataFrame(states, rows, ["x", "y", "vx", "vy"])
both = latents.join(true)[["position_x", "x", "velocity_x", "vx"]]
both.groupby("slot").agg(["mean", "std"]).round(3)

# %% [markdown]
# ## The probe
#
# Ridge regression. The first eight frames are left out, since the filter
# is still finding velocities there. The last 40 sequences are for testing; frames of
# one sequence never stand on both sides.


# %%
TRAIN, RIDGE = 80, 1e-3
sequence, frame = (rows.get_level_values(name) for name in ("sequence", "frame"))
train, test = (sequence < TRAIN) & (frame >= 8), (sequence >= TRAIN) & (frame >= 8)


def probe(inputs: pd.DataFrame, target: pd.DataFrame) -> np.ndarray:
    """Fit a ridge regression on the training sequences; predict the test sequences."""
    x, y = inputs.to_numpy(), target.to_numpy()
    x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-6)
    a, centre = x[train], y[train].mean(0)
    penalty = RIDGE * len(a) * np.eye(a.shape[1])
    return centre + x[test] @ np.linalg.solve(
        a.T @ a + penalty, a.T @ (y[train] - centre)
    )


def r2(inputs: pd.DataFrame, target: pd.DataFrame) -> float:
    """Return the share of the variance on the test sequences that a probe explains."""
    y, mean = target.to_numpy()[test], target.to_numpy()[train].mean(0)
    error = np.square(probe(inputs, target) - y).sum()
    return 1 - error / np.square(mean - y).sum()


# %% [markdown]
# The probe on pixels gets this frame and the one before it, in grey as the model sees
# them, and averaged over 2x2 pixels. It is told the number of the object, for
# otherwise it could not know which ball is meant.

# %%
grey = metrics.to_grey(data.frames / 255.0)[..., 0]
coarse = grey.reshape(n, t, 16, 2, 16, 2).mean((3, 5)).reshape(n, t, -1)
before = np.concatenate([coarse[:, :1], coarse[:, :-1]], 1)
pixels = np.concatenate([coarse, before], -1)[:, :, None].repeat(k, axis=2)
number = np.broadcast_to(np.eye(k), (n, t, k, k))
pixels = np.concatenate([pixels, number], -1).reshape(n * t * k, -1)
inputs = {
    "pixels of two frames": pd.DataFrame(pixels, rows),
    "position": latents.filter(like="position"),
    "position, velocity": latents.filter(regex="position|velocity"),
    "latent": latents.filter(like="latent"),
    "all numbers of the slot": latents,
}
targets = {"position": true[["x", "y"]], "velocity": true[["vx", "vy"]]}
scores = pd.DataFrame(
    {
        target: {name: r2(x, y) for name, x in inputs.items()}
        for target, y in targets.items()
    }
)
scores.round(3)

# %%
fig, (bars, scatter) = plt.subplots(
    1, 2, figsize=(11, 3.6), layout="constrained", width_ratios=[3, 2]
)
scores.clip(lower=0).iloc[::-1].plot.barh(ax=bars, color=["C0", "C3"], width=0.7)
bars.set(
    xlim=(0, 1.02), xlabel="R² on unseen sequences (0: the mean of the training set)"
)
bars.legend(frameon=False, loc="upper right")
for name, colour in (("position, velocity", "0.6"), ("all numbers of the slot", "C3")):
    predicted = probe(inputs[name], targets["velocity"])[:, 0]
    style = {"color": colour, "markersize": 2, "alpha": 0.4, "label": name}
    scatter.plot(true["vx"][test], predicted, ".", **style)
scatter.axline((0, 0), slope=1, color="k", linewidth=0.8)
scatter.set(xlabel="true velocity in x, half-widths per frame", ylabel="predicted")
scatter.set_aspect("equal")
scatter.legend(frameon=False, markerscale=6)
plt.show()

# %% [markdown]
# - The position field is the position. Nobody told the model: it was trained on pixels
#   alone.
# - The velocity field explains most of the velocity. The rest is in the latents: with
#   all numbers of the slot the probe is better, so the model keeps there what a
#   difference of two positions does not show, such as a bounce since the last frame.
#   [Change a slot and look](change_a_slot.md) shows the same by an intervention.
# - Pixels do not tell which ball is which, and a linear map cannot find out. Slots do.
