"""A local page on which one changes the objects of a scene and sees the imagined future.

scene.py holds the state of a session, page.py and its scripts show it, server.py serves it on this machine.
"""

from __future__ import annotations

from seqvae.play.scene import Future, Scene

__all__ = ["Future", "Scene"]
