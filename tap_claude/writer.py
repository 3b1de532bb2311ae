"""Writing Singer messages in blocks: each record is encoded once, and flushed with its fellows."""

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
"""Bytes that are written at once: as many as a pipe takes."""


class _RecordLine(msgspec.Struct, tag_field="type", tag="RECORD", omit_defaults=True):
    """A RECORD message as the SDK prints it."""

    stream: str
    record: dict[str, Any]
    version: int | None = None
    time_extracted: dt.datetime | None = None


_encode_into = msgspec.json.Encoder(decimal_format="number").encode_into


class BufferedWriter(MsgSpecWriter):
    """The SDK's msgspec writer, with a flush per block instead of one per record.

    All messages but records are flushed at once, with the records before them: no STATE comes
    before the records that it is about, and none of these waits behind it.
    """

    def __init__(self) -> None:
        """Begin with an empty block."""
        super().__init__()
        self._block = bytearray()
        self._time = dt.datetime.now(dt.UTC)
        self._is_broken = False
        """Whether a block was cut off. A STATE after it would claim records that are lost."""

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, SchemaMessage):
            restore_decimals(message.schema)
        self._block += self.format_message(message)
        if not isinstance(message, RecordMessage) or len(self._block) > BLOCK_BYTES:
            self.flush()

    def write_record(self, stream: str, record: dict[str, Any], version: int | None) -> None:
        """Write a record that nothing will change any more, extracted at about this time."""
        block = self._block
        if not block:
            self._time = dt.datetime.now(dt.UTC)
        _encode_into(_RecordLine(stream, record, version, self._time), block, -1)
        block += b"\n"
        if len(block) > BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all that waits. Raises ``OSError`` if that is not possible, then and ever after."""
        if not self._block:
            return
        if self._is_broken:
            msg = "standard output is broken"
            raise OSError(msg)
        block, self._block = self._block, bytearray()
        # A signal may end the run in the middle of the block, too.
        self._is_broken = True
        write_whole(sys.stdout.buffer, block)
        self._is_broken = False


def write_whole(file: IO[bytes], block: bytes | bytearray) -> None:
    """Write a block to its last byte, whatever kind of file it is. Raises ``OSError``.

    An unbuffered file (``PYTHONUNBUFFERED``) may take only a part, and a non-blocking one none.
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
    # A raw file that took a part has room again when select says so; on Windows, where select
    # knows sockets only, files never refuse.
    if sys.platform != "win32":
        select.select([], [file], [])
