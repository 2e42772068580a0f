"""Reading many runs, and what belongs to each, a few at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from rill.stores.queries import MAX_EVALUATED as PAGE_EVALUATED
from rill.stores.queries import Position, RunFilter, RunQueryStore, RunSummary
from rill.stores.runs import RunRecord

A = TypeVar("A")
B = TypeVar("B")

AT_ONCE = 8
"""boto3 keeps ten connections open."""

_PAGES = 10

MAX_EVALUATED = _PAGES * PAGE_EVALUATED
"""Runs that one request looks at, those included that its filter drops: below a second of queries."""


async def collect(runs: RunQueryStore, wanted: RunFilter, most: int) -> tuple[list[RunSummary], bool]:
    """The newest `most` runs, newest first, and whether there may be more."""
    found: list[RunSummary] = []
    start: Position | None = None
    for _ in range(_PAGES):
        page = await runs.page(wanted, limit=most - len(found), start=start)
        found += page.items
        start = page.next
        if start is None or len(found) == most:
            break
    return found, start is not None


async def each(function: Callable[[A], Awaitable[B]], items: Sequence[A]) -> list[B]:
    """The function's answers for all items, in their order."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(item: A) -> B:
        async with places:
            return await function(item)

    return await asyncio.gather(*map(one, items))


async def with_results(runs: RunQueryStore, found: Sequence[RunSummary]) -> AsyncIterator[RunRecord]:
    """The runs with their results, in their order; those that have gone meanwhile are left out.

    Results may be large: who keeps only what is needed of each has few of them in memory at a time.
    """
    for at in range(0, len(found), AT_ONCE):
        for record in await each(lambda run: runs.get(run.run_id), found[at : at + AT_ONCE]):
            if record is not None:
                yield record
