"""The CORS headers a function URL adds by its template's `Cors`: no I/O.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html#urls-cors
"""

from collections.abc import Mapping
from typing import Any


def headers(cors: Mapping[str, Any] | None, origin: str | None) -> list[tuple[str, str]]:
    """What goes on every response to a request from `origin`; nothing for one that is not allowed."""
    if cors is None or origin is None or not _allowed(cors, origin):
        return []
    any_origin = "*" in cors.get("AllowOrigins", []) and not cors.get("AllowCredentials")
    added = [("access-control-allow-origin", "*" if any_origin else origin), ("vary", "Origin")]
    if cors.get("AllowCredentials"):
        added.append(("access-control-allow-credentials", "true"))
    if exposed := cors.get("ExposeHeaders"):
        added.append(("access-control-expose-headers", ",".join(exposed)))
    return added


def preflight(cors: Mapping[str, Any] | None, origin: str | None) -> list[tuple[str, str]]:
    """What answers a preflight request, beside `headers`."""
    if cors is None or origin is None or not _allowed(cors, origin):
        return []
    added = []
    if methods := cors.get("AllowMethods"):
        added.append(("access-control-allow-methods", ",".join(methods)))
    if allowed := cors.get("AllowHeaders"):
        added.append(("access-control-allow-headers", ",".join(allowed)))
    if "MaxAge" in cors:
        added.append(("access-control-max-age", str(cors["MaxAge"])))
    return added


def _allowed(cors: Mapping[str, Any], origin: str) -> bool:
    return any(_matches(str(pattern), origin) for pattern in cors.get("AllowOrigins", []))


def _matches(pattern: str, origin: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == origin
    return len(origin) >= len(before) + len(after) and origin.startswith(before) and origin.endswith(after)
