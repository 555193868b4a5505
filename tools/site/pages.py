"""MkDocs hook: pages made from other files of the repository, so that nothing is written twice.

Commands and configs come from configs/*.yaml, as `--help` does; changes and the rules for contributors from
the root of the repository.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from data_gen.cli.command import CONFIGS, Command  # noqa: E402
from data_gen.cli.help import help_text  # noqa: E402
from data_gen.cli.main import COMMANDS as DATA_COMMANDS  # noqa: E402
from seqvae.cli.main import COMMANDS  # noqa: E402

FOOTER = "\n-m  "  # help_text ends with the flags that all commands have
GROUPS = {  # group of configs -> (title, sentence)
    "experiment": ("Experiments", "Recipes: model, data, stages and budget. `experiment=NAME` of `train`."),
    "model": ("Models", "`model=NAME` of `train`. [Models](models.md) explains the parts."),
    "sim": ("Worlds", "`sim=NAME` of `data_gen`, of `plan`, and of `train` with `data=online`."),
    "planner": ("Planners", "`planner=NAME` of `plan`. [Planning](planning.md) says what they search."),
    "objective": ("Objectives", "`objective=NAME` of `train`; [in Python](api/objectives.md)."),
    "optim": ("Optimisers", "`optim=NAME` of `train`."),
    "trainer": ("Trainer", "The budget and the validation of a training, `trainer.KEY=VALUE` of `train`."),
}
REQUEST = re.compile(  # of something that a browser fetches when it opens the page
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?(?:https?:)?//"""
)
FROM_ROOT = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to those of docs/."""
    pages = {"commands.md": commands_page(), "configs.md": _configs()}
    pages |= {page: _moved((ROOT / file).read_text()) for page, file in FROM_ROOT.items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuse a page that would request anything from another machine."""
    if found := REQUEST.search(output):
        raise PluginError(f"{page.file.src_uri}: requests something from another machine: {found[0]}")
    return output


def commands_page() -> str:
    """Return the page of all commands: usage, keys with their meaning and defaults, groups."""
    flags = help_text(COMMANDS["train"]).partition(FOOTER)
    parts = [
        "# Commands\n\nOptions are `key=value`. This page has the keys of `configs/COMMAND.yaml`, like "
        "`--help`; the options of a group, such as `model=stove`, are on the page [Configs](configs.md). "
        "Bad input ends with one line, which names the key or file and the remedy, and exit code 2. An "
        "installation has the commands as `seqvae` and `data_gen` too.",
        "All commands also take these flags ([Sweeps and clusters](sweeps.md)):",
        _fence("text", (flags[1] + flags[2]).strip("\n").replace("experiment/NAME", "GROUP/NAME")),
    ]
    for program, commands in (("seqvae", COMMANDS), ("data_gen", DATA_COMMANDS)):
        parts += [part for command in commands.values() for part in _command(program, command)]
    return "\n\n".join(parts) + "\n"


def _command(program: str, command: Command) -> Iterator[str]:
    """Yield heading, description, keys and groups of a command."""
    text, _, _ = help_text(command).partition(FOOTER)
    description = re.match(r"(?:# .*\n)+", text)
    assert description, f"{command.config}.yaml has no description"
    keys, _, groups = text[description.end() :].partition("Groups, GROUP=OPTION:\n")
    yield f"## {program} {command.name}"
    for line in description[0].splitlines():
        example, _, meaning = line.removeprefix("# ").partition(": ")
        yield f"`{example}`" + (f": {meaning}" if meaning else "")
    for part in re.split(r"\n\n+", keys.strip()):
        title, part = re.fullmatch(r"(?:# (.*)\n)?((?:.|\n)*)", part).groups()  # type: ignore[union-attr]
        yield from ([f"Of {title}:"] if title else [])
        yield _table(part)
    names = re.findall(r"^  (\w+)", groups.partition("\n\n")[0], re.M)
    if names:
        links = [f"[`{name}=`](configs.md#{GROUPS[name][0].lower()})" for name in names]
        yield f"Groups of options: {', '.join(links)}."


def _table(keys: str) -> str:
    """Return a table of the keys of a yaml, with defaults and the meanings that stand in comments."""
    rows, above = ["| key | default | meaning |", "|---|---|---|"], ""
    for line in keys.splitlines():
        match = re.fullmatch(r"( *)(\w+):( [^#]*?)?(?: *# (.*))?", line)
        assert match, f"{line!r} is no key with a comment"
        indent, key, value, meaning = (group or "" for group in match.groups())
        if not indent:
            above = key
        default = {"": "", "???": "*required*"}.get(value.strip(), f"`{value.strip()}`")
        rows.append(
            f"| `{above + '.' if indent else ''}{key}` | {default} | {meaning.replace('|', chr(92) + '|')} |"
        )
    return "\n".join(rows)


def _configs() -> str:
    """Return the page of all configs of all groups, folded."""
    parts = [
        "# Configs\n\nEvery group of options with the files in `configs/GROUP/`. Each value is an option: "
        "`sim.num_balls=8` of `data_gen sim=billiards`, or `model.dynamics.width=96` of `train`. "
        "[Own configs](sweeps.md#own-configs) stand in a folder of yours."
    ]
    for group, (title, sentence) in GROUPS.items():
        parts.append(f"## {title}\n\n{sentence}")
        for file in sorted((CONFIGS / group).glob("*.yaml")):
            text = file.read_text().removeprefix("# @package _global_\n").rstrip()
            body = _fence("yaml", text).replace("\n", "\n    ")
            parts.append(f'??? abstract "{group}={file.stem}"\n\n    {body}')
    return "\n\n".join(parts) + "\n"


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _moved(text: str) -> str:
    """Return a page of the root with its links as in docs/; links to other files become words."""
    text = text.replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")
    return re.sub(r"\[([^\]]*)\]\(\.github/[^)]*\)", r"\1", text)
