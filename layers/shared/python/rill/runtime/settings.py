"""What Lambda tells the process in its environment, read once."""

from collections.abc import Mapping
from dataclasses import dataclass


class NotOnLambda(Exception):
    """A variable that Lambda always sets is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html

    Attributes:
        api: host and port of the Runtime API.
        handler: module path and attribute, as `grading.app.app`.
        ahead: whether no request waits for the process: with provisioned concurrency, SnapStart, managed
            instances.
        snap_start: whether the process is started to be snapshotted.
        sam_local: whether `sam local` runs the function; it knows no streamed response.
    """

    api: tuple[str, int]
    handler: str
    function_name: str
    function_version: str
    memory_mb: int
    log_group: str
    log_stream: str
    ahead: bool
    snap_start: bool
    sam_local: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """From `os.environ`.

        Raises:
            NotOnLambda: the names of the Runtime API or of the handler are not in it.
        """
        host, colon, port = env.get("AWS_LAMBDA_RUNTIME_API", "").rpartition(":")
        if not colon or not port.isdigit():
            raise NotOnLambda("AWS_LAMBDA_RUNTIME_API does not name a host and a port")
        if not env.get("_HANDLER"):
            raise NotOnLambda("_HANDLER is not set")
        initialization = env.get("AWS_LAMBDA_INITIALIZATION_TYPE") or "on-demand"
        return cls(
            api=(host, int(port)),
            handler=env["_HANDLER"],
            function_name=env.get("AWS_LAMBDA_FUNCTION_NAME", ""),
            function_version=env.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            memory_mb=int(env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")),
            log_group=env.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
            log_stream=env.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
            ahead=initialization != "on-demand",
            snap_start=initialization == "snap-start",
            sam_local=env.get("AWS_SAM_LOCAL", "").lower() == "true",
        )
