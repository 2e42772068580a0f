"""An HTTP request as a function URL's event (payload format 2.0): no I/O.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

import base64
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "application/x-www-form")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def event(
    *,
    method: str,
    target: str,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    peer: str,
    request_id: str,
    trace_id: str,
    iam: bool,
) -> dict[str, Any]:
    """The event that a function URL would send for this request."""
    path, _, query = target.partition("?")
    joined, cookies = _headers(headers)
    joined.setdefault("x-amzn-trace-id", trace_id)
    joined.setdefault("x-forwarded-for", peer)
    joined.setdefault("x-forwarded-proto", "http")
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": joined,
        "requestContext": _context(method, path, joined, peer, request_id, iam=iam),
        "isBase64Encoded": False,
    }
    if cookies:
        made["cookies"] = cookies
    if parameters := _parameters(query):
        made["queryStringParameters"] = parameters
    if body:
        is_text, text = _body(joined.get("content-type", ""), body)
        made["body"], made["isBase64Encoded"] = text, not is_text
    return made


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[str]]:
    joined: dict[str, str] = {}
    cookies: list[str] = []
    for key, value in headers:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        if name == "cookie":
            cookies += [part.strip() for part in text.split(";") if part.strip()]
        joined[name] = f"{joined[name]},{text}" if name in joined else text
    return joined, cookies


def _parameters(query: str) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(content_type: str, body: bytes) -> tuple[bool, str]:
    if content_type.lower().startswith(_TEXT) or content_type.lower().split(";")[0].endswith("+json"):
        try:
            return True, body.decode()
        except UnicodeDecodeError:
            pass  # it says text and is not: sent as what it is
    return False, base64.b64encode(body).decode()


def _context(
    method: str, path: str, headers: dict[str, str], peer: str, request_id: str, *, iam: bool
) -> dict[str, Any]:
    now = time.time()
    at = time.gmtime(now)
    context: dict[str, Any] = {
        "accountId": "123456789012" if iam else "anonymous",
        "apiId": "local",
        "domainName": headers.get("host", "localhost"),
        "domainPrefix": "local",
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": peer,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        # Month names are English whatever this machine's locale is.
        "time": time.strftime(f"%d/{_MONTHS[at.tm_mon - 1]}/%Y:%H:%M:%S +0000", at),
        "timeEpoch": int(now * 1000),
    }
    if iam:
        context["authorizer"] = {
            "iam": {
                "accessKey": "local",
                "accountId": "123456789012",
                "callerId": "local",
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": "arn:aws:iam::123456789012:user/local",
                "userId": "local",
            }
        }
    return context
