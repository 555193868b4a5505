"""Pages in a headless Chromium: figures, colours, width, players; no errors and no requests."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from seqvae import checkpoint
from seqvae.cli.main import main
from seqvae.report.pictures import VIDEO_BYTES
from tests.report.test_report import HOSTILE

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


class Opened:
    """A page in the browser, with what it complained of and asked for."""

    def __init__(self, browser, path: Path, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("a script ran"), dialog.dismiss()))
        self.context.on("request", self._ask)
        self.page.goto(path.as_uri())

    def _note(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _ask(self, request):
        if not request.url.startswith(("data:", "file:", "blob:")):
            self.requests.append(request.url)

    def draw(self) -> int:
        """Show every figure; return their number."""
        self.page.evaluate("document.querySelectorAll('details').forEach((e) => (e.open = true))")
        for element in self.page.query_selector_all("[data-figure]"):
            element.scroll_into_view_if_needed()
        count = len(self.page.query_selector_all("[data-figure]"))
        self.wait(f"document.querySelectorAll('[data-drawn]').length === {count}")
        return count

    def wait(self, condition: str) -> None:
        """Wait for a condition; playwright's own wait needs eval, which the policy of the page forbids."""
        end = time.monotonic() + 60
        while not self.ask(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.05)

    def ask(self, script: str):
        return self.page.evaluate(script)

    def close(self):
        self.context.close()
        assert self.complaints == [] and self.requests == []


INK = """() => {
  const figure = Bokeh.documents.flatMap((d) => d.roots())[0];
  return [figure.left[0].axis_label_text_color, getComputedStyle(document.body).backgroundColor];
}"""
PIXELS = """() => {
  const canvas = document.querySelector("[data-drawn] .canvas > *").shadowRoot;
  const find = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.tagName === "CANVAS") return e;
      const inner = e.shadowRoot && find(e.shadowRoot);
      if (inner) return inner;
    }
  };
  const drawn = find(canvas);
  const data = drawn.getContext("2d").getImageData(0, 0, drawn.width, drawn.height).data;
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200) colours.add((data[i] << 16) + (data[i + 1] << 8) + data[i + 2]);
  return [...colours];
}"""


@pytest.fixture(scope="module")
def pages(folder, tmp_path_factory, browser) -> dict[str, Path]:
    """The page of a run, and that of a comparison."""
    out = tmp_path_factory.mktemp("pages")
    run = folder / "runs" / "seed=0"
    assert main(["report", f"run={run}", f"out={out / 'report.html'}", "sequences=1"]) == 0
    assert main(["compare", f"runs={folder / 'runs'}", f"out={out}", "sequences=1"]) == 0
    return {"report": out / "report.html", "compare": out / "comparison.html"}


@pytest.mark.parametrize("name", ["report", "compare"])
def test_figures_are_drawn_in_light_and_dark(browser, pages, name):
    opened = Opened(browser, pages[name], viewport=DESKTOP, color_scheme="light")
    assert opened.draw() >= 4
    ink, ground = opened.ask(INK)
    assert ground == "rgb(247, 247, 245)" and ink == "#1c2126"
    opened.page.emulate_media(color_scheme="dark")
    opened.wait(f"({INK})()[0] !== '#1c2126'")
    assert opened.ask(INK) == ["#e8eaed", "rgb(16, 19, 23)"]
    assert int("d55e00", 16) in opened.ask(PIXELS), "the first line has its colour on the canvas"
    opened.close()


