"""Files of a user's own, as plugins, that are forgotten after a test."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.config_store import ConfigStore

from data_gen import plugins, simulator
from seqvae import config


@contextmanager
def own_code(folder: Path) -> Iterator[Path]:
    """Work in a folder; forget afterwards what was imported there and what it has registered."""
    folder.mkdir(parents=True, exist_ok=True)
    before, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
    store = ConfigStore.instance()
    kept = copy.deepcopy(store.repo)
    tables = (plugins._registered, plugins._origins, simulator.worlds(), *config.parts().values())
    copies, kinds, loaded = [dict(table) for table in tables], set(config.parts()), set(plugins._loaded)
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        sys.path[:] = path
        tops = {name.partition(".")[0] for name in plugins._loaded - loaded}
        for name in set(sys.modules) - modules:
            file = str(getattr(sys.modules[name], "__file__", None))
            if name.partition(".")[0] in tops or file.startswith(str(folder)):
                del sys.modules[name]
        for table, old in zip(tables, copies, strict=True):
            for name in table.keys() - old.keys():
                del table[name]
        for kind in set(config.parts()) - kinds:
            del config.parts()[kind]
        plugins._loaded.clear()
        plugins._loaded.update(loaded)
        store.repo = kept
