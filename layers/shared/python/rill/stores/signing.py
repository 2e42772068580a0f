"""AWS Signature Version 4 for DynamoDB's one kind of request. Pure.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

CONTENT_TYPE = "application/x-amz-json-1.0"
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Whose requests they are; `token` belongs to credentials that expire."""

    access_key: str
    secret_key: str
    token: str | None = None


class Signer:
    """Signs `POST /` with a JSON body. The key, which is one of a day, is derived once for each.

    Args:
        region: such as "eu-west-1".
        host: with its port, where it has one of its own.
        service: as AWS names it in signatures.
    """

    def __init__(self, region: str, host: str, service: str = "dynamodb") -> None:
        self._region = region
        self._host = host
        self._service = service
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def headers(self, credentials: Credentials, target: str, body: bytes, now: datetime) -> dict[str, str]:
        """The request's headers, signature included.

        Args:
            target: the operation, such as "DynamoDB_20120810.GetItem".
            now: in UTC; AWS takes five minutes of difference.
        """
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        headers = {"content-type": CONTENT_TYPE, "host": self._host, "x-amz-date": moment}
        if credentials.token is not None:
            headers["x-amz-security-token"] = credentials.token
        headers["x-amz-target"] = target  # in the order of the alphabet, as they are signed
        signed = ";".join(headers)
        listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"POST\n/\n\n{listed}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = self._derived(credentials.secret_key, moment[:8])
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, "
            f"Signature={signature}"
        )
        return headers

    def _derived(self, secret: str, day: str) -> bytes:
        if self._key[:2] != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return self._key[2]
