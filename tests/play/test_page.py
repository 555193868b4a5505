"""The page in a headless Chromium, and the command that serves it."""

from __future__ import annotations

import asyncio
import http.client
import io
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seqvae import read
from seqvae.checkpoint import Checkpoint, load_model, save
from seqvae.cli.main import main
from seqvae.play import Scene
from tests.models import make
from tests.worlds import make_data

pytest.importorskip("tornado", reason="the page needs tornado")
RUN = Path(__file__).parents[2] / "pretrained/stove_billiards"
CONTEXT, HORIZON = 8, 12


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"), "billiards", "test=2", "length=16") / "test.h5"


@pytest.fixture(scope="module")
def served(data):
    """The address of a page, and its scenes; the server runs in a thread."""
    from seqvae.play.page import Look
    from seqvae.play.server import serve

    model, sequences, scenes, ready = load_model(RUN), read(data), [], threading.Event()
    found = {}

    def begin() -> Scene:
        scenes.append(Scene(model, sequences.frames, horizon=HORIZON, samples=3))
        scenes[-1].look(CONTEXT)
        return scenes[-1]

    def run() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        found["server"] = serve(begin, Look("a title"))
        ready.set()
        found["server"].io_loop.start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    server = found["server"]
    yield server.address, scenes
    server.io_loop.add_callback(server.io_loop.stop)
    thread.join(10)
    server.stop()


class Visit:
    """A page in the browser, with all that it complains of and all that it asks for."""

    def __init__(self, browser, url: str, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 760}} | options)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.goto(url)
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_function("window.seqvaePlay?.state.settled")

    def state(self, name: str):
        return self.page.evaluate(f"seqvaePlay.state.{name}")

    def positions(self) -> np.ndarray:
        """Positions "t j 2" of the mean path, as the page has them."""
        numbers, shape = self.page.evaluate(
            "[Array.from(seqvaePlay.state.positions), seqvaePlay.state.positions.shape]"
        )
        return np.reshape(numbers, shape)

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        box = self.page.locator("#stage").bounding_box()
        return box["x"] + (x + 1) / 2 * box["width"], box["y"] + (y + 1) / 2 * box["height"]

    def drag(self, slot: int, to: tuple[float, float]) -> None:
        at = self.positions()[0, self.state("slots").index(slot)]
        self.page.mouse.move(*self.pixels(*at))
        self.page.mouse.down()
        self.page.mouse.move(*self.pixels(*to), steps=8)
        self.page.mouse.up()
        self.settle()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.settle()

    def words(self, id: str) -> str:
        return self.page.locator(f"#{id}").inner_text()


@pytest.fixture
def visit(browser, served):
    visits = []

    def open_page(**options) -> Visit:
        visits.append(Visit(browser, served[0], **options))
        return visits[-1]

    yield open_page
    for one in visits:
        assert not one.complaints
        assert one.requests and all("://127.0.0.1:" in url for url in one.requests), one.requests
        one.context.close()


def test_a_drag_changes_the_future_and_is_said(visit, served):
    page = visit(reduced_motion="reduce")  # it stays at the first frame
    before, scene = page.positions(), served[1][-1]
    assert before.shape == (HORIZON + 1, 3, 2) and "unchanged" in page.words("edited")
    assert "unedited" not in page.words("truth-words")
    page.drag(1, (0.1, -0.2))
    after = page.positions()
    np.testing.assert_allclose(after[0, 1], [0.1, -0.2], atol=0.01)  # two pixels of the screen
    np.testing.assert_array_equal(after[0, [0, 2]], before[0, [0, 2]])
    np.testing.assert_allclose(after, scene.future().positions, atol=1e-6)
    assert abs(after[1:] - before[1:]).max() > 0.1
    assert page.words("edited") == "edited: moved 1" and "unedited" in page.words("truth-words")
    assert "edited" in page.words("now-words")
    page.press("r")
    np.testing.assert_array_equal(page.positions(), before)
    assert "unchanged" in page.words("edited")


