"""Imports point one way, and a function can be deployed without its neighbours."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "layers/shared/python/rill"
FUNCTIONS = ROOT / "functions"

# Which modules of rill a module of rill may import, itself aside. One that is missing here fails a test, so
# that whoever adds one decides where it stands.
_BASE = {"", "errors"}  # "" is rill itself, with the version
_PURE = _BASE | {"events", "sse", "sections", "channel", "pipeline", "tls", "transport"}
_LIFE = _PURE | {"stores", "ledger", "run_log", "observability"}
_SERVICE = _LIFE | {"models", "runs", "follow", "queue"}
ALLOWED: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "events": _BASE,
    "sse": _BASE | {"events"},
    "sections": _BASE,
    "waiter": _BASE,
    "channel": _BASE | {"waiter"},
    "pipeline": _BASE | {"events", "channel"},
    "conformance": _BASE | {"events", "sse"},
    "transcripts": _BASE,
    "queue": _BASE,
    "initialization": _BASE,
    "tls": _BASE,
    "chunked": _BASE,
    "transport": _BASE | {"chunked", "waiter"},
    "models": _PURE,
    "stores": _PURE,
    "observability": _BASE,
    "ledger": _BASE | {"events"},
    "run_log": _BASE | {"stores"},
    "runs": _LIFE,
    "follow": _PURE | {"stores"},
    "service": _SERVICE,
    "web": _SERVICE | {"service"},
    "runtime": {"errors"},
}


def _modules(top: Path) -> list[Path]:
    return sorted(top.rglob("*.py"))


def _parts(path: Path, base: Path) -> tuple[str, ...]:
    parts = path.relative_to(base).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """Dotted names of all a module imports, also inside functions; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _imports_of(path: Path, base: Path) -> set[str]:
    parts = _parts(path, base)
    package = parts if path.name == "__init__.py" else parts[:-1]
    return set(imports(path.read_text(), package))


def _unit(name: str) -> str | None:
    """The part of rill an import is of, as ALLOWED names it; None for one outside rill."""
    first, *rest = name.split(".")
    if first != "rill":
        return None
    return rest[0] if rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file()) else ""


def test_names_of_imports_are_read_in_all_their_forms() -> None:
    source = "import a.b\nfrom c import d as e\ndef f():\n    from . import g\n    from ..h import i\n"
    assert list(imports(source, ("p", "q"))) == ["a.b", "c.d", "p.q.g", "p.h.i"]


@pytest.mark.parametrize("path", _modules(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_of_rill_import_only_what_is_below_them(path: Path) -> None:
    unit = (_parts(path, PACKAGE) or ("",))[0]
    assert unit in ALLOWED, f"{unit} has no place in the layers: give it one in this file"
    used = {found for name in _imports_of(path, PACKAGE.parent) if (found := _unit(name)) is not None}
    assert used - ALLOWED[unit] - {unit} == set()


def test_the_order_has_no_circle() -> None:
    order = {unit: allowed - {unit} for unit, allowed in ALLOWED.items()}
    placed: set[str] = set()
    while order:
        free = {unit for unit, allowed in order.items() if allowed <= placed}
        assert free, f"these import each other: {sorted(order)}"
        placed |= free
        order = {unit: allowed for unit, allowed in order.items() if unit not in free}


@pytest.mark.parametrize("path", _modules(FUNCTIONS), ids=lambda path: str(path.relative_to(FUNCTIONS)))
def test_functions_never_import_each_other(path: Path) -> None:
    functions = {child.name for child in FUNCTIONS.iterdir() if child.is_dir()}
    used = {name.split(".")[0] for name in _imports_of(path, FUNCTIONS)}
    assert used & functions <= {_parts(path, FUNCTIONS)[0]}


@pytest.mark.parametrize(
    "path",
    [*_modules(FUNCTIONS), *_modules(ROOT / "layers")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nothing_that_is_deployed_imports_what_is_not(path: Path) -> None:
    base = FUNCTIONS if path.is_relative_to(FUNCTIONS) else PACKAGE.parent
    used = {name.split(".")[0] for name in _imports_of(path, base)}
    assert used & {"local", "tests", "bench"} == set()
