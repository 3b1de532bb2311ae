"""Write Singer messages in blocks: each record is encoded once, and flushed with its block."""

from __future__ import annotations

import datetime as dt
import select
import sys
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage, SchemaMessage
from typing_extensions import override

from tap_claude.money import restore_decimals

if TYPE_CHECKING:
    from singer_sdk.singerlib import Message

BLOCK_BYTES = 64 * 2**10
"""Bytes per write: the capacity of a pipe."""


class _RecordLine(msgspec.Struct, tag_field="type", tag="RECORD", omit_defaults=True):
    """A RECORD message in the format of the SDK."""

    stream: str
    record: dict[str, Any]
    version: int | None = None
    time_extracted: dt.datetime | None = None


_encode_into = msgspec.json.Encoder(decimal_format="number").encode_into


class BufferedWriter(MsgSpecWriter):
    """The SDK's msgspec writer, with a flush per block instead of per record.

    All other messages are flushed immediately, together with the records before them. So a STATE
    message always follows the records that it covers.
    """

    def __init__(self) -> None:
        """Start with an empty block."""
        super().__init__()
        self._block = bytearray()
        self._time = dt.datetime.now(dt.UTC)
        self._is_broken = False
        """Whether a block was not written completely. A STATE after it would cover lost records."""

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, SchemaMessage):
            restore_decimals(message.schema)
        self._block += self.format_message(message)
        if not isinstance(message, RecordMessage) or len(self._block) > BLOCK_BYTES:
            self.flush()

    def write_record(self, stream: str, record: dict[str, Any], version: int | None) -> None:
        """Write a finished record; ``time_extracted`` is the start of its block."""
        block = self._block
        if not block:
            self._time = dt.datetime.now(dt.UTC)
        _encode_into(_RecordLine(stream, record, version, self._time), block, -1)
        block += b"\n"
        if len(block) > BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the block. Raises ``OSError`` on failure, and on every later call."""
        if not self._block:
            return
        if self._is_broken:
            msg = "standard output is broken"
            raise OSError(msg)
        block, self._block = self._block, bytearray()
        # A signal can also end the run in the middle of the block.
        self._is_broken = True
        write_all(sys.stdout.buffer, block)
        self._is_broken = False


def write_all(file: IO[bytes], block: bytes | bytearray) -> None:
    """Write a complete block to any kind of file. Raises ``OSError``.

    An unbuffered file (``PYTHONUNBUFFERED``) may accept only a part, a non-blocking one nothing.
    """
    rest = memoryview(block)
    while rest:
        try:
            taken = file.write(rest)
        except BlockingIOError as error:
            taken = error.characters_written
        rest = rest[taken or 0 :]
        if rest:
            _wait_for_room(file)
    while True:
        try:
            file.flush()
        except BlockingIOError:
            _wait_for_room(file)
        else:
            return


def _wait_for_room(file: IO[bytes]) -> None:
    # A raw file accepts data again once select returns. On Windows, select supports sockets only,
    # but files never block.
    if sys.platform != "win32":
        select.select([], [file], [])
