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
# # Filter and imagine
#
# A pretrained STOVE watches eight frames of billiards, finds the three balls without
# labels, and imagines the 92 frames after them. We compare its future with the true
# one, and with what simple baselines make of it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange

import seqvae
from data_gen.generate import generate, read_settings
from seqvae import metrics

torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# ## Data
#
# The first 64 sequences of the test set, which the model has not seen. On the command
# line this is `python -m data_gen train=0 val=0 test=64 out=data/notebook`.

# %%
sizes = ["train=0", "val=0", "test=64", "workers=1"]
generate(read_settings([*sizes, "out=data/notebook"]))
data = seqvae.read("data/notebook/test.h5")
video = data.video()
video.shape, video.dtype

# %% [markdown]
# ## Filter, then imagine
#
# `filter` infers the states of the frames that it is given, one after the other, and
# `imagine` goes on from where the filter stopped, from its carry. Both return a
# `Trace`, in which `z` has one vector of `d` numbers for each of the `k` slots. The
# layout names these numbers.

# %%
CONTEXT, HORIZON = 8, 92
model = seqvae.load("stove_billiards")

with torch.no_grad():
    past = model.filter(video[:, :CONTEXT])
    future = model.imagine(past.carry, HORIZON)
    frames = model.decode(past.then(future)).frames

print("past.z:  ", tuple(past.z.shape))
print("future.z:", tuple(future.z.shape))
for field in model.layout.fields:
    print(f"{field.name:9} {field.size:2} numbers, from the {field.use}")

# %% [markdown]
# Truth above, the model in the middle, and their difference below. Frame 8 is the last
# one that the model saw. STOVE sees the frames in grey, as the sum of their channels,
# so it draws white balls and is compared with grey frames.

# %%
shown = [1, 4, 8, 9, 13, 18, 28, 38, 58]  # frames, counted from 1
n = 3
grey = video[n].sum(1, keepdim=True).clamp(max=1)
rows = [video[n], frames[n], (grey - frames[n]).abs()]
fig, axes = plt.subplots(3, len(shown), figsize=(11, 3.9), layout="constrained")
for row, pictures in zip(axes, rows, strict=True):
    for ax, t in zip(row, shown, strict=True):
        ax.imshow(rearrange(pictures[t - 1], "c h w -> h w c").clamp(0, 1).numpy())
        ax.set(xticks=[], yticks=[])
for ax, t in zip(axes[0], shown, strict=True):
    ax.set_title(
        f"{t}" if t <= CONTEXT else f"{t}: +{t - CONTEXT}",
        color="C0" if t <= CONTEXT else "C3",
    )
for ax, name in zip(axes[:, 0], ("truth", "model", "difference"), strict=True):
    ax.set_ylabel(name)
plt.show()

# %% [markdown]
# ## Paths
#
# Slots have no fixed order, so they are matched to the balls once, over frames 3 to 8.
# Dots are true centres, lines are the model's: grey where it saw the frames, coloured
# where it imagined them.

# %%
positions = model.positions(past.then(future).z).numpy()
order = metrics.match_slots(positions[:, 2:CONTEXT], data.positions[:, 2:CONTEXT])
positions = metrics.reorder(positions, order)

fig, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
for ax, n in zip(axes, (3, 0, 5, 10), strict=True):
    for k in range(3):
        true, own = (
            data.positions[n, : CONTEXT + 30, k],
            positions[n, : CONTEXT + 30, k],
        )
        ax.plot(*true.T, ".", color=f"C{k}", markersize=4, alpha=0.6)
        ax.plot(*own[:CONTEXT].T, color="0.5", linewidth=3)
        ax.plot(*own[CONTEXT - 1 :].T, color=f"C{k}", linewidth=1.2)
    ax.set(
        xlim=(-1, 1), ylim=(1, -1), aspect="equal", title=f"sequence {n}"
    )  # y points down
plt.show()

# %% [markdown]
# ## Error over the horizon
#
# The mean distance between a ball and its slot, in half-widths of the picture, with
# its standard error over sequences. The strongest simple baseline for this world are
# straight lines that bounce off the walls, here from the model's own last states.
# Billiards is chaotic: each collision multiplies small errors, so every curve ends
# near the error of another sequence.

# %%
velocities = metrics.reorder(model.velocities(past.z).numpy(), order)
last, speed = positions[:, CONTEXT - 1], velocities[:, -1]
true = data.positions[:, CONTEXT:]
paths = {
    "model": positions[:, CONTEXT:],
    "straight, bouncing off walls": metrics.bouncing(
        last, speed, HORIZON, data.walls[:, CONTEXT - 1]
    )[0],
    "staying": metrics.static(last, HORIZON),
    "another sequence": np.roll(true, 1, axis=0),
}

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
steps = np.arange(1, HORIZON + 1)
for name, path in paths.items():
    error = metrics.euclidean_error(path, true)  # n t
    mean, se = error.mean(0), error.std(0, ddof=1) / np.sqrt(len(error))
    ax.plot(steps, mean, label=name)
    ax.fill_between(steps, mean - se, mean + se, alpha=0.25)
    first = metrics.estimate(error[:, :10].mean(1))
    print(f"{name:30} predicted frames 1-10: {first.mean:.4f} ± {first.se:.4f}")
ax.set(
    xlabel="predicted frame", ylabel="error, half-widths", xlim=(1, 60), ylim=(0, None)
)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Several futures
#
# With `sample=True` the states are drawn. The carry is repeated for the draws by
# filtering the sequence as a batch of 50. All futures agree until the first collision
# that is hard to call, and part after it.

# %%
n, draws = 0, 50
with torch.no_grad():
    past = model.filter(
        video[n : n + 1, :CONTEXT].expand(draws, -1, -1, -1, -1), sample=True
    )
    futures = model.positions(model.imagine(past.carry, 60, sample=True).z).numpy()
futures = metrics.reorder(futures, np.repeat(order[n : n + 1], draws, axis=0))

fig, axes = plt.subplots(1, 2, figsize=(11, 2.8), layout="constrained", sharey=True)
for ax, axis, name in zip(axes, (0, 1), ("x", "y, downwards"), strict=True):
    for k in range(3):
        ax.plot(
            steps[:60],
            futures[:, :, k, axis].T,
            color=f"C{k}",
            alpha=0.12,
            linewidth=0.8,
        )
        ax.plot(
            steps[:60], true[n, :60, k, axis], color="k", linewidth=1, linestyle=":"
        )
    ax.set(xlabel="predicted frame", title=name, ylim=(-1, 1))
axes[0].set_ylabel("half-widths")
plt.show()

# %% [markdown]
# The same protocol with more baselines, intervals and long runs is `python -m seqvae
# evaluate`, and the videos are made by `python -m seqvae rollout` ([Five
# minutes](../start.md)).