def test_the_page_draws_what_it_was_sent(visit):
    """The pictures, as painted, are the data's and the model's, with the first row on top."""
    page = visit(reduced_motion="reduce")
    page.page.locator("#time").fill("3")
    for panel, frames in (("imagined", "seqvaePlay.state.frames"), ("now", "seqvaePlay.state.truth")):
        at = 3 if panel == "imagined" else 0
        canvas = f"document.getElementById('{panel}-pixels')"
        painted = page.page.evaluate(
            f"Array.from({canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height).data)"
        )
        numbers, shape = page.page.evaluate(f"[Array.from({frames}), {frames}.shape]")
        frame = np.reshape(numbers, shape)[at]
        painted = np.reshape(painted, (*frame.shape[:2], 4))
        for channel in range(3):
            expected = frame[..., min(channel, frame.shape[-1] - 1)]
            np.testing.assert_array_equal(painted[..., channel], expected)
    # on the screen: the marked object of the scene lies on a bright spot
    shot = io.BytesIO(page.page.locator("#stage").screenshot())
    picture = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    x, y = page.positions()[0, 0]
    column, row = ((v + 1) / 2 * size for v, size in ((x, picture.shape[1]), (y, picture.shape[0])))
    spot = picture[int(row) - 20 : int(row) + 20, int(column) - 20 : int(column) + 20]
    assert spot.max(-1).mean() > 100 > picture.max(-1).mean()


def test_the_slider_and_the_keys_go_through_the_future(visit):
    page = visit()
    page.page.wait_for_function("seqvaePlay.state.shown > 1")  # it plays by itself
    page.page.locator("#time").fill("5")
    assert page.state("shown") == 5 and not page.state("playing")
    assert page.words("imagined-words") == f"frame {CONTEXT + 5} (+5)"
    assert page.words("truth-words") == f"frame {CONTEXT + 5}"
    page.page.evaluate("document.activeElement.blur()")
    page.press("ArrowRight", ".")
    assert page.state("shown") == 6 and page.words("now-words") == f"frame {CONTEXT + 1}, observed"
    page.press(",")
    page.page.locator("#time").fill("11")
    assert page.words("truth-words") == "ended at frame 16"


def test_objects_are_pushed_swapped_and_removed(visit, served):
    page = visit()
    scene = served[1][-1]
    page.page.locator("#push").click()
    start = page.positions()[0, 2]
    page.drag(2, tuple(start + [-0.3, -0.2]))
    np.testing.assert_allclose(scene.future().velocities[2], [-0.06, -0.04], atol=0.003)  # by five frames
    np.testing.assert_allclose(page.positions()[0, 2], start, atol=1e-6)
    before = page.positions()[0]
    page.press("0", "1", "x")
    np.testing.assert_array_equal(page.positions()[0], before[[1, 0, 2]])
    page.page.mouse.click(*page.pixels(*page.positions()[0, 2]))
    assert page.state("picked") == [1, 2]
    page.page.locator("#remove").click()
    page.settle()
    assert page.state("slots") == [0, 1] and page.positions().shape[1] == 2
    assert page.words("edited") == "edited: pushed 2, swapped 0 and 1, removed 2"
    page.press("Delete", "0", "Delete")  # 1 is still picked, and 0 is the last one
    assert page.state("slots") == [0] and "keep at least one" in page.words("note")


def test_other_sequences_frames_and_samples(visit, served):
    page = visit()
    scene = served[1][-1]
    page.drag(0, (0.0, 0.0))
    page.press("]")
    assert (scene.index, scene.frame, scene.edits) == (1, CONTEXT, ())
    assert page.words("sequence") == "sequence 1 of 0–1" and page.page.locator("#next").is_disabled()
    page.page.locator("#frame").fill("4")
    page.settle()
    assert scene.frame == 4 and page.words("now-words") == "frame 4, observed"
    np.testing.assert_allclose(page.positions(), scene.future().positions, atol=1e-6)
    ghosts = page.page.evaluate("Array.from(seqvaePlay.state.ghosts)")
    page.page.locator("#resample").click()
    page.settle()
    assert page.page.evaluate("Array.from(seqvaePlay.state.ghosts)") != ghosts


def test_of_a_drag_only_the_newest_places_are_computed(visit, served):
    page = visit()
    scene = served[1][-1]
    moved = []
    scene.move, move = lambda slot, to: (moved.append(to), move(slot, to)), scene.move
    at = page.positions()[0, 0]
    page.page.mouse.move(*page.pixels(*at))
    page.page.mouse.down()
    page.page.evaluate("""() => { for (let i = 1; i <= 200; i++) {
        const box = document.getElementById("stage").getBoundingClientRect()
        document.getElementById("stage").dispatchEvent(new PointerEvent("pointermove",
          { clientX: box.left + box.width / 2 + i / 4, clientY: box.top + box.height / 2 }))
    } }""")
    page.page.mouse.up()
    page.settle()
    assert 1 <= len(moved) <= 4, "one at work, and the newest of those that came meanwhile"
    np.testing.assert_allclose(page.positions()[0, 0], moved[-1], atol=1e-6)


