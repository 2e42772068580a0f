"""How Lambda initializes the process: for a request that waits, or ahead of all requests.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from collections.abc import Mapping
from dataclasses import dataclass

_TYPE = "AWS_LAMBDA_INITIALIZATION_TYPE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialization:
    """What start-up has to know of it.

    Attributes:
        ahead: whether nobody waits for the process: it then loads at its start what the first request would.
            So it is with provisioned concurrency, SnapStart and managed instances.
        snapshot: whether it is started to be snapshotted: what it holds may be weeks old when it goes on.
    """

    ahead: bool
    snapshot: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Initialization":
        """From the function's environment; on demand where it says nothing."""
        kind = env.get(_TYPE) or "on-demand"
        return cls(ahead=kind != "on-demand", snapshot=kind == "snap-start")
