"""AWS's own DynamoDB Local, as `make .tools/dynamodb-local/.made` builds it: how it is started.

It prints the address it listens on as moto's server does, and ends when its standard input does.
"""

import shutil
from pathlib import Path

HOME = Path(__file__).resolve().parents[2] / ".tools" / "dynamodb-local"
_BUILD = "make .tools/dynamodb-local/.made"


class NotBuiltError(Exception):
    """Java or the built DynamoDB Local is missing; the message is for the person who asked for it."""


def command(data: Path | None = None) -> list[str]:
    """The command that starts it.

    Args:
        data: the directory that keeps the tables between starts, made if need be; None keeps them in memory.

    Raises:
        NotBuiltError: there is nothing to start yet.
    """
    java = shutil.which("java")
    if java is None:
        raise NotBuiltError(f"DynamoDB Local needs Java; this says which package is missing: {_BUILD}")
    if not (HOME / ".made").is_file():
        raise NotBuiltError(f"DynamoDB Local is not built yet: {_BUILD}")
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    lib = HOME / "lib"
    return [
        java,
        # Its classes are few and its life is short: compiling for speed costs more than it brings.
        "-XX:TieredStopAtLevel=1",
        "-Xshare:auto",
        "-Xmx512m",
        f"-Djava.library.path={lib}",
        "-cp",
        f"{HOME / 'classes'}:{lib}/*",
        "rill.DynamoDBLocal",
        *([str(data)] if data else []),
    ]
