#!/bin/sh
# What the Lambda Web Adapter's layer does: the adapter beside the web server, in the same environment.
"$BENCH_ADAPTER" &
exec "$BENCH_PYTHON" "$LAMBDA_TASK_ROOT/serve_fastapi.py"
