"""`python -m seqvae play`: a local page for a model's scenes and their futures."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data_gen.cli.command import Job
from seqvae.cli.data import SourceConfig, load_data, load_model, read_config, with_data
from seqvae.errors import UserError, require_at_least
from seqvae.io import last_words
from seqvae.play.scene import Scene, require_playable


@dataclass(frozen=True, kw_only=True)
class PlayConfig(SourceConfig):
    """The keys of configs/play.yaml."""

    index: int
    context: int
    horizon: int
    samples: int
    fps: int
    port: int | None
    show: bool

    def __post_init__(self):
        super().__post_init__()
        require_at_least(vars(self), index=0, context=1, horizon=1, samples=0, fps=1, port=1)
        if self.port is not None and self.port > 65535:
            raise UserError(f"port={self.port}: expected at most 65535")


def run(config: Mapping[str, Any], job: Job) -> None:
    """Serve the page until Ctrl-C."""
    options = with_data(read_config(PlayConfig, config, job))
    if find_spec("tornado") is None:
        raise UserError('play needs Tornado: pip install "seqvae[play]"')
    from seqvae.play.page import Look
    from seqvae.play.server import serve

    model = load_model(options)
    require_playable(model)
    data = load_data(options, model).without_truth()
    if options.index >= len(data):
        raise UserError(f"{options.data}: index={options.index}, but it holds sequences 0 to {len(data) - 1}")

    def begin() -> Scene:
        scene = Scene(model, data.frames, data.prev_actions, options.horizon, options.samples, options.seed)
        scene.open(options.index)
        scene.look(min(options.context, data.frames.shape[1]))
        return scene

    begin().future()  # the first one takes longer
    title = f"{options.run_folder.resolve().name} on {Path(str(options.data)).name}"
    server = serve(begin, Look(title, options.fps), options.port)
    print(f"{server.address} shows {title}; Ctrl-C ends it", flush=True)
    if options.show:
        webbrowser.open(server.address)
    try:
        with last_words(lambda: "stopped"):
            server.io_loop.start()
    finally:
        server.stop()
