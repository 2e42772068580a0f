"""A log of one item per event, and a resume that reads them one by one: `each.py RUN EVENTS ROUNDS`.

Prints {"ms": [...], "calls": n}: what each reading took, and the calls of one.
"""

import json
import os
import sys
import time

import boto3


def main():
    run, events, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource = boto3.resource("dynamodb")
    table = resource.Table(os.environ["RILL_RUNS_TABLE"])
    with table.batch_writer() as batch:
        for number in range(1, events + 1):
            frame = f'id: {number}\ndata: {{"type":"chunk","step":"answer","content":"word "}}\n\n'
            batch.put_item(Item={"run_id": run, "sk": f"EVENT#{number:010d}", "frames": frame})
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        calls, size = 0, 0
        for number in range(1, events + 1):
            item = table.get_item(Key={"run_id": run, "sk": f"EVENT#{number:010d}"}, ConsistentRead=True)
            calls, size = calls + 1, size + len(item["Item"]["frames"])
        took.append((time.perf_counter() - began) * 1000)
    print(json.dumps({"ms": took, "calls": calls}))


main()
