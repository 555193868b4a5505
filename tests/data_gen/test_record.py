"""Recorded environments: ours agree with their simulators, foreign ones are replayed, ends are kept apart."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import gymnasium
import minigrid  # noqa: F401  registers its environments
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from data_gen.__main__ import main
from data_gen.media.reading import fit
from data_gen.recording.episodes import starts_of
from data_gen.recording.policies import Random, Sticky
from data_gen.schema import open_dataset, read_info
from data_gen.sims.avoidance import Avoidance
from data_gen.simulator import State, simulate
from data_gen.splits import Split, make_sequences

SPLITS = ("train", "val", "test")


def record(folder: Path, env: str, *options: str) -> dict[str, dict[str, np.ndarray]]:
    """Return split -> arrays by key of a recording."""
    assert main(["record", f"env={env}", f"out={folder}", *options]) == 0
    found = {}
    for split in SPLITS:
        if (folder / f"{split}.h5").is_file():
            with open_dataset(folder / f"{split}.h5") as file:
                found[split] = {key: file[key][:] for key in file}
    return found


# ---- our own worlds


def test_a_recorded_world_has_the_arrays_of_its_simulator(tmp_path):
    """From the recorded start, under the recorded actions, to the bit; with every key of `sim=avoidance`."""
    fields = ["arguments.num_balls=4", "arguments.substeps=10"]
    found = record(tmp_path, "seqvae/Avoidance-v0", "policy=sticky", "episodes=6", "image_size=16", *fields)
    assert [len(found[split]["imgs"]) for split in SPLITS] == [4, 1, 1]
    world = Avoidance(num_balls=4, substeps=10)
    generated = make_sequences(Split(world, "train", 1, 5, 16, 0), 0, 1)
    for arrays in found.values():
        assert arrays.keys() == generated.keys() | {"sources"}
        assert all(arrays[key].dtype == x.dtype for key, x in generated.items())
        start = State(arrays["positions"][:, 0], arrays["velocities"][:, 0])
        run = simulate(world, start, 100, arrays["actions"][:, :-1])
        np.testing.assert_array_equal(arrays["positions"][:, 1:], run.states.positions)
        np.testing.assert_array_equal(arrays["velocities"][:, 1:], run.states.velocities)
        np.testing.assert_array_equal(arrays["imgs"][:, 1:], world.render(run.states, 16)[0])
        for key in ("rewards", "dones", "collisions"):
            np.testing.assert_array_equal(arrays[key][:, 1:], getattr(run, key))
            assert not arrays[key][:, 0].any()
        for key, array in world.truth(run.states).items():
            np.testing.assert_array_equal(arrays[key][:, 1:], array)
        assert not arrays["actions"][:, -1].any(), "no action led to the start"
    assert found["train"]["actions"].max() == 8 and (found["train"]["rewards"] < 0).any()
    info = read_info(tmp_path / "train.h5")
    assert (info.num_actions, info.coord_limit, info.simulator) == (9, 10.0, "seqvae/Avoidance-v0")
    assert info.config["simulator"]["_target_"] == "data_gen.sims.avoidance.Avoidance"


def test_the_recorded_frames_are_the_observations(tmp_path):
    found = record(
        tmp_path, "seqvae/Avoidance-v0", "episodes=1", "val=0", "test=0", "steps=7", "image_size=8"
    )
    arrays = found["train"]
    env = gymnasium.make("seqvae/Avoidance-v0", image_size=8)
    start = State(arrays["positions"][:, 0], arrays["velocities"][:, 0])
    frames = [env.reset(options={"state": start})[0]]
    frames += [env.step(action)[0] for action in arrays["actions"][0, :-1]]
    np.testing.assert_array_equal(arrays["imgs"][0], frames)


def test_masks_and_worlds_without_actions(tmp_path):
    found = record(tmp_path, "seqvae/Sprites-v0", "episodes=2", "val=0", "test=0", "steps=3", "image_size=16")
    assert found["train"]["masks"].shape == (2, 4, 16, 16) and "actions" not in found["train"]
    assert read_info(tmp_path / "train.h5").num_actions == 0


# ---- ends


class Clock(gymnasium.Env):
    """Episodes of different lengths; a frame shows the episode, the time and the action that led to it."""

    observation_space = Box(0, 255, (4, 4, 3), np.uint8)
    action_space = Discrete(3, start=5)
    lengths = (3, 9, 10, 5, 12, 1)  # actions before the end
    episodes = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        type(self).episodes += 1
        self.time = 0
        return self._frame(0), {}

    def step(self, action):
        self.time += 1
        length = self.lengths[self.episodes]
        is_cut = self.episodes == 2  # this one is cut off, the others end
        over = self.time == length
        return self._frame(action), float(self.time), over and not is_cut, over and is_cut, {}

    def _frame(self, action):
        return np.broadcast_to(np.array([self.episodes, self.time, action], np.uint8), (4, 4, 3)).copy()


@pytest.fixture
def clock():
    Clock.episodes = -1
    gymnasium.register("test/Clock-v0", entry_point=Clock)
    yield "test/Clock-v0"
    del gymnasium.registry["test/Clock-v0"]


def test_no_sequence_crosses_the_end_of_an_episode(tmp_path, clock, capsys):
    found = record(tmp_path, clock, "episodes=6", "length=4", "val=0.2", "test=0.3")
    assert "6 episodes of 2 to 13 frames, cut into sequences of 4; 1 left out" in capsys.readouterr().out
    seen = set()
    for split, episodes in (("train", range(3)), ("val", [3]), ("test", [4, 5])):
        arrays = found[split]
        for n, frames in enumerate(arrays["imgs"][:, :, 0, 0].astype(int)):
            episode, time, led = frames.T
            last = Clock.lengths[episode[0]]
            assert episode[0] in episodes and (episode == episode[0]).all() and (np.diff(time) == 1).all()
            assert arrays["sources"][n] == episode[0]
            ends = (time == last) & (episode != 2)
            np.testing.assert_array_equal(arrays["dones"][n], ends)
            np.testing.assert_array_equal(arrays["rewards"][n], time)
            # actions on disk count from 0, and stand under the frame before the one that they led to
            np.testing.assert_array_equal(np.roll(arrays["actions"][n], 1), np.where(time, led - 5, 0))
            seen |= set(zip(episode.tolist(), time.tolist(), strict=True))
    whole = {(e, t) for e, length in enumerate(Clock.lengths) if length > 2 for t in range(length + 1)}
    assert seen == whole, "every frame of an episode that is long enough, its start and its end too"


def test_the_places_of_sequences():
    assert starts_of(8, 4) == [0, 4] and starts_of(9, 4) == [0, 4, 5] and starts_of(4, 4) == [0]
    assert starts_of(3, 4) == []


# ---- environments that nobody here wrote


def test_classic_control_is_replayed(tmp_path):
    """Numbers as actions: the limits are in the file, and the actions lead to the recorded frames again."""
    options = ["episodes=3", "steps=30", "image_size=24", "val=0", "test=0.4", "seed=4"]
    arrays = record(tmp_path, "Pendulum-v1", *options)["train"]
    info = read_info(tmp_path / "train.h5")
    assert (info.num_actions, info.action_numbers) == (0, 1)
    assert (info.action_low, info.action_high) == ((-2.0,), (2.0,))
    assert arrays["actions_continuous"].dtype == np.float32
    assert 1.5 < np.abs(arrays["actions_continuous"]).max() <= 2
    env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
    of_env, _ = np.random.SeedSequence((4, 3, 1)).spawn(2)
    env.reset(seed=int(of_env.generate_state(1)[0] % 2**31))
    frames, rewards = [env.render()], [0.0]
    for action in arrays["actions_continuous"][1, :-1]:
        _, reward, *_ = env.step(action)
        frames.append(env.render())
        rewards.append(reward)
    np.testing.assert_array_equal(arrays["imgs"][1], [fit(frame, (24, 24)) for frame in frames])
    np.testing.assert_allclose(arrays["rewards"][1], rewards, rtol=1e-6)


def test_cart_pole_falls_at_the_end_of_its_sequences(tmp_path):
    options = ["episodes=8", "image_size=16", "crop=false", "val=0", "test=0", "length=8"]
    arrays = record(tmp_path, "CartPole-v1", *options)["train"]
    assert read_info(tmp_path / "train.h5").num_actions == 2
    assert not arrays["dones"][:, :-1].any() and arrays["dones"][:, -1].sum() == 8
    assert (np.diff(arrays["sources"][:, 0]) >= 0).all() and len(np.unique(arrays["sources"])) == 8
    assert arrays["imgs"].std(1).any(), "something moves"


def test_minigrid_whose_observations_are_no_pictures(tmp_path):
    options = ["policy=sticky", "episodes=2", "steps=10", "image_size=40", "val=0", "test=0"]
    arrays = record(tmp_path, "minigrid:MiniGrid-Empty-5x5-v0", *options)["train"]
    assert arrays["imgs"].shape == (2, 11, 40, 40, 3) and read_info(tmp_path / "train.h5").num_actions == 7
    red = (arrays["imgs"].astype(int) @ [1, -1, 0] > 100).any((2, 3))
    assert red.all(), "the agent is a red triangle in every frame"


# ---- policies

MINE = """
class Right:
    def __init__(self, space, rng):
        assert space.n == 9
    def __call__(self, observation, info):
        assert observation.shape == (8, 8, 3) and info["positions"].shape == (3, 2)
        return 1

