"""Byte code for the target Python, so that no cold start has to compile."""

import subprocess
import sys
from pathlib import Path

from local.layers.target import BuildError, Target

_WARNING = """\
************************************************************************
* NO PYTHON {version} ON THIS MACHINE: {layer} gets no byte code.
* The layer works, but cold starts compile all they import and take
* about twice as long. Install Python {version}, or name one in
* RILL_TARGET_PYTHON, before you deploy.
************************************************************************"""


def compile_all(layer: Path, target: Target) -> bool:
    """Compile `layer`/python for the target; says so loudly, and returns False, where it cannot.

    The files are `unchecked-hash`: Lambda unpacks layers read-only with times of its own, and byte code
    that goes by a source's time would be compiled again on each cold start.
    https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation

    Raises:
        BuildError: a source does not compile.
    """
    if target.python is None:
        print(_WARNING.format(version=target.version, layer=layer.name), file=sys.stderr, flush=True)
        return False
    python = layer / "python"
    # -s and -p: the files name the path on Lambda, and are the same wherever they are built.
    options = ["-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(layer), "-p", "/opt"]
    run = subprocess.run(
        [str(target.python), "-I", "-m", "compileall", *options, str(python)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BuildError(f"Python {target.version} cannot compile it: {run.stdout}{run.stderr}")
    return True
