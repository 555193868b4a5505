"""One HTML file from a template: everything is inside it, and nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seqvae.io import atomic_write

BUNDLE = "bokeh"  # of Bokeh's scripts; its widgets, tables and TeX are not needed


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("seqvae.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    # Bokeh defines a model where it occurs first, so the order is part of its JSON
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    return environment


def render(template: str, content: Mapping[str, Any]) -> str:
    """Return a page. All texts are escaped; a policy in its head lets no script run but those of this file.

    template: name of a file in templates/
    content: values for the template
    """
    environment = _environment()
    scripts = [bokeh_script(), _source("page.js")]
    policy = "; ".join([
        "default-src 'none'",
        "img-src data: blob:",
        "media-src data:",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
        f"script-src {' '.join(_hash(script) for script in scripts)}",
    ])  # fmt: skip
    shared = {"policy": policy, "scripts": [Markup(s) for s in scripts], "style": Markup(_source("page.css"))}
    return environment.get_template(template).render({**content, **shared})


def write_page(path: Path, text: str) -> None:
    """Write a page completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda file: file.write(text.encode()))


@lru_cache(maxsize=1)
def bokeh_script() -> str:
    """Return the script of Bokeh, without its settings of the page."""
    (script,) = Resources(mode="inline", components=[BUNDLE], minified=True).js_raw[:1]
    return re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE).replace("\r", "")


def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