class Wrong(Right):
    def __call__(self, observation, info):
        return 9

def function(a, b):
    return 0
"""


def test_a_policy_of_the_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # restores the path afterwards
    Path("my_own_policy.py").write_text(MINE)
    small = ["episodes=1", "val=0", "test=0", "steps=3", "image_size=8"]
    found = record(tmp_path / "a", "seqvae/Avoidance-v0", "policy=./my_own_policy.py:Right", *small)
    assert found["train"]["actions"].tolist() == [[1, 1, 1, 0]]
    found = record(tmp_path / "b", "seqvae/Avoidance-v0", "policy=my_own_policy:Right", *small)
    assert found["train"]["actions"].tolist() == [[1, 1, 1, 0]]


def test_the_card_makes_the_same_files_again(tmp_path):
    first = record(tmp_path / "a", "seqvae/Avoidance-v0", "episodes=3", "steps=6", "image_size=8", "seed=2")
    card = (tmp_path / "a/README.md").read_text()
    (command,) = re.findall(r"^    python -m data_gen (record .*)$", card, re.M)
    words = [word for word in shlex.split(command) if not word.startswith("out=")]
    assert main([*words, f"out={tmp_path / 'b'}"]) == 0
    for split, arrays in first.items():
        with open_dataset(tmp_path / f"b/{split}.h5") as file:
            for key, array in arrays.items():
                np.testing.assert_array_equal(file[key][:], array)
    other = record(tmp_path / "c", "seqvae/Avoidance-v0", "episodes=3", "steps=6", "image_size=8", "seed=3")
    assert (other["train"]["actions"] != first["train"]["actions"]).any()


def test_random_numbers_lie_where_the_space_allows(rng):
    space = Box(np.array([-1, -np.inf, 2, -np.inf]), np.array([1, 3, np.inf, np.inf]), dtype=np.float64)
    drawn = np.stack([Random(space, rng)(None, {}) for _ in range(4000)])
    assert all(space.contains(action) for action in drawn)
    # uniform on [-1, 1], exponential below 3 and above 2, standard normal
    means, variances = np.array([0, 2, 3, 0]), np.array([1 / 3, 1, 1, 1])
    np.testing.assert_array_less(np.abs(drawn.mean(0) - means), 5 * np.sqrt(variances / len(drawn)))
    fourth = np.array([1 / 5, 9, 9, 3])  # central moments, for the error of a variance
    errors = np.sqrt((fourth - variances**2) / len(drawn))
    np.testing.assert_array_less(np.abs(drawn.var(0) - variances), 5 * errors)


def test_a_sticky_policy_mostly_repeats_its_action(rng):
    space, n, length = Discrete(4, start=2), 300, 100
    drawn = np.empty((n, length), int)
    for i in range(n):
        policy = Sticky(space, rng)
        drawn[i] = [policy(None, {}) for _ in range(length)]
    assert set(drawn.ravel()) == {2, 3, 4, 5}
    changed = drawn[:, 1:] != drawn[:, :-1]
    # per episode p ~ U(0.2, 0.3): its variance plus that of a binomial share
    variance = 0.1**2 / 12 + 0.25 * 0.75 / (length - 1)
    assert abs(changed.mean() - 0.25) < 5 * np.sqrt(variance / n)
    jumps = np.bincount((drawn[:, 1:] - drawn[:, :-1])[changed] % 4, minlength=4)
    assert jumps[0] == 0 and abs(jumps[1:] - jumps.sum() / 3).max() < 5 * np.sqrt(jumps.sum() / 3)


# ---- refusals

PLAIN = gymnasium.spaces.MultiDiscrete([2, 3])


class Blind(Clock):
    observation_space = Box(-1, 1, (3,))


class Combined(Clock):
    action_space = PLAIN


BAD = {
    "no such environment": (
        ["env=CartPol-v1"],
        "env=CartPol-v1: Environment `CartPol` doesn't exist; did you",
    ),
    "not registered": (["env=Qqqqqqqq/Zzzzzzzz-v0"], "MODULE:ID imports the module that registers it"),
    "no such module": (["env=no_such_module:Thing-v0"], "env=no_such_module:Thing-v0: No module named"),
    "no images": (["env=test/Blind-v0"], "env=test/Blind-v0: shows no images, neither as observations"),
    "no pictures": (["env=CartPole-v1", "frames=observation"], "its observations are no images"),
    "actions": (
        ["env=test/Combined-v0"],
        "its actions are MultiDiscrete, and a dataset holds Discrete or Box",
    ),
    "arguments": (["env=CartPole-v1", "arguments.colour=1"], "arguments={'colour': 1}: env=CartPole-v1 does"),
    "policy": (["env=CartPole-v1", "policy=clever"], "policy=clever: expected random, sticky, MODULE:CLASS"),
    "policy module": (
        ["env=CartPole-v1", "policy=./no.py:P"],
        "policy=./no.py:P: plugin ./no.py: no such file",
    ),
    "policy class": (["env=CartPole-v1", "policy=json:Nothing"], "policy=json:Nothing: json has no class"),
    "few": (["env=CartPole-v1", "episodes=2"], "episodes=2: too few for val=0.1 and test=0.2"),
    "length": (
        ["env=CartPole-v1", "episodes=3", "length=900"],
        "length=900: the longest episode for train has",
    ),
    "shares": (["env=CartPole-v1", "val=0.6", "test=0.6"], "val=0.6 test=0.6: more than all together"),
    "no env": ([], "env: is missing; say env=..."),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_recorded_is_one_line(tmp_path, capsys, words, message):
    for kind in (Blind, Combined):
        gymnasium.register(f"test/{kind.__name__}-v0", entry_point=kind)
    try:
        assert main(["record", f"out={tmp_path / 'data'}", *words]) == 2
    finally:
        for kind in (Blind, Combined):
            del gymnasium.registry[f"test/{kind.__name__}-v0"]
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "data").exists()


def test_an_action_that_the_environment_lacks_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_wrong_policy.py").write_text(MINE)
    words = [
        "env=seqvae/Avoidance-v0",
        "policy=my_wrong_policy:Wrong",
        "image_size=8",
        f"out={tmp_path / 'd'}",
    ]
    assert main(["record", *words]) == 2
    assert (
        "policy: gives the action 9, and env=seqvae/Avoidance-v0 takes Discrete(9)" in capsys.readouterr().err
    )
    words[1] = "policy=my_wrong_policy:function"
    assert main(["record", *words]) == 2
    assert "my_wrong_policy has no class function" in capsys.readouterr().err


def test_existing_files_stay_unless_they_may_be_replaced(tmp_path, capsys):
    words = ["record", "env=CartPole-v1", "episodes=3", "image_size=8", f"out={tmp_path}"]
    assert main(words) == 0
    before = (tmp_path / "train.h5").read_bytes()
    assert main([*words, "seed=1"]) == 2
    assert "train.h5: exists; overwrite=true replaces it" in capsys.readouterr().err
    assert (tmp_path / "train.h5").read_bytes() == before
    assert main([*words, "seed=1", "overwrite=true"]) == 0
    assert (tmp_path / "train.h5").read_bytes() != before
