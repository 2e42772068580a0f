"""The shared layer: the package rill and the exec wrapper."""

import shutil
from pathlib import Path

from local.layers.bytecode import compile_all
from local.layers.target import BuildError, Target

SOURCE = Path(__file__).resolve().parents[2] / "layers/shared"
WRAPPER = Path("bin/rill-runtime")


def build(layer: Path, target: Target) -> None:
    """Write the layer into the directory `layer`.

    Raises:
        BuildError: a part is missing, or does not compile.
    """
    if not (SOURCE / WRAPPER).is_file():
        raise BuildError(f"there is no {SOURCE / WRAPPER}")
    shutil.copytree(
        SOURCE / "python/rill",
        layer / "python/rill",
        ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"),
        dirs_exist_ok=True,
    )
    (layer / WRAPPER).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SOURCE / WRAPPER, layer / WRAPPER)
    # Lambda execs it, and a checkout on some file systems has lost the bit.
    (layer / WRAPPER).chmod(0o755)
    compile_all(layer, target)
