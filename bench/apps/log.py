"""Writes a run that has ended, with its log as a real one of so many events would be: `log.py RUN EVENTS`."""

import asyncio
import os
import sys
from dataclasses import replace

from rill import sse
from rill.events import Chunk
from rill.stores.dynamo import Dynamo
from rill.stores.runs import Batch, RunRecord, RunStore, Unwritten, now_ms

EVENTS_A_BATCH = 25
"""At 100 tokens a second and a write every 250 ms."""


async def write(run_id: str, events: int) -> None:
    store = RunStore(Dynamo(), os.environ["RILL_RUNS_TABLE"])
    record = RunRecord(
        run_id=run_id,
        session_id="bench",
        workflow="text",
        request_id="bench",
        mode="text",
        state="running",
        created_at=now_ms(),
        owner="bench",
        lease_until=now_ms() + 60_000,
        result={"text": "whole"},
    )
    await store.begin(record)
    for first in range(1, events + 1, EVENTS_A_BATCH):
        last = min(first + EVENTS_A_BATCH - 1, events)
        frames = b"".join(
            sse.encode(seq, Chunk(step="answer", content=f"w{seq % 10}rd ")) for seq in range(first, last + 1)
        )
        batch = Batch(first=first, last=last, frames=frames)
        await store.append(replace(record, last_seq=last), Unwritten(batch=batch))
    await store.finish(replace(record, state="complete", last_seq=events, ended_at=now_ms()))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2])))
