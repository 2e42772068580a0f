#!/bin/sh
# Is there a Python that can make the virtual environment? If not, say which package is missing.
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null 2>&1; then
    echo "$python was not found. Rill needs Python 3.11 or newer." >&2
    echo "On Debian or Ubuntu: sudo apt-get install python3 python3-venv" >&2
    echo "Another one: make PYTHON=/path/to/python …" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is $("$python" -V 2>&1). Rill needs Python 3.11 or newer." >&2
    echo "On Debian 12 or newer: sudo apt-get install python3 python3-venv" >&2
    echo "Another one: make PYTHON=/path/to/python …" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python cannot make virtual environments: its venv module is missing." >&2
    echo "On Debian or Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
fi
