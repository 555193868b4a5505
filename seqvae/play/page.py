"""The page of a session in Bokeh: three pictures, the data that they show, commands and their answers.

The script (page.js) goes through the frames and draws what is dragged, without the server. Each command of
the user goes to the server, one at a time and of a drag only the newest, and is answered by the new future in
one update of a data source.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.core.templates import get_env
from bokeh.document import Document
from bokeh.events import ConnectionLost, DocumentReady
from bokeh.models import ColumnDataSource, CustomJS, Range1d
from bokeh.plotting import figure
from jaxtyping import UInt8

from data_gen.media.overlays import COLOURS
from seqvae.errors import UserError
from seqvae.play.scene import Scene

HERE = Path(__file__).parent
HALO = "rgba(0, 0, 0, 0.65)"  # behind lines and letters, so that they show on any picture


@dataclass(frozen=True)
class Look:
    """The words and the speed of a page.

    title: of the model and the data
    fps: frames per second of the animation
    """

    title: str
    fps: int = 10


COMMANDS: Mapping[str, Callable[[Scene, Mapping[str, Any]], None]] = {
    "open": lambda scene, given: scene.open(given["index"]),
    "look": lambda scene, given: scene.look(given["frame"]),
    "move": lambda scene, given: scene.move(given["slot"], (given["x"], given["y"])),
    "push": lambda scene, given: scene.push(given["slot"], (given["x"], given["y"])),
    "swap": lambda scene, given: scene.swap(given["slot"], given["other"]),
    "remove": lambda scene, given: scene.remove(given["slot"]),
    "reset": lambda scene, given: scene.reset(),
    "resample": lambda scene, given: scene.resample(),
    "follow": lambda scene, given: scene.follow(given["action"]),
}


class Page:
    """A session's page: obeys the commands of its script and answers with the new future.

    observed: source of what only a change of sequence or frame renews: the frame and the true ones after it
    future: source of what every command renews
    """

    def __init__(self, document: Document, scene: Scene, look: Look):
        self.scene = scene
        self.command = ColumnDataSource({"command": []}, name="command")
        self.observed = ColumnDataSource(name="observed")
        self.future = ColumnDataSource(name="future")
        self._renew_observed()
        self._renew_future(0, "")
        self.command.on_change("data", self._obey)

        height, width = scene.frames.shape[2:4]
        panels = {name: _panel(name, height, width) for name in ("now", "imagined", "truth")}
        sources = {"command": self.command, "observed": self.observed, "future": self.future}
        panels["now"].tags = list(sources.values())  # they belong to the document, so changes are sent
        for panel in panels.values():
            document.add_root(panel)
        start = CustomJS(args=sources | panels, code=(HERE / "page.js").read_text())
        document.js_on_event(DocumentReady, start)
        document.js_on_event(ConnectionLost, CustomJS(code="window.seqvaePlay?.lost()"))
        document.title = f"seqvae play: {look.title}"
        document.template = _template()
        document.template_variables["play"] = {
            "title": look.title,
            "style": (HERE / "page.css").read_text(),
            "colours": json.dumps(["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS]),
            "fps": look.fps,
            "sequences": len(scene.frames),
            "frames": scene.frames.shape[1],
            "actions": scene.model.actions,
            "pushes": "velocity" in scene.model.layout,
            "imagines": scene.imagines,
            "background": scene.model.background_slots,
        }

    def _obey(self, attribute: str, old: Any, new: Mapping[str, list[str]]) -> None:
        """Obey the command in a source's new data, and answer; a refusal is shown on the page."""
        given, note = json.loads(new["command"][0]), ""
        place = self.scene.index, self.scene.frame
        try:
            COMMANDS[given["kind"]](self.scene, given)
        except UserError as error:
            note = str(error)
        if place != (self.scene.index, self.scene.frame):
            self._renew_observed()
        self._renew_future(given["serial"], note)

    def _renew_observed(self) -> None:
        scene = self.scene
        place = {"index": scene.index, "frame": scene.frame}
        self.observed.data = {"place": [json.dumps(place)], "frames": [scene.truth()]}

    def _renew_future(self, serial: int, note: str) -> None:
        """Send the future in one update: pictures as bytes, positions, and words about them."""
        scene, future = self.scene, self.scene.future()
        about = {
            "serial": serial,
            "slots": future.slots,
            "edits": scene.edits,
            "note": note,
            "action": scene.action,
            "short": scene.imagines and scene.length() < scene.horizon,
        }
        none = np.zeros((0, 2), np.float32)
        self.future.data = {
            "about": [json.dumps(about)],
            "frames": [_thin(future.frames)],
            "positions": [future.positions.astype(np.float32)],
            "ghosts": [future.ghosts.astype(np.float32)],
            "velocities": [none if future.velocities is None else future.velocities.astype(np.float32)],
        }


