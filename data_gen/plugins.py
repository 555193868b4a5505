"""Plugins: modules and files of the user, and of installed packages, that register parts, worlds and metrics.

A plugin is code that runs when it is loaded. It is loaded because the person at the keyboard names it
(`load_plugins`), or because it is installed under the entry point group `seqvae.plugins` (`load_installed`).
The plugins that a checkpoint, a run folder or a data file names are information for people, and nothing here
reads them (docs/adr/0009-plugins.md).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import keyword
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from data_gen.errors import DataError

GROUP = "seqvae.plugins"  # of entry points; the value of each is a module
FULL_ERROR = "SEQVAE_FULL_ERROR"  # environment variable: 1 shows the traceback of a plugin that fails
OWN = ("seqvae", "data_gen")

_registered: dict[tuple[str, str], Any] = {}  # kind, dotted name -> the import that registered it
_origins: dict[str, str | None] = {}  # dotted name of a foreign part -> its plugin, as it was named
_loaded: set[str] = set()  # modules
_loading: list[str] = []  # plugins that are being imported, as they were named


class PluginError(DataError):
    """A plugin that cannot be loaded: one line that names it, its fault and the remedy."""


def note_registration(part: Callable[..., Any], kind: str) -> str:
    """Return the dotted name under which a decorator registers a part of a kind, and remember its plugin.

    Raises:
        DataError: the same import has registered the name before. A module that is imported anew, as
            notebooks do, replaces its parts.
    """
    name = f"{part.__module__}.{part.__qualname__}"
    source = getattr(sys.modules.get(part.__module__), "__spec__", None)  # anew in every import
    if source is not None and _registered.get((kind, name)) is source and "<locals>" not in name:
        raise DataError(f"{name} is already registered; give one of the two another name")
    _registered[kind, name] = source
    if _top(name) not in OWN:
        _origins[name] = _loading[-1] if _loading else None
    return name


def plugin_of(name: str) -> str | None:
    """Return the plugin that registered a dotted name, as it was named; None for none."""
    return _origins.get(name)


def from_same_package(name: str) -> list[str]:
    """Return the registered names of the package or file to which a dotted name belongs."""
    return [other for other in _origins if _top(other) == _top(name)]


def load_plugins(names: Any) -> None:
    """Import plugins, each once: modules ("my_lab.models"), and files or packages by path ("./my_model.py").

    A file is imported under its stem, and its folder joins the end of Python's path, so that the processes
    that unpickle its objects find it as well.

    Raises:
        PluginError: a plugin is missing, has the name of another module, raises an exception or registers
            nothing. With SEQVAE_FULL_ERROR=1 its own exception is raised instead.
    """
    for name in plugin_names(names):
        try:
            _load(name)
        except PluginError as error:
            if os.environ.get(FULL_ERROR) == "1" and error.__cause__ is not None:
                raise error.__cause__ from None
            raise


def plugin_names(value: Any) -> list[str]:
    """Return the value of the key `plugins` as a list of names; a single name stands for a list of one.

    Raises:
        PluginError: it is something else.
    """
    if value is None:
        return []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name for name in names):
        raise PluginError(
            f"plugins={value}: expected modules and files: plugins=[my_lab.models,./my_model.py]"
        )
    return list(names)


@functools.cache
def load_installed() -> tuple[str, ...]:
    """Load the plugins of installed packages; return one line for each that cannot be loaded."""
    faults = []
    for entry in sorted(entry_points(group=GROUP)):
        try:
            _load(entry.module)
        except PluginError as error:
            faults.append(f"the installed {error}")
    return tuple(faults)


def load_for(targets: Sequence[str]) -> tuple[str, ...]:
    """Load the plugins of installed packages, as above, if one of the parts is foreign and not registered."""
    missing = [name for name in targets if _top(name) not in OWN and name not in _origins]
    return load_installed() if missing else ()


def _load(name: str) -> None:
    module = _find(name)
    if module in _loaded:
        return
    _loading.append(name)
    before = list(_origins)
    try:
        _import(name, module)
    finally:
        _loading.pop()
    own = from_same_package(module)
    if not own and list(_origins) == before:
        raise PluginError(
            f"plugin {name}: registers nothing; put @register(KIND) above a part, or @register above a world"
        )
    for part in own:  # also those of an import before this one
        _origins[part] = _origins[part] or name
    _loaded.add(module)


def import_code(name: str) -> ModuleType:
    """Import a module, or a file or package by path, that the user names; it need not register anything.

    Raises:
        PluginError: it is missing, or raises an exception.
    """
    return _import(name, _find(name))


def _import(name: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a script that ends itself is no plugin
        raise _fault(name, module, error) from error


def _find(name: str) -> str:
    """Return the name under which Python imports a module, or a file or package by path."""
    is_file = name.endswith(".py") or "/" in name or os.sep in name
    return _find_file(name) if is_file else _find_module(name)


def _find_module(name: str) -> str:
    """Return the name of a module; the current folder joins the end of Python's path, for console scripts."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise PluginError(f"plugin {name}: is no name of a module; write a file as ./{name}.py")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    return name


