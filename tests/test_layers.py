"""Reads the imports of every file and holds them against the layers of docs/architecture.md."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A file of seqvae imports its own layer and those below it. A name is a file, or a folder with all its files.
LAYERS = {
    0: [
        "aliases",
        "config",
        "content",
        "errors",
        "io",
        "layout",
        "protocol",
        "provenance",
        "share",
        "shipped",
        "streams",
        "tree",
        "types",
    ],
    1: ["distributions", "matching", "nn"],
    2: ["sequence", "elbo", "objectives", "collage", "outcomes", "prediction", "metrics", "data"],
    3: ["frames", "posteriors", "dynamics", "rewards"],
    4: ["build", "checkpoint", "inference", "interventions", "rollout", "shapes", "weights"],
    5: ["evaluate", "planning", "play", "report", "train", "video"],
    6: ["cli", "contracts", "__init__", "__main__"],
}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}
PARTS = {"frames", "posteriors", "dynamics", "rewards"}  # interchangeable, so they never import each other

# Everything in data_gen is core but these, which may use optional packages.
EDGE = {"convert", "formats", "media", "preview", "gym", "recording"}
CORE_PACKAGES = {"numpy", "h5py", "hydra", "omegaconf", "tqdm"}
# which part of seqvae uses what of data_gen; media reads, writes and draws frames for both
USES_DATA_GEN = {
    "config": "core",
    "errors": "core",
    "io": "core",
    "data": "core",
    "planning": "core",
    "play": "core",
    "report": "core",
    "video": "core",
    "cli": "all",
    "__main__": "core",
    "contracts": "all",
}
SHARED = {"media"}

# Packages that have their places, so that a model can be read, and run, without them.
PLACES = {
    "hydra": ["data_gen/cli"],
    "moviepy": ["data_gen/media"],
    "av": ["data_gen/media"],
    "h5py": ["data_gen/hdf5", "data_gen/formats", "seqvae/data"],
    "sklearn": ["data_gen/drawing/handwriting"],
    "ale_py": ["data_gen/sims/_ale"],
    "gymnasium": ["data_gen/gym"],
    "pytest": [f"seqvae/contracts/{name}" for name in ("options", "test_plugins", "__main__")],
    "bokeh": ["seqvae/report"],
    "pandas": ["seqvae/inference"],
    "wandb": ["seqvae/train/trackers"],
    "mlflow": ["seqvae/train/trackers"],
    "jinja2": ["seqvae/report"],
    "tornado": ["seqvae/play"],
    "zarr": ["data_gen/formats/containers"],
}


def place(path: str) -> str:
    """The name in the tables above for a path beneath its package: "nn/flows.py" -> "nn"."""
    return path.partition("/")[0].removesuffix(".py")


def imports(file: Path, root: Path) -> list[tuple[int, str]]:
    """(line, dotted module) for each import, also those within functions and under TYPE_CHECKING."""
    package = file.relative_to(root).parent.parts
    found = []
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:  # "from seqvae import rollout" imports a file, "import load" a name
                is_file = locate(f"{module}.{alias.name}", root) is not None
                found.append((node.lineno, f"{module}.{alias.name}" if is_file else module))
    return found


def locate(module: str, root: Path) -> str | None:
    """The path of a module of ours beneath root, or None: "seqvae.nn" -> "seqvae/nn/__init__.py"."""
    path = module.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        if (root / candidate).is_file():
            return candidate
    return f"{path}/" if (root / path).is_dir() and path.split("/")[0] in ("seqvae", "data_gen") else None


def violations(root: Path) -> list[str]:
    """One sentence for each import, or file, that the layers do not allow."""
    found = []
    for file in sorted([*root.glob("seqvae/**/*.py"), *root.glob("data_gen/**/*.py")]):
        name = file.relative_to(root).as_posix()
        package, _, inner = name.partition("/")
        if package == "seqvae" and place(inner) not in LAYER_OF:
            found.append(
                f"{name} is in no layer: give it one in tests/test_layers.py and in docs/architecture.md"
            )
            continue
        for line, module in imports(file, root):
            reason = wrong(name, module, root)
            if reason:
                found.append(f"{name}:{line} imports {module}: {reason}")
    return found


def wrong(name: str, module: str, root: Path) -> str | None:
    """Why the file called name must not import module, or None."""
    package, _, inner = name.partition("/")
    top = module.split(".")[0]
    target = locate(module, root) or module.replace(".", "/") + ".py"
    target_inner = target.partition("/")[2] or "__init__.py"

    if top in PLACES and not any(name == f"{p}.py" or name.startswith(f"{p}/") for p in PLACES[top]):
        return f"{top} lives in {', '.join(PLACES[top])}"

    if package == "data_gen":
        if top in ("torch", "seqvae"):
            return "data_gen stands alone, without torch and seqvae"
        if place(inner) in EDGE:
            return None
        if top == "data_gen":
            return "the core does not need the edge" if place(target_inner) in EDGE else None
        is_core = top in {*CORE_PACKAGES, *PLACES} or top in sys.stdlib_module_names
        return None if is_core else f"the core of data_gen uses only {', '.join(sorted(CORE_PACKAGES))}"

    here = place(inner)
    if module == "data_gen":
        return None  # its root holds the version of both packages and nothing else
    if top == "data_gen":
        allowed = USES_DATA_GEN.get(here)
        if allowed is None:
            return f"in seqvae only {', '.join(USES_DATA_GEN)} may use data_gen"
        if allowed == "core" and place(target_inner) in EDGE - SHARED:
            return f"{here} may use data_gen's core, not its edge"
    if top == "seqvae":
        there = place(target_inner)
        if there not in LAYER_OF:
            return "that is in no layer"
        if LAYER_OF[there] > LAYER_OF[here]:
            return f"layer {LAYER_OF[here]} does not import layer {LAYER_OF[there]}"
        if here in PARTS and there in PARTS and here != there:
            return "frames, posteriors, dynamics and rewards never import each other"
    return None


def test_every_import_keeps_to_the_layers():
    assert any(ROOT.glob("seqvae/**/*.py")) and any(ROOT.glob("data_gen/**/*.py"))
    found = violations(ROOT)
    assert not found, "\n" + "\n".join(found)


ALLOWED = {
    "seqvae/objectives.py": "from seqvae.sequence import filter\nfrom seqvae.types import Terms",
    "seqvae/sequence.py": "import torch",
    "seqvae/types.py": "from .layout import StateLayout",
    "seqvae/layout.py": "from data_gen import __version__",
    "seqvae/frames/__init__.py": "",
    "seqvae/frames/supair.py": "from . import glimpses\nfrom ..nn import conv",
    "seqvae/frames/glimpses.py": "",
    "seqvae/nn/__init__.py": "",
    "seqvae/nn/conv.py": "",
    "seqvae/data/reader.py": "import h5py\nfrom data_gen import schema",
    "seqvae/cli/train.py": "from data_gen.preview import sheet\nfrom seqvae import frames",
    "data_gen/__init__.py": "",
    "data_gen/cli/run.py": "import hydra",
    "data_gen/hdf5.py": "import math\nimport h5py\nimport numpy as np",
    "data_gen/schema.py": "from data_gen import hdf5",
    "data_gen/preview.py": "import matplotlib\nfrom data_gen import schema",
    "data_gen/drawing/handwriting.py": "def load():\n    from sklearn.datasets import load_digits",
    "data_gen/media/writing.py": "from moviepy import VideoClip",
    "seqvae/video/drawing.py": "from data_gen.media import writing",
    "seqvae/play/page.py": "from tornado.web import Application\nfrom data_gen.media import overlays",
}

PLANTED = {
    "upwards": ("seqvae/nn/conv.py", "from seqvae.sequence import filter"),
    "upwards, relative": ("seqvae/nn/conv.py", "from .. import sequence"),
    "upwards, within a function": ("seqvae/nn/conv.py", "def f():\n    import seqvae.sequence"),
    "the root package": ("seqvae/objectives.py", "import seqvae"),
    "one part from another": ("seqvae/dynamics/graph.py", "from seqvae.frames import supair"),
    "hydra in a command of seqvae": ("seqvae/cli/train.py", "import hydra"),
    "hydra in a model": ("seqvae/frames/supair.py", "from hydra.utils import instantiate"),
    "moviepy in metrics": ("seqvae/metrics.py", "import moviepy.editor"),
    "h5py in evaluate": ("seqvae/evaluate.py", "import h5py"),
    "tornado in a command": ("seqvae/cli/play.py", "from tornado.ioloop import IOLoop"),
    "bokeh in a command": ("seqvae/cli/train.py", "from bokeh.server.server import Server"),
    "PyAV in data": ("seqvae/data/reader.py", "import av"),
    "bokeh in evaluate": ("seqvae/evaluate.py", "import bokeh.plotting"),
    "jinja2 in a command": ("seqvae/cli/train.py", "import jinja2"),
    "moviepy in video": ("seqvae/video/drawing.py", "import moviepy"),
    "data_gen in metrics": ("seqvae/metrics.py", "from data_gen import schema"),
    "data_gen's edge in data": ("seqvae/data/reader.py", "from data_gen.preview import sheet"),
    "torch in data_gen": ("data_gen/physics/forces.py", "import torch"),
    "seqvae in data_gen's edge": ("data_gen/preview.py", "import seqvae.video"),
    "data_gen's edge in its core": ("data_gen/physics/forces.py", "from .. import preview"),
    "an optional package in the core": ("data_gen/physics/forces.py", "import scipy"),
    "scikit-learn in a simulator": ("data_gen/sims/digits.py", "import sklearn"),
    "pytest in a check": ("seqvae/contracts/models.py", "import pytest"),
    "a file in no layer": ("seqvae/utils.py", ""),
}


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_allowed_imports_pass(tmp_path):
    plant(tmp_path, ALLOWED)
    assert violations(tmp_path) == []


@pytest.mark.parametrize(("name", "text"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_violation_is_found(tmp_path, name, text):
    plant(tmp_path, ALLOWED | {name: text})
    found = violations(tmp_path)
    assert len(found) == 1 and found[0].startswith(name)
