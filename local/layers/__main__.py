"""The command that the layers' Makefiles run."""

import os
import sys
from pathlib import Path

from local.layers import dependencies, shared
from local.layers.target import BuildError, Target

_LAYERS = {"dependencies": dependencies.build, "shared": shared.build}


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in _LAYERS:
        print(f"usage: python -m local.layers {'|'.join(_LAYERS)} <directory>", file=sys.stderr)
        return 2
    try:
        _LAYERS[arguments[0]](Path(arguments[1]), Target.from_env(os.environ))
    except BuildError as error:
        print(f"The layer {arguments[0]} could not be built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
