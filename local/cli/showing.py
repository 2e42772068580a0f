"""Shows a run in this terminal, and says at its end, or when one leaves it, how to go on."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local.cli.client import Client, Event
from local.cli.following import Following, Patience
from local.cli.problems import FAILED
from local.cli.render import Renderer, Silent
from local.cli.target import Target
from local.cli.text import clean

INTERRUPTED = 130

Work = Callable[[Following], Awaitable[Event]]


class Showing:
    """One run on the screen.

    Args:
        target: where it runs.
        request: what it was started with, where that is known: its lines stand beside their ratings.
        as_json: print the result alone.
    """

    def __init__(
        self,
        target: Target,
        request: Mapping[str, Any] | None = None,
        *,
        as_json: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._target = target
        self._request = request or {}
        self._as_json = as_json
        self._patience = patience
        self._run_id = ""

    async def show(self, work: Work) -> int:
        """Do the work and show it; returns the exit code."""
        renderer = renderer_for(self._request, as_json=self._as_json)
        try:
            async with Client(self._target) as client:
                following = Following(client, renderer, self._patience)
                try:
                    terminal = await work(following)
                finally:
                    self._run_id = following.run_id
        finally:
            renderer.close()
        return self._end(terminal)

    def _end(self, terminal: Event) -> int:
        if terminal["type"] == "complete":
            if self._as_json:
                print(json.dumps(terminal["data"], ensure_ascii=False, indent=2))
            return 0
        if self._as_json:
            said = terminal.get("message") or "the run was cancelled"
            _say(f"rill: {clean(terminal.get('code', 'cancelled'))}: {clean(said)}")
        resume = self._target.command("resume", self._run_id)
        if resume and self._run_id and terminal.get("retryable", True):
            _say(f"What is finished is kept; the rest can be done again with:\n  {resume}")
        return FAILED

    def until_left(self, work: Work) -> int:
        """The same, in a loop of its own; Ctrl-C leaves the run, which goes on."""
        try:
            return asyncio.run(self.show(work))
        except KeyboardInterrupt:
            attach = self._target.command("attach", self._run_id)
            cancel = self._target.command("cancel", self._run_id)
            if self._run_id and attach and cancel:
                _say(f"\nRun {self._run_id} goes on without you.\n{ways(attach, cancel)}")
            return INTERRUPTED


def ways(attach: str, cancel: str) -> str:
    """How to go on with a run that runs, each way on a line."""
    width = max(len(attach), len(cancel))
    return f"  {attach:{width}}   follows it\n  {cancel:{width}}   ends it"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def renderer_for(request: Mapping[str, Any], *, as_json: bool = False) -> Renderer:
    """Colours and bars on a terminal, plain lines in a pipe, nothing beside the result with `--json`."""
    if as_json:
        return Silent()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from local.cli.render_rich import RichRenderer

        return RichRenderer(request)
    from local.cli.render_plain import PlainRenderer

    return PlainRenderer(sys.stdout, request)
