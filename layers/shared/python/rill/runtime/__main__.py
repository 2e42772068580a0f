"""`python -m rill.runtime`: what the exec wrapper starts in place of AWS's runtime."""

import os
import sys

from rill.runtime.log import log
from rill.runtime.loop import run
from rill.runtime.settings import NotOnLambda, Settings


def main() -> int:
    try:
        settings = Settings.from_env(os.environ)
    except NotOnLambda as error:
        log("ERROR", f"this is started by Lambda: {error}")
        return 1
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
