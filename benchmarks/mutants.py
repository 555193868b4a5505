"""Mutants of a module: their enumeration, and their exchange for code that is already imported.

The operators are those of cosmic-ray (pip install cosmic-ray==8.7.0), without replacements that only raise a
TypeError, and two more for code on arrays: a method call without arguments is left out (x.exp() -> x), and
the first two of several arguments are exchanged (kl(q, p) -> kl(p, q)) if that makes a difference. mutmut is
no alternative, since it leaves out decorated functions and module-level code: all likelihoods and constants.

Nothing is mutated in annotations, imports, decorators, `raise` statements (the texts of errors), `__all__`
and `__repr__`: a change there alters no number, or fails when the module is imported.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parso  # pyright: ignore[reportMissingImports]
from cosmic_ray import plugins  # pyright: ignore[reportMissingImports]
from cosmic_ray.ast import ast_nodes, get_ast  # pyright: ignore[reportMissingImports]
from cosmic_ray.mutating import mutate_code  # pyright: ignore[reportMissingImports]
from cosmic_ray.operators.operator import Operator  # pyright: ignore[reportMissingImports]

BINARY = {
    "Add": ("Sub", "Mul"),
    "Sub": ("Add",),
    "Mul": ("Div", "Add"),
    "Div": ("Mul",),
    "Pow": ("Mul",),
    "FloorDiv": ("Mul",),
    "Mod": ("FloorDiv",),
    "BitOr": ("BitAnd",),
    "BitAnd": ("BitOr",),
}
COMPARISON = {
    "Lt": ("LtE", "Gt"),
    "LtE": ("Lt", "GtE"),
    "Gt": ("GtE", "Lt"),
    "GtE": ("Gt", "LtE"),
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
OTHERS = (
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceUnaryOperator_Delete_Not",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "NumberReplacer",
    "ZeroIterationForLoop",
)
SYMMETRIC = {"max", "min", "maximum", "minimum", "gaussian_log_density"}  # in the first two arguments
SKIPPED = {"raise_stmt", "import_name", "import_from", "decorator"}
PLAIN = (bool, int, float, str, tuple, list, dict, set, frozenset, type(None))


class LeaveOutCall(Operator):
    """x.method() -> x."""

    def mutation_positions(self, node):
        for name, call in self._calls(node):
            yield name.start_pos, call.end_pos

    def mutate(self, node, index):
        name, call = self._calls(node)[index]
        node.children = [child for child in node.children if child not in (name, call)]
        return node

    @staticmethod
    def _calls(node):
        if node.type not in ("atom_expr", "power"):
            return []
        pairs = zip(node.children[1:], node.children[2:], strict=False)
        return [
            (name, call)
            for name, call in pairs
            if name.get_code().strip().startswith(".") and call.get_code() == "()"
        ]

    @classmethod
    def examples(cls):
        return ()


class ExchangeArguments(Operator):
    """f(a, b, ...) -> f(b, a, ...), where both are given by position."""

    def mutation_positions(self, node):
        if self._fits(node):
            yield node.children[0].start_pos, node.children[2].end_pos

    def mutate(self, node, index):
        first, _, second, *_ = node.children
        at = node.children.index(second)
        node.children[0], node.children[at] = second, first
        return node

    @staticmethod
    def _fits(node):
        if node.type != "arglist" or len(node.children) < 3:
            return False
        first, _, second = node.children[:3]
        if "argument" in (first.type, second.type):  # by name, or unpacked
            return False
        called = node.parent.get_previous_sibling()
        if called is not None and called.get_code().strip().lstrip(".") in SYMMETRIC:
            return False
        return first.get_code().strip() != second.get_code().strip()

    @classmethod
    def examples(cls):
        return ()


def operators() -> dict[str, Operator]:
    names = [f"ReplaceBinaryOperator_{a}_{b}" for a, to in BINARY.items() for b in to]
    names += [f"ReplaceComparisonOperator_{a}_{b}" for a, to in COMPARISON.items() for b in to]
    standard = {name: plugins.get_operator(f"core/{name}")() for name in [*names, *OTHERS]}
    return standard | {"LeaveOutCall": LeaveOutCall(), "ExchangeArguments": ExchangeArguments()}


OPERATORS = operators()


@dataclass(frozen=True)
class Mutant:
    """One changed module.

    path: of the module, relative to the repository
    operator: name of the change
    lines: first and last line of the statement that is changed
    code: the whole mutated module
    """

    path: str
    operator: str
    lines: tuple[int, int]
    code: str

    def change(self, source: str) -> tuple[str, str]:
        """Return the lines that differ, before and after, without surrounding white space."""
        old, new = source.splitlines(), self.code.splitlines()
        steps = difflib.SequenceMatcher(None, old, new, False).get_opcodes()
        _, a, b, c, d = next(step for step in steps if step[0] != "equal")
        return " ".join(x.strip() for x in old[a:b]), " ".join(x.strip() for x in new[c:d])


@dataclass(frozen=True)
class Site:
    """A place in a module where an operator applies, by its number of occurrence."""

    path: Path
    operator: str
    occurrence: int
    lines: tuple[int, int]

    def mutant(self, root: Path) -> Mutant | None:
        """Return the mutant, or None if the change gives no program or the same one."""
        source = self.path.read_text()
        code = mutate_code(source, OPERATORS[self.operator], self.occurrence)
        if code is None or code == source or not _compiles(code):
            return None
        return Mutant(str(self.path.relative_to(root)), self.operator, self.lines, code)


def sites(path: Path) -> Iterator[Site]:
    """Yield every place in a module that may be changed, by operator and position."""
    nodes = list(ast_nodes(get_ast(path.read_text())))
    for name, operator in OPERATORS.items():
        places = [node for node in nodes for _ in operator.mutation_positions(node)]
        for occurrence, node in enumerate(places):
            if not _is_skipped(node):
                yield Site(path, name, occurrence, _lines(node))


def _is_skipped(node: Any) -> bool:
    while node.parent is not None:
        parent = node.parent
        annotated = parent.type in ("annassign", "tfpdef") and node is parent.children[1]
        annotated = annotated or (parent.type == "tfpdef" and node is not parent.children[0])
        returns = parent.type == "funcdef" and node is parent.annotation
        hidden = parent.type == "funcdef" and parent.name.value == "__repr__"
        listed = parent.type == "expr_stmt" and parent.get_code().strip().startswith("__all__")
        if annotated or returns or hidden or listed or node.type in SKIPPED:
            return True
        node = parent
    return False


def _lines(node: Any) -> tuple[int, int]:
    """Return the lines of the innermost statement around a node, or the head of a compound statement."""
    while node.parent is not None and node.parent.type not in ("simple_stmt", "suite", "file_input"):
        if isinstance(node, parso.python.tree.Flow) or node.type == "funcdef":
            break
        node = node.parent
    body = getattr(node, "children", [node])
    end = body[-1].start_pos[0] if body[-1].type in ("suite", "simple_stmt") else node.end_pos[0]
    return node.start_pos[0], max(end, node.start_pos[0])


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def apply(mutant: Mutant) -> None:
    """Exchange the code of the mutant's module, which is already imported.

    Functions keep their identity and get new code and defaults, so existing references, classes and instances
    run the mutant. Changed constants are replaced wherever they were imported by name.
    """
    name = mutant.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    old = sys.modules[name]
    new = types.ModuleType(name)
    new.__file__, new.__package__ = old.__file__, old.__package__
    exec(compile(mutant.code, str(old.__file__), "exec"), new.__dict__)
    for key, value in vars(new).items():
        before = vars(old).get(key)
        if key.startswith("__"):
            continue
        if isinstance(value, PLAIN):
            if value != before:
                _replace_everywhere(key, before, value)
        elif getattr(value, "__module__", None) == name:
            _transplant(before, value)


def _replace_everywhere(key: str, before: Any, value: Any) -> None:
    for module in list(sys.modules.values()):
        if module is not None and vars(module).get(key, module) is before:
            setattr(module, key, value)


def _transplant(old: Any, new: Any) -> None:
    if isinstance(new, type):
        for key, value in vars(new).items():
            before = vars(old).get(key)
            if isinstance(value, PLAIN):
                if value != before and key not in ("__module__", "__doc__", "__qualname__"):
                    setattr(old, key, value)
            else:
                _transplant(before, value)
    elif isinstance(new, property):
        _transplant(old.fget, new.fget)
    elif isinstance(new, staticmethod | classmethod):
        _transplant(old.__func__, new.__func__)
    elif isinstance(new, functools._lru_cache_wrapper):
        old.cache_clear()
        _transplant(old.__wrapped__, new.__wrapped__)
    elif isinstance(new, types.FunctionType):
        old, new = inspect.unwrap(old), inspect.unwrap(new)
        if old.__code__.co_freevars == new.__code__.co_freevars:
            old.__code__ = new.__code__
        old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__
