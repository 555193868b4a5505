"""What every test gets: checked shapes, few threads, fixed seeds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

# Before any test imports seqvae: from here on each call checks the shapes in its annotations.
# To beartype an int is then a float as well, as PEP 484 has it.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
jaxtyping.install_import_hook(["seqvae"], CHECKER)
torch.set_num_threads(1)  # such small tensors take longer to hand to a second thread than to work on


@pytest.fixture(autouse=True)
def fixed_seed():
    """Each test starts from the same torch seed, so it does not depend on the tests before it."""
    torch.manual_seed(0)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium of the system, for one module: while it is open, no other event loop can run."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are driven by playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with trajectories of the reference implementation; the test skips where there is none."""
    folder = os.environ.get("SEQVAE_REFERENCE")
    if not folder:
        pytest.skip("SEQVAE_REFERENCE is unset")
    return Path(folder)
