"""Pictures of latent states: their sizes, and what has to be equal in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange

from seqvae.build import DataSpec, build
from seqvae.data.conversion import to_frames, to_video
from seqvae.video import latent_sheets, latents
from tests.models import config, make, video

EVERY_KIND = ["vae_iaf", "vrnn", "spatial_vae", "stove"]


def images(n: int = 4) -> np.ndarray:
    return to_frames(video(batch=n, frames=1, channels=3)).numpy()[:, 0]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_pictures_have_the_asked_number_of_rows_and_columns(name):
    model, data = make(name, channels=3), images()
    assert latents.prior_samples(model, 3, 5).shape[:4] == (3, 5, 32, 32)
    assert latents.reconstructions(model, data).shape == (2, 4, 32, 32, 3)
    assert latents.interpolations(model, data, 6).shape[:4] == (3, 6, 32, 32)
    rows, names = latents.traversals(model, data, 2, 7)
    assert rows.shape[:4] == (2, 7, 32, 32) and len(set(names)) == 2
    assert rows.dtype == np.uint8


def test_an_interpolation_leads_from_one_reconstruction_to_the_next():
    model, data = make("vrnn", channels=3), images()
    made, path = latents.reconstructions(model, data)[1], latents.interpolations(model, data, 3)
    assert np.array_equal(path[:, 0], made[:-1]) and np.array_equal(path[:, -1], made[1:])
    between = path[:, 1].astype(int)
    assert (between != path[:, 0]).any() and (between != path[:, -1]).any()


def test_in_an_interpolation_a_slot_goes_to_the_nearest_whatever_the_order(monkeypatch):
    model, data = make("spatial_vae", channels=3), images(2)
    trace = model.filter(to_video(torch.as_tensor(data[:1, None])), sample=False)
    both = replace(trace, z=torch.cat([trace.z, trace.z[:, :, [2, 0, 1]]]))  # one picture, in two orders
    monkeypatch.setattr(latents, "_filter", lambda *_: both)
    path = latents.interpolations(model, data, 5)
    assert np.abs(path.astype(int) - path[:, :1]).max() <= 1  # up to rounding


def test_pictures_of_a_model_of_single_frames_with_objects():
    chosen = config("spatial_vae") | {"dynamics": {"_target_": "seqvae.dynamics.independent.StandardNormal"}}
    chosen["frame"] = chosen["frame"] | {"velocity": False}
    model, data = build(chosen, DataSpec(32, 32, 3, objects=3)), images()
    assert latents.prior_samples(model, 2, 3).shape == (2, 3, 32, 32, 3)
    assert latents.interpolations(model, data, 4).shape == (3, 4, 32, 32, 3)
    _, names = latents.traversals(model, data, 3, 4)
    assert len(set(names)) == 3 and "velocity" not in " ".join(names)


def test_a_traversal_changes_one_number_and_names_it():
    model, data = make("vae", channels=3), images()
    rows, (name,) = latents.traversals(model, data, 1, 5)
    trace = model.filter(to_video(torch.as_tensor(data[:, None])), sample=False)
    spread = trace.z[:, 0, 0].std(0, correction=0)
    number = spread.argmax().item()
    assert name == f"code {number}"
    middle = trace.z[:1].clone()
    middle[..., number] = trace.z[:, 0, 0, number].mean()
    expected = to_frames(model.frame.decode(middle).frames).numpy()[0, 0]
    assert np.array_equal(rows[0, 2], expected)
    assert len(np.unique(rearrange(rows[0], "t h w c -> t (h w c)"), axis=0)) == 5


def test_samples_of_the_prior_follow_an_action_where_the_model_wants_one():
    model = build(config("gru_ssm"), DataSpec(32, 32, 3, actions=9))
    assert latents.prior_samples(model, 2, 3).shape == (2, 3, 32, 32, 3)
    clip = video(frames=4, channels=3)
    actions = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]])
    torch.manual_seed(0)
    carry = model.filter(clip, actions).carry
    one, other = (model.imagine(carry, 2, torch.full((2, 2), a)).z for a in (1, 2))
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("name", "columns"), [("monet", 2 + 3 * 4), ("spatial_vae", 2 + 2 * 3)])
def test_the_parts_of_slots_make_up_the_picture(name, columns):
    model, data = make(name, channels=3), images()
    rows, names = latents.slots(model, data)
    assert len(names) == columns and names[-1] == "part\nobject 3"
    assert ("mask\nbackground" in names) == (name == "monet")
    assert rows.shape == (4, columns, 32, 32, 3) and np.array_equal(rows[:, 0], data)
    made, k = rows[:, 1].astype(int), model.frame.slots
    masks, parts = rows[:, -2 * k : -k].astype(int), rows[:, -k:].astype(int)
    assert np.array_equal(made, latents.reconstructions(model, data)[1])
    if name == "monet":  # a pixel is shared out in full; rounding adds up to half a step per slot
        assert np.abs(masks.sum(1) - 255).max() <= k / 2 and np.abs(parts.sum(1) - made).max() <= k / 2 + 1
        assert np.abs(rows[:, 2 : 2 + k].astype(int).sum(1) - 255).max() <= k / 2


def test_a_model_without_masks_has_no_parts_of_slots():
    assert latents.slots(make("vae", channels=3), images()) is None


def test_every_sheet_has_a_label_per_row_and_column():
    sheets = latent_sheets(make("monet", channels=3), images(), rows=2, columns=3)
    assert set(sheets) == {"samples", "reconstructions", "interpolations", "traversals", "slots"}
    for sheet in sheets.values():
        assert (len(sheet.rows), len(sheet.columns)) == sheet.pictures.shape[:2]
        assert sheet.draw().dtype == np.uint8
    assert set(latent_sheets(make("stove"), None, 2, 3)) == {"samples"}
