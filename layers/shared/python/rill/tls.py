"""One TLS context for all connections: it takes 40 ms to build."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_lock = threading.Lock()
_context: "ssl.SSLContext | None" = None


def tls_context() -> "ssl.SSLContext":
    """The context; the first call builds it: make it in a thread."""
    global _context
    with _lock:
        if _context is None:
            import httpx2

            _context = httpx2.create_ssl_context()
        return _context
