"""The page of a session: obeys the commands of its script, and answers each with the new future."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tornado.template import Template

from data_gen.media.overlays import COLOURS
from seqvae.errors import UserError
from seqvae.play.scene import Scene

HERE = Path(__file__).parent
SCRIPTS = (
    "page.js",
    "pictures.js",
    "controls.js",
)  # one program: state and server, drawing, what the user does

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


@dataclass(frozen=True)
class Look:
    """The words and the speed of a page.

    title: of the model and the data
    fps: frames per second of the animation
    """

    title: str
    fps: int = 10


def html(scene: Scene, look: Look) -> bytes:
    """Return the page of a scene, which loads nothing but what its WebSocket brings."""
    height, width = scene.frames.shape[2:4]
    return _template().generate(
        title=look.title,
        fps=look.fps,
        style=(HERE / "page.css").read_text(),
        script="\n".join((HERE / name).read_text() for name in SCRIPTS),
        colours=json.dumps(["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS]),
        height=height,
        width=width,
        sequences=len(scene.frames),
        frames=scene.frames.shape[1],
        actions=scene.model.actions,
        pushes="velocity" in scene.model.layout,
        imagines=scene.imagines,
        background=scene.model.background_slots,
    )


@cache
def _template() -> Template:
    return Template((HERE / "page.html").read_text())


def obey(scene: Scene, command: Mapping[str, Any]) -> bytes:
    """Obey a command, and return the new future as a message; a refusal is a note in it."""
    place, note = (scene.index, scene.frame), ""
    try:
        COMMANDS[command["kind"]](scene, command)
    except UserError as error:
        note = str(error)
    return message(scene, command["serial"], note, renewed=place != (scene.index, scene.frame))


def message(scene: Scene, serial: int = 0, note: str = "", renewed: bool = True) -> bytes:
    """Return the future of a scene as a message.

    serial: number of the command that it answers
    note: words for the user
    renewed: whether the place in the data is another one: the observed frame and the true ones are sent too
    """
    future = scene.future()
    none = np.zeros((0, 2), np.float32)
    words = {
        "serial": serial,
        "index": scene.index,
        "frame": scene.frame,
        "slots": future.slots,
        "edits": scene.edits,
        "note": note,
        "short": scene.imagines and scene.length() < scene.horizon,
    }
    numbers = {
        "positions": future.positions.astype(np.float32),
        "ghosts": future.ghosts.astype(np.float32),
        "velocities": none if future.velocities is None else future.velocities.astype(np.float32),
        "frames": _thin(future.frames),
    }
    return pack(words, numbers | ({"truth": scene.truth()} if renewed else {}))


def pack(words: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return words and arrays as bytes: a length (uint32), words of that length (JSON), and the numbers.

    The words name type and shape of each array. Bytes (uint8) come after all floats, which are thus aligned.
    """
    shapes = {name: [array.dtype.name, array.shape] for name, array in arrays.items()}
    text = json.dumps({**words, "arrays": shapes}).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + b"".join(array.tobytes() for array in arrays.values())


def _thin(frames: UInt8[np.ndarray, "t h w c"]) -> UInt8[np.ndarray, "t h w _"]:
    """Return the one channel of grey frames, which takes a third of the time to send."""
    first = frames[..., :1]
    return first if (frames == first).all() else frames
