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
# What do the slots of a trained model know? We put the latent states into a table, and fit a linear map
# from them to the true positions and velocities. A linear probe is as good as the information that lies open in
# its inputs, so it is compared with probes on less: nothing, and pixels.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import seqvae
from data_gen.generate import generate, read_settings
from seqvae import metrics

torch.set_num_threads(1)

generate(
    read_settings(["train=0", "val=0", "test=120", "length=40", "seed=7", "workers=1", "out=data/notebook_probe"])
)
data = seqvae.read("data/notebook_probe/test.h5")
model = seqvae.load("pretrained/stove_billiards")

# %% [markdown]
# ## A table of latents
#
# One row per sequence, frame and slot, one column per number of the state. Slots are put into the order of the true
# objects, which only the comparison with the truth needs.

# %%
with torch.no_grad():
    trace = model.filter(data.video())
order = metrics.match_slots(model.positions(trace.z).numpy()[:, 2:8], data.positions[:, 2:8])
z = metrics.reorder(trace.z.numpy(), order)  # n t k d

n, t, k, d = z.shape
rows = pd.MultiIndex.from_product([range(n), range(1, t + 1), range(k)], names=["sequence", "frame", "object"])
columns = [f"{field.name}_{i}" for field in model.layout.fields for i in range(field.size)]
latents = pd.DataFrame(z.reshape(-1, d), rows, columns)
latents.iloc[:6, :8].round(3)

# %%
true = pd.DataFrame(
    np.concatenate([data.positions, data.velocities], -1).reshape(-1, 4), rows, ["x", "y", "vx", "vy"]
)
latents.join(true)[["position_0", "x", "velocity_0", "vx"]].groupby("object").agg(["mean", "std"]).round(3)

# %% [markdown]
# ## The probe
#
# Ridge regression in five lines. The first eight frames are left out, since the filter is still finding velocities
# there. The last 40 sequences are for testing; frames of one sequence never stand on both sides.


# %%
def r2(inputs: pd.DataFrame, target: pd.DataFrame, ridge: float = 1e-3) -> tuple[float, np.ndarray]:
    """Return R^2 on the test sequences, and the predictions for them."""
    sequence, frame = (inputs.index.get_level_values(name) for name in ("sequence", "frame"))
    train, test = (sequence < 80) & (frame > 8), (sequence >= 80) & (frame > 8)
    x, y = inputs.to_numpy(), target.to_numpy()
    mean, scale, centre = x[train].mean(0), x[train].std(0) + 1e-6, y[train].mean(0)
    x = (x - mean) / scale
    weights = np.linalg.solve(
        x[train].T @ x[train] + ridge * train.sum() * np.eye(x.shape[1]), x[train].T @ (y[train] - centre)
    )
    predicted = centre + x[test] @ weights
    return 1 - np.square(predicted - y[test]).sum() / np.square(centre - y[test]).sum(), predicted


# %% [markdown]
# The probe on pixels gets this frame and the one before it, in grey as the model sees them, and averaged over 2x2
# pixels. It is told the number of the object, for otherwise it could not know which ball is meant.

# %%
grey = metrics.to_grey(data.frames / 255.0)[..., 0]
coarse = grey.reshape(n, t, 16, 2, 16, 2).mean((3, 5)).reshape(n, t, -1)
pixels = np.concatenate([coarse, np.concatenate([coarse[:, :1], coarse[:, :-1]], 1)], -1)
pixels = np.broadcast_to(pixels[:, :, None], (n, t, k, pixels.shape[-1]))
number = np.broadcast_to(np.eye(k), (n, t, k, k))
inputs = {
    "pixels of two frames": pd.DataFrame(np.concatenate([pixels, number], -1).reshape(n * t * k, -1), rows),
    "position": latents.filter(like="position"),
    "position, velocity": latents.filter(regex="position|velocity"),
    "latent": latents.filter(like="latent"),
    "all numbers of the slot": latents,
}
targets = {"position": true[["x", "y"]], "velocity": true[["vx", "vy"]]}
scores = pd.DataFrame(
    {target: {name: r2(x, y)[0] for name, x in inputs.items()} for target, y in targets.items()}
)
scores.round(3)

# %%
fig, (bars, scatter) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained", width_ratios=[3, 2])
scores.clip(lower=0).iloc[::-1].plot.barh(ax=bars, color=["C0", "C3"], width=0.7)
bars.set(xlim=(0, 1.02), xlabel="R² on unseen sequences (0: the mean of the training set)")
bars.legend(frameon=False, loc="upper right")
in_test = (true.index.get_level_values("sequence") >= 80) & (true.index.get_level_values("frame") > 8)
for name, colour in (("position, velocity", "0.6"), ("all numbers of the slot", "C3")):
    predicted = r2(inputs[name], targets["velocity"])[1]
    scatter.plot(true["vx"][in_test], predicted[:, 0], ".", color=colour, markersize=2, alpha=0.4, label=name)
scatter.axline((0, 0), slope=1, color="k", linewidth=0.8)
scatter.set(xlabel="true velocity in x, half-widths per frame", ylabel="predicted", aspect="equal")
scatter.legend(frameon=False, markerscale=6)
plt.show()

# %% [markdown]
# - The position field is the position. Nobody told the model: it was trained on pixels alone.
# - The velocity field explains most of the velocity. The rest is in the latents: with all numbers of the slot
#   the probe is better, so the model keeps there what a difference of two positions does not show, such as a bounce
#   since the last frame. [Change a slot and look](change_a_slot.md) shows the same by an intervention.
# - Pixels do not tell which ball is which, and a linear map cannot find out. Slots do.