def _find_file(name: str) -> str:
    """Return the name under which Python imports a file, or a folder with __init__.py."""
    path = Path(name).expanduser()
    file = path / "__init__.py" if path.is_dir() else path
    if not file.is_file():
        what = "has no __init__.py; name a file in it" if path.is_dir() else "no such file"
        raise PluginError(f"plugin {name}: {what}")
    path, file = path.absolute(), file.resolve()
    module, folder = path.stem, str(path.parent)
    if path.suffix not in (".py", "") or not module.isidentifier() or keyword.iskeyword(module):
        raise PluginError(
            f"plugin {name}: {path.name} cannot be imported; name it with letters, digits and _, and .py"
        )
    is_new = folder not in sys.path
    if is_new:
        sys.path.append(folder)
    importlib.invalidate_caches()
    other = _origin_of(module)
    if other is None or other != file:
        if is_new:
            sys.path.remove(folder)
        where = "built in" if other is None else str(other)
        raise PluginError(f"plugin {name}: there is another module {module} ({where}); rename the file")
    return module


def _origin_of(module: str) -> Path | None:
    """Return the file that Python imports for a module; None without one."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return None if file is None else Path(file).resolve()
    spec = importlib.util.find_spec(module)
    is_file = spec is not None and spec.origin is not None and spec.has_location
    return Path(str(spec.origin)).resolve() if spec is not None and is_file else None


def _fault(name: str, module: str, error: BaseException) -> PluginError:
    """Return the one line for an exception during the import of a plugin."""
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        return PluginError(
            f"plugin {name}: there is no module {error.name}; install its package, start in its folder, or "
            "name a file, plugins=[./FILE.py]"
        )
    if isinstance(error, SyntaxError):
        file, line, words = error.filename, error.lineno, error.msg
    else:
        file, line = _place(error.__traceback__)
        words = str(error).strip().partition("\n")[0]
    kind = "" if isinstance(error, DataError) else f"{type(error).__name__}: "
    shown = os.path.relpath(file) if file and Path(file).is_relative_to(Path.cwd()) else file
    return PluginError(f"plugin {name}: {shown}, line {line}: {kind}{words} ({FULL_ERROR}=1 shows more)")


def _place(trace: TracebackType | None) -> tuple[str | None, int | None]:
    """Return file and line of the last call in the plugin's own folder, where its import began."""
    here = str(Path(__file__).resolve())
    frames = [f for f in traceback.extract_tb(trace) if "importlib" not in f.filename and f.filename != here]
    if not frames:
        return None, None
    folder = Path(frames[0].filename).parent
    last = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)][-1]
    return last.filename, last.lineno


def _top(name: str) -> str:
    return name.partition(".")[0]


def needed_plugins(given: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Return the plugins that a config names, then those of installed packages whose parts it uses."""
    load_for(targets)
    used = [plugin for target in targets if (plugin := plugin_of(target)) is not None]
    return list(dict.fromkeys([*given, *used]))


def remedy(target: str, recorded: Sequence[str]) -> str:
    """Return the end of a message on a part that is missing: the plugin with which it was made.

    recorded: plugins that a file names, by which nothing is loaded
    """
    own = [name for name in recorded if _top(target) in (_top(name), Path(name).stem)] or list(recorded)
    if not own:
        return "add the module or file that registers it, plugins=[MODULE or ./FILE.py]"
    return f"it was made with the plugin {', '.join(own)}: add plugins=[{','.join(own)}]"
