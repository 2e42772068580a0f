#!/bin/sh
# The smallest runtime: what an environment costs with nothing but Python in it.
exec "$1" "$LAMBDA_TASK_ROOT/runtime_floor.py"
