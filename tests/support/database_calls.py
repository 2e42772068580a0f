"""Which DynamoDB operations a function's code calls on which table, read from its source."""

import ast
from pathlib import Path

from tests.support.built import ROOT

_STORES = ROOT / "layers/shared/python/rill/stores"


def required_variables(app: Path) -> set[str]:
    """The variables that `app` reads as `env["…"]`."""
    return {
        node.slice.value
        for node in ast.walk(ast.parse(app.read_text()))
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "env"
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    }


def of_function(app: Path) -> dict[str, set[str]]:
    """IAM actions by the variable that names the table: where `app` makes `Store(dynamo, env["…"])`."""
    by_store = _by_store()
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(app.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_store:
            table = node.args[1]
            if not (isinstance(table, ast.Subscript) and isinstance(table.slice, ast.Constant)):
                raise TypeError(f"{app}: the table of {node.func.id} is no env[...]")
            found.setdefault(str(table.slice.value), set()).update(by_store[node.func.id])
    return found


def _by_store() -> dict[str, set[str]]:
    """IAM actions by store class: what it calls itself, and what the helpers of Dynamo call for it."""
    helpers = {
        method.name: _operations(method)
        for top in ast.parse((_STORES / "dynamo.py").read_text()).body
        if isinstance(top, ast.ClassDef) and top.name == "Dynamo"
        for method in top.body
        if isinstance(method, ast.AsyncFunctionDef) and method.name != "call"
    }
    found: dict[str, set[str]] = {}
    for path in sorted(_STORES.glob("*.py")):
        for top in ast.parse(path.read_text()).body:
            if isinstance(top, ast.ClassDef) and top.name.endswith("Store"):
                operations = _operations(top)
                for node in ast.walk(top):
                    if isinstance(node, ast.Attribute) and _is_dynamo(node.value):
                        operations |= helpers.get(node.attr, set())
                found[top.name] = {f"dynamodb:{_pascal(operation)}" for operation in operations}
    return found


def _operations(tree: ast.AST) -> set[str]:
    """The first arguments of `….call("…")`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call":
            first = node.args[0]
            if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                raise TypeError(f"line {node.lineno}: an operation without a literal name")
            found.add(first.value)
    if "transact_write_items" in found:  # what is in it is allowed one by one
        keys = {
            key.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Dict)
            for key in node.keys
            if isinstance(key, ast.Constant)
        }
        parts = {
            part.lower() + "_item" for part in ("Put", "Update", "Delete", "ConditionCheck") if part in keys
        }
        found = found - {"transact_write_items"} | parts
    return found


def _is_dynamo(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "_dynamo"


def _pascal(operation: str) -> str:
    return "".join(part.capitalize() for part in operation.split("_"))
