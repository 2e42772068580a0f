"""Where a function is, and how the command line reaches it again."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from local.cli.problems import BadInput

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function's URL.

    Attributes:
        iam: requests are signed by the AWS credentials of this machine.
        options: what another `rill` command needs to reach the same function: nothing for that of a running
            `rill dev`; None where the function ends with this command.
    """

    url: str
    iam: bool = False
    options: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"{self.url!r} is not an http or https URL")

    def path(self, path: str) -> str:
        return f"{self.url.rstrip('/')}/{path}"

    def command(self, name: str, run_id: str) -> str | None:
        """What to type to do something with a run; None where nothing will be there."""
        if self.options is None:
            return None
        return f"rill {name} {run_id}{self.options}"

    @property
    def is_local(self) -> bool:
        return urlsplit(self.url).hostname in _LOOPBACK


def given_by(url: str, *, iam: bool) -> Target:
    """The function that the options name."""
    return Target(url=url, iam=iam, options=f" --url {shlex.quote(url)}{' --iam' if iam else ''}")


def signed(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers with a SigV4 signature for a function URL.

    Raises:
        Problem: this machine has no AWS credentials or region.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    session = Session()
    try:
        credentials = session.get_credentials()
        region = _region(url) or session.get_config_variable("region")
    except BotoCoreError as error:
        raise BadInput(f"--iam: {error}") from error
    if credentials is None:
        raise BadInput("--iam: there are no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID")
    if not region:
        raise BadInput("--iam: no region; set AWS_REGION")
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    SigV4Auth(credentials, "lambda", region).add_auth(request)
    return dict(request.headers.items())


def _region(url: str) -> str | None:
    """`eu-west-1` of `https://….lambda-url.eu-west-1.on.aws/`."""
    parts = (urlsplit(url).hostname or "").split(".")
    return parts[2] if len(parts) == 5 and parts[1] == "lambda-url" else None
