"""SnapStart: the function's hooks before the snapshot and after the restore.

The managed runtime brings the registry (`snapshot_restore_py`) that functions register their hooks with;
its own start-up code, which would run them, is the one Rill's takes the place of.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html
"""

import importlib
import random
from collections.abc import Callable, Iterable
from typing import Any

Hook = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def before_snapshot() -> None:
    """Run the hooks, the last one registered first. Raises what they raise."""
    _run(reversed(_registered("get_before_snapshot")))


def after_restore() -> None:
    """Run the hooks in the order they were registered. Raises what they raise."""
    random.seed()  # all processes of one snapshot would draw the same numbers, and wait alike
    _run(_registered("get_after_restore"))


def _run(hooks: Iterable[Hook]) -> None:
    for function, positional, named in hooks:
        function(*positional, **named)


def _registered(getter: str) -> list[Hook]:
    try:
        registry = importlib.import_module("snapshot_restore_py")
    except ModuleNotFoundError:
        return []
    return list(getattr(registry, getter)())
