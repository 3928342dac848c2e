"""`py.typed` promises type hints: every public function says what it takes and what it returns."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PATHS = sorted(path for package in ("mtcnn_tf", "data_prep") for path in (ROOT / package).rglob("*.py"))


def without_hints(tree):
    """Names of the public functions, and methods of public classes, in a module that lack a hint."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (f"{node.name}.{name}" for name in without_hints(node))
        elif isinstance(node, ast.FunctionDef) and (node.name in ("__init__", "__call__") or node.name[0] != "_"):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            bare = [a.arg for a in named if a and a.annotation is None and a.arg not in ("self", "cls")]
            if bare or (node.returns is None and node.name != "__init__"):
                yield f"{node.name}({', '.join(bare)})"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_have_type_hints(path):
    assert list(without_hints(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_a_missing_hint_is_seen():
    text = "class A:\n def f(self, x) -> int: ...\n def _g(self, x): ...\ndef h(x: int): ...\ndef i() -> int: ..."
    assert list(without_hints(ast.parse(text))) == ["A.f(x)", "h()"]
