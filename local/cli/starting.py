"""Makes the stack that a command needs, from the checkout's template."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from local.cli.problems import Problem
from local.functions.intrinsics import TemplateError
from local.functions.template import Template, read
from local.provider import Provider
from local.stack import TEMPLATE, Stack, StackError, run
from local.tables import TablesError


def template() -> Template:
    """The checkout's template.

    Raises:
        Problem: it is not there or cannot be read.
    """
    try:
        return read(TEMPLATE)
    except TemplateError as error:
        raise Problem(str(error)) from error


def launch(
    provider: Provider, work: Callable[[Stack], Awaitable[int]], *, interrupted: int = 130, **options: Any
) -> int:
    """Start a stack of the checkout's template, do the work, stop it all; returns the exit code.

    Raises:
        Problem: the stack did not start, or a part of it ended by itself.
    """
    stack = Stack(template(), provider, **options)
    try:
        return asyncio.run(run(stack, work, interrupted=interrupted))
    except (StackError, TablesError) as error:
        raise Problem(str(error)) from error


def need_grading(stack: Stack) -> str:
    """The grading function's URL.

    Raises:
        Problem: it does not start.
    """
    if "grading" in stack.broken:
        raise Problem(f"the grading function does not start:\n{stack.broken['grading']}")
    return stack.urls["grading"]
