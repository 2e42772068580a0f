"""The connections of the model client and the DynamoDB client, over real sockets."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rill.transport import http_client

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TIMEOUT = httpx2.Timeout(5.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that hands each connection to `handler`."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request(reader: asyncio.StreamReader) -> None:
    """Reads a request without a body."""
    await reader.readuntil(b"\r\n\r\n")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_tls_is_spoken_and_checked(certificate: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await request(reader)
            writer.write(OK)
        await reader.read()

    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    knows = ssl.create_default_context(cafile=str(certificate))
    async with served(answer, server) as url:
        async with http_client(timeout=TIMEOUT, tls=knows) as client:
            assert [(await client.get(url)).text for _ in range(2)] == ["ok", "ok"]
        async with http_client(timeout=TIMEOUT, tls=ssl.create_default_context()) as client:
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(url)


async def test_pieces_are_given_as_they_come() -> None:
    turn = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n"):
            writer.write(piece)
            await turn.wait()
            turn.clear()

    async with served(answer) as url, http_client(timeout=TIMEOUT, tls=None) as client:
        found = []
        async with client.stream("GET", url) as response:
            async for piece in response.aiter_raw():
                found.append(piece)
                turn.set()
        assert found == [b"a", b"b"]


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    connections = 0

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        writer.write(OK)
        await writer.drain()

    async with served(answer_once) as url, http_client(timeout=TIMEOUT, tls=None) as client:
        for _ in range(3):
            assert (await client.get(url)).text == "ok"
        assert connections == 3


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    await asyncio.Event().wait()


async def test_what_goes_wrong_is_httpx2s_own_error() -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.transport.abort()

    quick = httpx2.Timeout(0.1)
    async with served(says_nothing) as url, http_client(timeout=quick, tls=None) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(url)
        with pytest.raises(httpx2.WriteTimeout):
            await client.post(url, content=b"x" * 64_000_000)
    async with http_client(timeout=TIMEOUT, tls=None) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(url)
    async with served(breaks) as url, http_client(timeout=TIMEOUT, tls=None) as client:
        with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
            await client.get(url)
    tls = ssl.create_default_context()
    async with served(says_nothing) as url, http_client(timeout=quick, tls=tls) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get(url.replace("http:", "https:"))


async def test_redirects_are_not_followed() -> None:
    async def sends_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with served(sends_away) as url, http_client(timeout=TIMEOUT, tls=None) as client:
        assert (await client.get(url)).status_code == 302


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await request(reader)
        writer.write(OK)
        await reader.read()

    async with served(proxy) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        async with http_client(timeout=TIMEOUT, tls=None) as client:
            assert (await client.get("http://model.test/v1")).text == "ok"
    assert lines == [b"GET http://model.test/v1 HTTP/1.1\r\n"]
