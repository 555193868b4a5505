"""MkDocs hook: execute the notebooks docs/notebooks/*.py (jupytext, percent format) and show them as pages.

A kernel runs each notebook in a folder of its own, in which `pretrained/` is that of the repository. A cell
that fails ends the build. The outputs become Markdown, so that a notebook looks like any other page.
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jupytext
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parents[2]
CORES = 2  # notebooks that run at the same time
SECONDS = 300  # per cell, on a busy machine
SOURCE = (
    "*This page is the notebook [{name}.py]({name}.py), executed when the site was built. It opens in VS "
    "Code, in Jupyter with jupytext, and runs at the top of the repository with "
    "`python docs/notebooks/{name}.py`.*"
)


def on_files(files: Files, config: Any) -> Files:
    """Add a page with pictures for each notebook; the notebook itself stays, for download."""
    notebooks = [f for f in files if f.src_uri.startswith("notebooks/") and f.src_uri.endswith(".py")]
    with ThreadPoolExecutor(CORES) as pool:
        executed = list(pool.map(lambda file: _execute(file.content_string), notebooks))
    for file, notebook in zip(notebooks, executed, strict=True):
        name = Path(file.src_uri).stem
        page, pictures = _page(name, notebook)
        files.append(File.generated(config, f"notebooks/{name}.md", content=page))
        for picture, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{picture}", content=content))
    return files


def _page(name: str, notebook: Any) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown of an executed notebook, and its pictures by their file names."""
    pictures: dict[str, bytes] = {}
    title, *parts = [part for cell in notebook.cells for part in _cell(cell, name, pictures)]
    return "\n\n".join([title, SOURCE.format(name=name), *parts]) + "\n", pictures


@functools.cache  # while pages are served, a notebook runs again only when its text changes
def _execute(text: str) -> Any:
    """Return the notebook with its outputs."""
    notebook = jupytext.reads(text, fmt="py:percent")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pretrained").symlink_to(ROOT / "pretrained")
        path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        # sockets in the folder, not ports that every user of the machine could open
        config = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
        place = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=SECONDS, resources=place, config=config)
        return client.execute(env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)})


def _cell(cell: Any, name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """Yield the Markdown of a cell and of its outputs, and collect the pictures among them."""
    if cell.cell_type != "code":
        yield cell.source
        return
    yield f"```python\n{cell.source}\n```"
    shown = [part for output in cell.outputs for part in _output(output, name, pictures)]
    if shown:
        yield "\n\n".join(['<div class="output" markdown>', *shown, "</div>"])


def _output(output: Any, name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    if output.output_type == "stream":
        if output.name == "stdout":
            yield f"```text\n{output.text.rstrip()}\n```"
        return
    data = output.data
    if "image/png" in data:
        file = f"{name}_{len(pictures) + 1}.png"
        pictures[file] = b64decode(data["image/png"])
        yield f"![]({file})"
    elif "text/html" in data:
        yield _plain_table(data["text/html"])
    elif "text/plain" in data:
        yield f"```text\n{data['text/plain']}\n```"


def _plain_table(html: str) -> str:
    """Return the table of a data frame without its own style, for that of the site."""
    html = re.sub(r"<style scoped>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"<table[^>]*>", "<table>", html)