def _thin(frames: UInt8[np.ndarray, "t h w c"]) -> UInt8[np.ndarray, "t h w _"]:
    """Return the one channel of grey frames, which takes a third of the time to send."""
    first = frames[..., :1]
    return np.ascontiguousarray(first) if (frames == first).all() else frames


@cache
def _template() -> Any:
    return get_env().from_string((HERE / "page.html").read_text())


def _panel(name: str, height: int, width: int) -> figure:
    """Return an empty picture in coordinates, y down, with glyphs whose data the script sets."""
    plot = figure(
        name=name,
        x_range=Range1d(start=-1, end=1),
        y_range=Range1d(start=1, end=-1),
        tools="",
        toolbar_location=None,
        sizing_mode="stretch_width",
        aspect_ratio=width / height,
        min_border=0,
        outline_line_color=None,
        background_fill_color=None,
        border_fill_color=None,
        lod_threshold=None,
    )
    plot.axis.visible = False
    plot.grid.visible = False

    def source(kind: str, *columns: str) -> ColumnDataSource:
        return ColumnDataSource({column: [] for column in columns}, name=f"{name}_{kind}")

    # each glyph costs the browser a millisecond or two per update, so a panel has only those that it shows
    picture = source("picture", "image")
    picture.data = {"image": [np.zeros((height, width), np.uint32)]}
    plot.image_rgba("image", x=-1, y=-1, dw=2, dh=2, source=picture)
    if name == "truth":
        return plot
    ghosts = source("ghosts", "xs", "ys", "colour")
    plot.multi_line("xs", "ys", color="colour", line_alpha=0.45, line_width=1, source=ghosts)
    path = source("path", "xs", "ys", "colour")
    plot.multi_line("xs", "ys", color=HALO, line_width=4, source=path)
    plot.multi_line("xs", "ys", color="colour", line_width=2, source=path)
    objects = source("objects", "x", "y", "colour", "label", "size", "edge", "width", "halo")
    disc: dict[str, Any] = {"size": "size", "color": "colour", "line_color": "edge", "line_width": "width"}
    if name == "imagined":
        dots = source("dots", "x", "y", "colour")
        plot.scatter("x", "y", size=5, color="colour", fill_alpha=0.6, line_color=None, source=dots)
        plot.scatter("x", "y", source=objects, **disc)
        return plot
    arrows = source("arrows", "x", "y", "tip_x", "tip_y", "angle")
    plot.segment("x", "y", "tip_x", "tip_y", color="white", line_width=3, source=arrows)
    head: dict[str, Any] = {"marker": "triangle", "angle": "angle", "line_color": HALO, "fill_color": "white"}
    plot.scatter("tip_x", "tip_y", size=14, source=arrows, **head)
    plot.scatter("x", "y", size="halo", color=HALO, line_color=None, source=objects)  # of picked ones
    plot.scatter("x", "y", source=objects, **disc)
    letters: dict[str, Any] = {"text": "label", "text_align": "center", "text_baseline": "middle"}
    font: dict[str, Any] = {"text_color": "black", "text_font_size": "13px", "text_font_style": "bold"}
    plot.text("x", "y", source=objects, **letters, **font)
    return plot