# called with the pixels of the stage that a drag goes through: the commands that it sends before any answer
DRAG = """(places) => {
    const sent = [], send = WebSocket.prototype.send
    WebSocket.prototype.send = function (words) { sent.push(JSON.parse(words)); send.call(this, words) }
    const point = (kind, [clientX, clientY]) =>
        document.getElementById("stage").dispatchEvent(new PointerEvent(kind, { clientX, clientY }))
    for (const place of places) point("pointermove", place)
    point("pointerup", places.at(-1))
    WebSocket.prototype.send = send
    performance.clearMeasures()
    return sent
}"""


def test_a_drop_waits_for_no_answer_and_the_answer_to_its_drag_is_not_drawn(visit, served):
    page = visit()
    scene, places = served[1][-1], [(-0.4, 0.1), (-0.2, 0.3), (0.1, 0.4)]
    page.page.mouse.move(*page.pixels(*page.positions()[0, 0]))
    page.page.mouse.down()
    first, last = page.page.evaluate(DRAG, [page.pixels(*place) for place in places])
    np.testing.assert_allclose([last["x"], last["y"]], places[-1], atol=0.01)
    page.settle()
    page.page.wait_for_function("performance.getEntriesByName('play: answered').length")
    drawn = page.page.evaluate("performance.getEntriesByName('play: answered').map((entry) => entry.detail)")
    assert drawn == [last["serial"]] and last["serial"] == first["serial"] + 1
    np.testing.assert_allclose(page.positions()[0, 0], places[-1], atol=0.01)
    np.testing.assert_allclose(page.positions(), scene.future().positions, atol=1e-6)


def test_a_drop_where_the_drag_was_asks_no_second_time(visit):
    page = visit()
    page.page.mouse.move(*page.pixels(*page.positions()[0, 0]))
    page.page.mouse.down()
    (only,) = page.page.evaluate(DRAG, [page.pixels(0.1, 0.4)])
    page.settle()
    assert page.state("serial") == only["serial"]
    np.testing.assert_allclose(page.positions()[0, 0], (0.1, 0.4), atol=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(visit, scheme):
    phone = {"width": 390, "height": 844}
    page = visit(viewport=phone, is_mobile=True, has_touch=True, color_scheme=scheme)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.page.locator("#stage").bounding_box()["width"] > 340
    paper = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").rstrip(")").split(","))) < 200) == (scheme == "dark")
    x, y = page.pixels(*page.positions()[0, 1])
    page.page.touchscreen.tap(x, y)
    assert page.state("picked") == [1]


def test_pages_of_other_sites_may_send_no_commands(served):
    host = served[0].removeprefix("http://").rstrip("/")
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": "http://example.org"}
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", "/scene", headers=upgrade)
    assert connection.getresponse().status == 403
    connection.close()


def one_line(capsys, *words) -> str:
    assert main(["play", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_played_is_refused_in_one_line(data, tmp_path, capsys, monkeypatch):
    given = (f"run={RUN}", f"data={data}")
    monkeypatch.setattr("seqvae.play.server.serve", lambda *_: pytest.fail("a port was opened"))
    with monkeypatch.context() as without:
        without.setattr("seqvae.cli.play.find_spec", lambda name: None)
        assert one_line(capsys, *given) == 'seqvae play: play needs Tornado: pip install "seqvae[play]"'
    model = make("vae", channels=3)
    save(tmp_path / "best.pt", Checkpoint(1, {"model": model.config}, model.spec, model.state_dict()))
    line = one_line(capsys, f"run={tmp_path}", f"data={data}")
    assert line.startswith("seqvae play: play needs position in the state, which has ")
    assert "index=2" in one_line(capsys, *given, "index=2")
    assert "port=70000: expected at most 65535" in one_line(capsys, *given, "port=70000")
    assert "samples=-1: expected at least 0" in one_line(capsys, *given, "samples=-1")


def test_a_port_in_use_is_refused_and_by_default_avoided(data, capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = one_line(capsys, f"run={RUN}", f"data={data}", f"port={port}")
        assert line == f"seqvae play: port={port}: is in use; choose another one, or leave it out"


@pytest.mark.slow
def test_the_command_serves_until_ctrl_c(data):
    command = [sys.executable, "-m", "seqvae", "play", f"run={RUN}", f"data={data}"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    said = running.stdout.readline()
    assert said.startswith("http://127.0.0.1:") and "stove_billiards on test.h5" in said
    connection = http.client.HTTPConnection(said.split()[0].removeprefix("http://").rstrip("/"), timeout=20)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 200 and "stove_billiards on test.h5" in answer.read().decode()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (128 + signal.SIGINT, "", "seqvae play: stopped\n")
