"""A short question to a function, asked again where the answer was lost."""

import sys
from typing import Any

from local.cli.client import Ask, Client
from local.cli.following import Following, Patience
from local.cli.render import Silent
from local.cli.target import Target


class Notes(Silent):
    """Says on standard error when an answer takes a second try."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


async def ask(target: Target, what: Ask, patience: Patience | None = None) -> dict[str, Any]:
    """The answer's document; what is asked has to be safe to ask twice. Raises as `Following.start` does."""
    async with Client(target) as client:
        return await Following(client, Notes(), patience).document(what)
