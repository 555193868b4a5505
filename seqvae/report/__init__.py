"""Pages to look at: the report of a run, and the comparison of several, each one HTML file.

read.py, evaluation.py and training.py read a run's files into records; pictures.py draws what a model sees;
figures.py plots with Bokeh; page.py fills the templates; report.py and compare.py are the two pages.
"""

from __future__ import annotations

from importlib.util import find_spec

from seqvae.errors import UserError

PACKAGES = ("bokeh", "jinja2")


def require_packages() -> None:
    """Raise UserError where the packages of the extra `report` are missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f'pages need {" and ".join(missing)}: pip install "seqvae[report]"')
