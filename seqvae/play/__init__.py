"""A local page on which one changes the objects of a scene and sees the imagined future.

scene.py holds the state of a session, page.py shows it with Bokeh, server.py serves pages on this machine.
"""

from __future__ import annotations

from seqvae.play.scene import Future, Scene

__all__ = ["Future", "Scene"]