@pytest.mark.parametrize("name", ["report", "compare"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_does_not_scroll_sideways(browser, pages, name, scheme):
    opened = Opened(browser, pages[name], viewport=PHONE, color_scheme=scheme, has_touch=True)
    opened.draw()
    assert opened.ask("document.documentElement.scrollWidth") <= PHONE["width"]
    widths = opened.ask(
        "[...document.querySelectorAll('.canvas')].map((e) => e.getBoundingClientRect().width)"
    )
    assert all(250 < width <= PHONE["width"] for width in widths)
    opened.close()


def test_the_legend_and_the_ranges_change_a_figure(browser, pages):
    opened = Opened(browser, pages["report"], viewport=DESKTOP)
    opened.draw()
    element = opened.page.query_selector("[data-figure='errors-position_error']")
    visible = """(prefix) => Bokeh.documents.flatMap((d) => d.roots()).flatMap((f) => f.renderers)
        .filter((r) => r.name && r.name.startsWith(prefix)).map((r) => r.visible)"""
    box = element.query_selector(".legend input:not(:checked)")
    prefix = box.get_attribute("data-prefix")
    shown = opened.page.evaluate(visible, prefix)
    assert len(shown) >= 2 and not any(shown)
    box.check()
    assert all(opened.page.evaluate(visible, prefix))
    button = element.query_selector(".zooms button:nth-child(2)")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    opened.close()


def test_a_video_plays_and_its_slider_shows_frames(browser, pages):
    opened = Opened(browser, pages["report"], viewport=DESKTOP)
    opened.page.wait_for_selector(".player:not([hidden])", timeout=20_000)
    assert opened.ask("document.querySelector('video').videoWidth") > 100
    assert opened.ask("document.querySelector('video').error") is None
    slider = opened.page.query_selector(".player input")
    assert slider.get_attribute("max") == "15", "16 frames"
    slider.fill("11")
    opened.wait("document.querySelector('.player output').textContent === 'frame 12'")
    opened.page.click(".player button")
    opened.wait("!document.querySelector('video').paused")
    opened.close()


def test_without_javascript_tables_and_pictures_are_there(browser, pages):
    opened = Opened(browser, pages["report"], viewport=DESKTOP, java_script_enabled=False)
    page = opened.page
    assert page.is_visible("table >> text=linear, from true states") and page.is_visible("video[controls]")
    assert page.is_visible("img[alt^='Sequence 0']") and "The figures need JavaScript" in page.content()
    opened.close()


def test_every_picture_control_and_heading_has_a_name(browser, pages):
    for path in pages.values():
        opened = Opened(browser, path, viewport=DESKTOP)
        assert opened.ask("[...document.images].every((e) => e.alt.length > 5)")
        assert opened.ask("document.querySelectorAll('h1').length") == 1
        has_name = "(e) => e.ariaLabel || e.textContent.trim() || e.closest('label')"
        named = f"[...document.querySelectorAll('{{}}')].every({has_name})"
        assert opened.ask(named.format("button, input, video, .scroll, nav"))
        levels = opened.ask("[...document.querySelectorAll('h1,h2,h3,h4')].map((e) => Number(e.tagName[1]))")
        assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
        opened.close()


def test_a_strangers_script_does_not_run(browser, run):
    content = checkpoint.load(run / checkpoint.BEST)
    config = content.config | {"choices": {"experiment": HOSTILE}, "note": HOSTILE}
    checkpoint.save(run / checkpoint.BEST, replace(content, config=config, commit=HOSTILE))
    log = [{"kind": "warning", "step": 2, "text": HOSTILE}, {"kind": "train", "step": 2, HOSTILE: 1.0}]
    with (run / "log.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in log)
    curves = run / "evaluation" / "curves.csv"
    curves.write_text(curves.read_text().replace("\nstatic,", f'\n"{HOSTILE}",'))
    assert main(["report", f"run={run}", "sequences=0", "videos=0"]) == 0
    opened = Opened(browser, run / "report.html", viewport=DESKTOP)
    opened.draw()
    canvas = opened.page.query_selector("[data-figure='errors-position_error'] .canvas").bounding_box()
    for share in (0.3, 0.5, 0.7, 0.9):  # tooltips
        opened.page.mouse.move(canvas["x"] + share * canvas["width"], canvas["y"] + 0.5 * canvas["height"])
    assert (
        opened.ask("document.querySelectorAll('script').length")
        == opened.ask("document.querySelectorAll('script.item').length") + 2
    )
    assert HOSTILE in opened.page.inner_text("header")
    opened.close()


def test_an_injected_script_is_stopped_by_the_policy(browser, pages, tmp_path):
    """As if the templates had let one through."""
    text = (
        pages["report"]
        .read_text()
        .replace("<h1>", "<script>window.ran = 1</script><img src=x onerror='ran=2'><h1>")
    )
    (tmp_path / "page.html").write_text(text)
    opened = Opened(browser, tmp_path / "page.html", viewport=DESKTOP)
    assert opened.ask("window.ran") is None
    assert any("Content Security Policy" in text for text in opened.complaints)
    opened.context.close()


def test_a_too_large_video_is_left_out(run, monkeypatch):
    assert VIDEO_BYTES > 1e6
    monkeypatch.setattr("seqvae.report.pictures.VIDEO_BYTES", 10)
    assert main(["report", f"run={run}", "sequences=0"]) == 0
    text = (run / "report.html").read_text()
    assert "data:video" not in text and "too large to be embedded" in text
