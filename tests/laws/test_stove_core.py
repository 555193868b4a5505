"""The dynamics of STOVE against the authors' implementation: its numbers for weights given by a formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seqvae import checkpoint
from seqvae.build import DataSpec, build
from seqvae.checkpoint import Checkpoint
from seqvae.cli.train import load_init
from seqvae.distributions import Normal
from seqvae.dynamics.stove import FirstState, StoveDynamics
from seqvae.errors import UserError
from seqvae.interventions import move
from seqvae.layout import Field, StateLayout
from seqvae.types import LastState
from tests.laws.common import F64, MOVING
from tests.models import config, make, video

SLOTS, LATENT = 3, 12
COLOURED = {"colour": True, "held": ("colour",)}
LAYERS = [  # the index n in this list determines the weights of a layer
    "state",
    "own.hidden.0",
    "own.last",
    "relation.hidden.0",
    "relation.hidden.2",
    "relation.last",
    "attention.0",
    "attention.2",
    "attention.4",
    "affect.0",
    "affect.1",
    "affect.2",
    "out.hidden.0",
    "out.last",
    "action",
]
MAX_STD = [0.3] * 2 + [0.04] * 2 + [0.04] * LATENT


def wave(shape: tuple[int, ...], rate: float, phase: float) -> Tensor:
    return torch.sin(rate * torch.arange(torch.Size(shape).numel(), dtype=F64) + phase).reshape(shape)


def layout(colour: bool = False) -> StateLayout:
    return MOVING.extend(Field("colour", 3, "frame")) if colour else MOVING


def dynamics(colour: bool = False, **options) -> StoveDynamics:
    """Return the dynamics with weights by formula.

    Weight i of layer n is 1.5 / sqrt(inputs) sin(0.7 i + 1.3 n); for bias i the angle is larger by 0.5.
    """
    made = StoveDynamics(layout(colour), SLOTS, latent=LATENT, **options).double()
    with torch.no_grad():
        for n, name in enumerate(LAYERS):
            if name != "action" or made.action is not None:
                layer = made.get_submodule(name)
                for j, p in enumerate((layer.weight, layer.bias)):
                    p.copy_(1.5 / layer.in_features**0.5 * wave(p.shape, 0.7, 1.3 * n + 0.5 * j))
    return made


def state(of: StoveDynamics) -> Tensor:
    """Return z "1 k d" of one frame, by formula; the sizes do not matter."""
    moved, z = wave((1, SLOTS, 4 + LATENT), 1.1, 0.4), torch.full((1, SLOTS, of.layout.dim), 0.3, dtype=F64)
    z[..., of.layout["position"]] = 0.8 * moved[..., 0:2]
    z[..., of.layout["velocity"]] = 0.1 * moved[..., 2:4]
    z[..., of.layout["latent"]] = moved[..., 4:]
    if "colour" in of.layout:
        z[..., of.layout["colour"]] = 0.5 + 0.5 * wave((1, SLOTS, 3), 0.9, 0.2)
    return z


def moving(of: StoveDynamics, x: Tensor) -> Tensor:
    return torch.cat([x[..., of.layout[name]] for name in ("position", "velocity", "latent")], -1)


ALONE_MEAN = [
     1.179160071226,  0.422751404071, -0.203843228908, -0.011867594346, -0.820056233055,  0.763116686665,
    -0.672432716730,  0.921136079442, -0.485680218566,  0.458713245757, -0.433101766487, -0.767947409207,
     0.506266523621, -0.815081381979,  0.945759566117, -0.507421513661,  0.295657555340, -0.385321433739,
    -0.068111186325, -0.210575709207, -0.762067909440,  0.775707316500, -0.646529468706,  0.933521754269,
    -0.599351822866,  0.508548440028, -0.607021624908, -0.682669866219,  0.414423826969, -0.737391631130,
     0.951052801415, -0.582163278590,  0.210367974016, -1.346745468610,  0.010164536248, -0.291771089413,
    -0.717845793983,  0.785991164065, -0.632147515137,  0.935032948643, -0.644043806433,  0.510376228156,
    -0.661465481071, -0.628741418304,  0.374588301401, -0.683900305411,  0.950006876458, -0.604568841355,
]  # fmt: skip
ALONE_STD = [
    0.273510031267, 0.090731114593, 0.006992205726, 0.022027503432, 0.002024146523, 0.037676633350,
    0.008856618612, 0.038426884253, 0.016469203826, 0.018657282273, 0.015686143663, 0.002276505372,
    0.031728593899, 0.004836912921, 0.038746266622, 0.014067701624, 0.279868536235, 0.053579271210,
    0.009392319090, 0.018631653690, 0.002637568023, 0.038085614006, 0.008305563837, 0.038772611686,
    0.012210645564, 0.020538311019, 0.011956102649, 0.003052399073, 0.031593250637, 0.005677076053,
    0.038944208666, 0.011341079104, 0.280923006007, 0.042884986993, 0.010838079880, 0.017088679356,
    0.003211505272, 0.038086109334, 0.008200228128, 0.038840520731, 0.010246909575, 0.021882266811,
    0.010574442346, 0.003632350175, 0.031703444593, 0.005996665378, 0.038958600231, 0.010228410678,
]  # fmt: skip
ACTION_MEAN = [
     1.174518334014,  0.413027902438, -0.195206414269, -0.006818447690, -0.815371792701,  0.766042864937,
    -0.672896724208,  0.918544360431, -0.484687327374,  0.444375668371, -0.422470570627, -0.764626684066,
     0.507117554025, -0.809728337912,  0.943372870019, -0.502841117294,  0.294337378612, -0.490902658318,
     0.025946726915, -0.296711053300, -0.698200886224,  0.786429366913, -0.624225141643,  0.931498912560,
    -0.648572299438,  0.497361306779, -0.660038282837, -0.613679083367,  0.373160052888, -0.667817606738,
     0.946660538089, -0.598899884221,  0.205043867290, -1.388337631332,  0.053609898735, -0.326457016129,
    -0.676766383918,  0.787791664815, -0.615776427578,  0.931548474074, -0.663532850096,  0.499184171603,
    -0.678970620254, -0.590169939290,  0.357815365825, -0.644490586384,  0.945892069480, -0.605142237407,
]  # fmt: skip
ACTION_STD = [
    0.272651312292, 0.091597052742, 0.007107479706, 0.022035500232, 0.002096022190, 0.037585017998,
    0.008883113722, 0.038378360855, 0.016395962560, 0.018906005372, 0.015838736854, 0.002330597691,
    0.031762784897, 0.004770162397, 0.038695019750, 0.014090618884, 0.279765878543, 0.043138632818,
    0.011180676409, 0.016905639168, 0.003509205375, 0.037948001331, 0.008337161054, 0.038779612588,
    0.009944302925, 0.022302757946, 0.010545998941, 0.003874679462, 0.031700043684, 0.006046785121,
    0.038890065487, 0.010116207995, 0.279968040506, 0.039840832156, 0.011758356711, 0.016324629224,
    0.003807100961, 0.037931889328, 0.008353050440, 0.038794395522, 0.009293195511, 0.022765070755,
    0.010049345517, 0.004157066847, 0.031700761045, 0.006224042731, 0.038886939681, 0.009737955414,
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "action", "mean", "std"),
    [({}, None, ALONE_MEAN, ALONE_STD), (COLOURED | {"actions": 9}, 2, ACTION_MEAN, ACTION_STD)],
    ids=["alone", "with an action and colours"],
)
def test_the_network_gives_the_numbers_of_the_authors_implementation(options, action, mean, std):
    core = dynamics(**options)
    transition = core.predict(LastState(state(core), 0 * state(core)), action and torch.tensor([action]))
    expected = torch.tensor(mean, dtype=F64).reshape(1, SLOTS, -1)
    assert_close(moving(core, transition.prior.mean), expected, rtol=0, atol=1e-10)
    assert_close(moving(core, transition.proposal.mean), expected, rtol=0, atol=1e-10)
    expected = torch.tensor(std, dtype=F64).reshape(1, SLOTS, -1)
    share = moving(core, core.step(state(core), action and torch.tensor([action]))[1])
    assert_close(share * torch.tensor(MAX_STD, dtype=F64), expected, rtol=0, atol=1e-10)


def test_every_slot_receives_its_own_numbers_of_an_action():
    core = dynamics(actions=9)
    numbers = core._action_numbers(core.action, torch.tensor([4, 7]), state(core).expand(2, -1, -1))
    for b, action in enumerate((4, 7)):
        every = core.action.weight[:, action] + core.action.bias
        assert_close(numbers[b], torch.stack([every[0:4], every[4:8], every[8:12]]))
    with pytest.raises(UserError, match="has an action's numbers for 3 slots, and there are 2; drop none"):
        core.step(state(core)[:, :2], torch.tensor([1]))


def test_the_second_frame_is_predicted_as_the_first_is_around_its_place():
    core = dynamics(first_std={"position": 1.0, "velocity": 0.7, "latent": 0.01})
    z, carry = state(core), core.init(1, torch.zeros(1, dtype=F64))
    first = core.predict(carry)
    carry = core.update(carry, z, None)
    second = core.predict(carry)
    expected = z.clone()
    expected[..., core.layout["velocity"]] = expected[..., core.layout["latent"]] = 0
    for q in (second.prior, second.proposal):
        assert_close(q.mean, expected)
        assert_close(q.std, first.prior.std)
    carry = core.update(carry, z, None)
    assert type(carry) is LastState
    assert_close(moving(core, core.predict(carry).prior.mean).flatten(), torch.tensor(ALONE_MEAN, dtype=F64))


def test_frame_two_of_the_published_model_follows_its_encoding():
    model, clip = make("stove_paper", dtype=F64), video(frames=3, dtype=F64)
    trace = model.filter(clip, sample=False)
    for field in ("size", "position", "velocity"):
        where = model.layout[field]
        z, observed = trace.z[:, 1, :, where], trace.encoding.mean[:, 1, :, where]
        variance = 1 / trace.encoding.precision[:, 1, :, where]
        expected = torch.zeros_like(z) if field == "velocity" else trace.z[:, 0, :, where]
        share = 0 if field == "size" else variance / (1 + variance)  # of a proposal with std 1
        assert_close(z, observed + share * (expected - observed), rtol=1e-9, atol=1e-9)
    assert (trace.z[:, 1, :, model.layout["latent"]] == 0).all()


def test_a_changed_first_frame_is_still_a_first_frame():
    model = make("stove_paper")
    moved = move(model, model.filter(video(frames=1), sample=False), 0, (0.3, 0.0))
    z = model.imagine(moved.carry, 1).z[:, 0]
    position, velocity = model.layout["position"], model.layout["velocity"]
    assert torch.equal(z[..., position], moved.z[:, 0, :, position]) and (z[..., velocity] == 0).all()


def test_held_fields_keep_their_value_and_have_no_density():
    free, held = dynamics(), dynamics(held=("size",))
    z, like = state(free), torch.zeros_like(state(free))
    where, other = free.layout["size"], z + 0.01
    for carry in (LastState(None, like), FirstState(z, like), LastState(z, like)):
        a, b = free.predict(carry), held.predict(carry)
        assert_close(b.prior.point(), a.prior.mean)
        assert torch.equal(b.prior.rsample()[..., where], a.prior.mean[..., where])
        of_size = Normal(a.prior.mean[..., where], a.prior.std[..., where])
        assert_close(b.prior.log_prob(other), a.prior.log_prob(other) - of_size.log_prob(other[..., where]))
        assert_close(b.proposal.std, a.proposal.std)
        draws = b.prior.rsample()
        assert (draws != b.prior.mean).sum() == draws.numel() - 2 * SLOTS


@pytest.mark.parametrize(
    ("field", "words"), [("place", "held.place: the state has no such field"), ("velocity", "velocity moves")]
)
def test_only_fields_that_do_not_move_can_be_held(field, words):
    with pytest.raises(UserError, match=words):
        StoveDynamics(layout(), SLOTS, held=(field,))


def test_a_frame_model_with_a_density_keeps_one_for_every_field():
    parts = config("spatial_vae") | {"dynamics": config("stove_paper")["dynamics"]}
    with pytest.raises(UserError, match="model.dynamics.held: SpatialVAE .* no bound") as caught:
        build(parts, DataSpec(32, 32, 1, objects=2))
    assert "\n" not in str(caught.value)


def test_colours_come_from_frames_and_stay_constant_in_imagined_ones():
    parts = config("stove_paper")
    parts["frame"] |= {"colour": True}
    parts["dynamics"] |= {"held": ("size", "colour")}
    model = build(parts, DataSpec(32, 32, 3, actions=9, objects=2)).double()
    clip, actions = video(2, 4, 2, channels=3, dtype=F64), torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    clip = clip * torch.tensor([1.0, 0.5, 0.1], dtype=F64)[:, None, None]
    where, at = model.layout["colour"], {name: model.layout[name] for name in ("size", "position")}
    encoding = model.frame.encode(clip)
    k, box = 1, encoding.mean[0, 2, 1].detach()
    steps = torch.linspace(-1, 1, 10, dtype=F64)
    x, y = (box[at["position"]][i] + box[at["size"]][i] * steps for i in (0, 1))
    grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1)[None]
    glimpse = torch.nn.functional.grid_sample(clip[0, 2][None], grid, align_corners=False)
    assert_close(encoding.mean[0, 2, k, where], glimpse[0].mean((-2, -1)))
    encoding.mean[..., where].sum().backward()
    assert all(p.grad is None or (p.grad == 0).all() for p in model.parameters())

    observed = torch.tensor([[True, True, True, False], [True] * 4])
    trace = model.filter(clip, actions, observed=observed, sample=False)
    assert_close(trace.z[0, 3, :, where], trace.z[0, 2, :, where])
    future = model.imagine(trace.carry, 2, actions[:, :2], sample=True)
    assert torch.equal(future.z[:, 1, :, where], trace.z[:, 3, :, where])


def test_weights_of_the_earlier_network_are_refused_in_one_line(tmp_path):
    model, about = make("stove_paper"), {"model": config("stove_paper")}
    weights = {name.replace("own.hidden.0", "alone.0"): value for name, value in model.state_dict().items()}
    checkpoint.save(tmp_path / "best.pt", Checkpoint(7, about, model.spec, weights))
    words = "best.pt: model.dynamics: .* before it had the published network; train"
    with pytest.raises(UserError, match=words) as caught:
        checkpoint.load_model(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=f"^init={tmp_path}: model.dynamics: .*train the model anew$"):
        load_init(model, str(tmp_path))
