"""Wrong ways to deliver a response: cut off, too slow, too large, or not at all."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler

    Deliver = Callable[[BaseHTTPRequestHandler, bytes], None]

ORGANIZATION_HEADER = "anthropic-organization-id"
BLOCK = b" " * 2**20


def deliver(handler: BaseHTTPRequestHandler, fault: Deliver, body: bytes) -> None:
    """Deliver a response in a wrong way; ignores that the client closes the connection."""
    with contextlib.suppress(OSError):
        fault(handler, body)
        handler.wfile.flush()
    handler.close_connection = True


def reset(handler: BaseHTTPRequestHandler, body: bytes = b"") -> None:  # noqa: ARG001
    """Close the connection with a TCP reset, immediately."""
    handler.close_connection = True
    handler.wfile.flush()
    linger_for_no_time = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
    # Not handler.connection.close(): its files keep it open, and it would be closed normally.
    os.close(handler.connection.detach())


def reset_after_headers(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Send the headers only, then reset the connection."""
    _begin(handler, {"content-length": str(len(body))})
    time.sleep(0.05)  # some systems drop data that was sent just before a reset
    reset(handler)


def cut_off(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Send only half of the bytes that content-length announces."""
    _begin(handler, {"content-length": str(len(body))})
    handler.wfile.write(body[: len(body) // 2])


def cut_off_chunked(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Send a chunked body, and close the connection in the second chunk."""
    half = len(body) // 2
    _begin(handler, {"transfer-encoding": "chunked"})
    handler.wfile.write(b"%x\r\n%s\r\n" % (half, body[:half]))
    handler.wfile.write(b"%x\r\n%s" % (len(body) - half, body[half : half + half // 2]))


def trickle(seconds: float) -> Deliver:
    """Send one byte at an interval: each read is fast, but the response never ends."""

    def deliver(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        _begin(handler, {"content-length": str(len(body))})
        for byte in body:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(seconds)

    return deliver


def mute(seconds: float) -> Deliver:
    """Send nothing for some seconds, then close the connection."""

    def deliver(handler: BaseHTTPRequestHandler, body: bytes) -> None:  # noqa: ARG001
        handler.close_connection = True
        time.sleep(seconds)

    return deliver


def oversized(size: int = 2**30, *, encoded: bool = False) -> Deliver:
    """Send the correct response with ``size`` added spaces, plain or as a gzip bomb."""

    def deliver(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        blocks = size // len(BLOCK)
        if encoded:
            _begin(handler, {"content-encoding": "gzip"})
            parts = gzip_bomb(body, blocks)
        else:
            _begin(handler, {"content-length": str(len(body) + blocks * len(BLOCK))})
            parts = iter((body[:-1], *[BLOCK] * blocks, body[-1:]))
        for part in parts:
            handler.wfile.write(part)

    return deliver


def gzip_bomb(body: bytes, blocks: int) -> Iterator[bytes]:
    """Yield a gzip stream of a JSON text with blocks of spaces before its last byte.

    A full flush makes a piece independent of the preceding data, so that it can be repeated.
    """
    yield bytes.fromhex("1f8b0800000000000003")
    yield _deflated(body[:-1], zlib.Z_FULL_FLUSH)
    piece, crc = _deflated(BLOCK, zlib.Z_FULL_FLUSH), zlib.crc32(body[:-1])
    for _ in range(blocks):
        yield piece
        crc = zlib.crc32(BLOCK, crc)
    yield _deflated(body[-1:], zlib.Z_FINISH)
    length = (len(body) + blocks * len(BLOCK)) % 2**32
    yield struct.pack("<II", zlib.crc32(body[-1:], crc), length)


def refused(seconds: float) -> Deliver:
    """Reset the connection, and refuse new ones for some seconds."""

    def deliver(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.server.simulator.refuse(seconds)  # type: ignore[attr-defined]
        reset(handler, body)

    return deliver


def _begin(handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("connection", "close")
    if organization := getattr(handler, "organization", None):
        handler.send_header(ORGANIZATION_HEADER, organization)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.flush()
    handler.close_connection = True


def _deflated(data: bytes, flush: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush(flush)
