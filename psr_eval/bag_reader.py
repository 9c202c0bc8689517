"""Reads bags without ROS: finished ones, ones whose recorder was killed, ones cut at any byte."""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Header, McapRecord, Message, Schema
from mcap.stream_reader import breakup_chunk
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from psr_eval import definitions

_MAGIC = b"\x89MCAP0\r\n"
_HEAD = struct.Struct("<BQ")  # opcode and length of a record
_DAMAGE = (McapError, zstandard.ZstdError, struct.error, ValueError, RuntimeError)  # the last is lz4's


@dataclass(frozen=True)
class RawMessage:
    """One message as stored. Times in ns since 1970: received by the recorder, and sent by the publisher."""

    topic: str
    type: str
    schema: str  # its definition; empty where the bag has none that can be read
    data: bytes
    log_time: int
    publish_time: int


class BagReader:
    """A rosbag2 folder (MCAP with or without metadata.yaml; SQLite as far as the index goes) or one .mcap file.

    `losses` says, after `messages` ran to its end, what could not be read; it is empty for a whole bag.
    `custom_data` is what the recorder noted in metadata.yaml, empty without it.
    Raises FileNotFoundError when there is no bag, ValueError when there is one of a kind that is not read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.losses: list[str] = []
        if not self.path.exists():
            raise FileNotFoundError(f"there is no bag {self.path}")
        folder = self.path if self.path.is_dir() else self.path.parent
        listed, self.custom_data, self._notes = _metadata(folder / "metadata.yaml")
        self._files = [self.path] if self.path.is_file() else _in_order(self.path.glob("*.mcap"))
        self._database = not self._files and any(self.path.glob("*.db3"))
        if not self._files and not self._database:
            found = ", ".join(sorted(file.name for file in folder.iterdir())) or "nothing"
            raise FileNotFoundError(
                f"bag {self.path} holds no .mcap file, but {found}; unpack a compressed one first (zstd -d)"
            )
        if self.path.is_file() and self.path.suffix != ".mcap":
            raise ValueError(f"{self.path} is no .mcap file; name the bag's folder instead")
        if self.path.is_dir() and not self._database:
            missing = set(listed) - {file.name for file in self._files}
            self._notes += [f"{self.path / name} is listed in metadata.yaml and missing" for name in sorted(missing)]

    def messages(self, types: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Every message, or those of some types, in the order of the file: that of arrival, nearly.

        Raises ValueError when nothing can be read, naming the file and why.
        """
        self.losses[:] = self._notes
        source = self._from_database() if self._database else self._from_files()
        return (message for message in source if types is None or message.type in types)

    def _from_files(self) -> Iterator[RawMessage]:
        for file in self._files:
            try:
                yield from _mcap_messages(file, self.losses)
            except ValueError as error:
                if len(self._files) == 1:
                    raise
                self.losses.append(str(error))

    def _from_database(self) -> Iterator[RawMessage]:
        self.losses.append(f"{self.path} is an SQLite bag: it has no send times, receive times stand in for them")
        try:
            from rosbags.rosbag2 import Reader, ReaderError
        except ImportError as error:
            raise ValueError(
                f"reading the SQLite bag {self.path} needs the package {error.name}; install it"
            ) from error
        try:
            with Reader(self.path) as reader:
                for connection, time, data in reader.messages():
                    schema = connection.msgdef.data if connection.msgdef.format.name == "MSG" else ""
                    yield RawMessage(connection.topic, connection.msgtype, schema, bytes(data), time, time)
        except (ReaderError, FileNotFoundError) as error:
            raise ValueError(
                f"SQLite bag {self.path} cannot be read ({error}); convert it to MCAP with `ros2 bag convert`"
            ) from error


def decode(message: RawMessage) -> Any:
    """The message as an object with ROS field names, by the definition that the bag itself carries.

    Arrays are numpy arrays. Raises ValueError when the bytes do not fit the definition.
    """
    try:
        store = _store(message.type, message.schema) if message.schema else definitions.typestore(message.type)
        return store.deserialize_cdr(message.data, message.type)
    except Exception as error:  # of many kinds: both the definition and the bytes are foreign
        raise ValueError(f"a message of {message.topic} is no {message.type}: {error}") from error


@lru_cache(maxsize=256)
def _store(msgtype: str, schema: str) -> Typestore:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(schema, msgtype))
    return store


def _mcap_messages(path: Path, losses: list[str]) -> Iterator[RawMessage]:
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    orphans = 0
    for record in _contents(path, losses):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message) and record.channel_id in channels:
            channel = channels[record.channel_id]
            schema = schemas.get(channel.schema_id) or Schema(data=b"", encoding="", id=0, name="")
            text = schema.data.decode() if schema.encoding == "ros2msg" else ""
            yield RawMessage(channel.topic, schema.name, text, record.data, record.log_time, record.publish_time)
        elif isinstance(record, Message):
            orphans += 1
    if orphans:
        losses.append(f"{path}: {orphans} messages belong to topics whose names were lost")


def _contents(path: Path, losses: list[str]) -> Iterator[McapRecord]:
    """Schemas, channels and messages, inside chunks or not."""
    kinds = {Opcode.SCHEMA: Schema.read, Opcode.CHANNEL: Channel.read}
    for offset, opcode, body in _records(path, losses):
        stream = ReadDataStream(BytesIO(body))
        if opcode in kinds:
            yield kinds[Opcode(opcode)](stream)
        elif opcode == Opcode.MESSAGE:
            yield Message.read(stream, len(body))
        elif opcode == Opcode.CHUNK:
            try:
                records = breakup_chunk(Chunk.read(stream), validate_crc=True)
            except _DAMAGE as error:
                losses.append(f"{path}: the chunk at byte {offset} is damaged ({error}); its messages are lost")
            else:
                yield from records


def _records(path: Path, losses: list[str]) -> Iterator[tuple[int, int, bytes]]:
    """(offset, opcode, content) of the whole records of an MCAP file; says in `losses` where and how it breaks off."""
    size = path.stat().st_size
    finished = False  # every message was seen; what follows is the index
    with path.open("rb") as file:
        _check_header(path, size, file.read(len(_MAGIC) + _HEAD.size + 4096))
        offset = len(_MAGIC)
        while offset < size:
            file.seek(offset)
            head = file.read(_HEAD.size)
            opcode, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, size)
            if offset + _HEAD.size + length > size:
                break
            yield offset, opcode, file.read(length)
            finished = finished or opcode == Opcode.DATA_END
            offset += _HEAD.size + length
            if opcode == Opcode.FOOTER:
                break
        file.seek(offset)
        rest = file.read(len(_MAGIC))
    if rest == _MAGIC:
        return
    if finished:
        losses.append(f"{path}: the index at the end is cut off; no message is lost")
    elif rest:
        name = Opcode(rest[0]).name.lower() if rest[0] in set(Opcode) else "record"
        losses.append(f"{path}: the file ends in the middle of a {name}; {size - offset} bytes unread")
    else:
        losses.append(f"{path}: the file ends without a footer; messages after the last flush, if any, are lost")


def _check_header(path: Path, size: int, start: bytes) -> None:
    if not start.startswith(_MAGIC[: len(start)]):
        raise ValueError(f"{path} is no MCAP file: it starts with {start[:8]!r}, expected {_MAGIC!r}")
    body = len(_MAGIC) + _HEAD.size
    opcode, length = _HEAD.unpack(start[len(_MAGIC) : body]) if len(start) >= body else (Opcode.HEADER, size)
    if body + length > size:
        raise ValueError(f"{path} was cut inside its header ({size} bytes): nothing of it can be read")
    if opcode != Opcode.HEADER:
        raise ValueError(f"{path} is no MCAP file: its first record has opcode {opcode}, expected a header")
    profile = Header.read(ReadDataStream(BytesIO(start[body:]))).profile
    if profile != "ros2":
        raise ValueError(f"{path} has the MCAP profile {profile!r}, expected 'ros2'")


def _metadata(path: Path) -> tuple[list[str], dict[str, str], list[str]]:
    """Names of the files and custom_data that metadata.yaml lists, and what is to be said about it."""
    if not path.exists():
        return [], {}, []
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        custom_data = {str(key): str(value) for key, value in (content["custom_data"] or {}).items()}
        return [str(name) for name in content["relative_file_paths"]], custom_data, []
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        return [], {}, [f"{path} cannot be read ({reason}); the messages do not depend on it"]


def _in_order(files: Iterator[Path]) -> list[Path]:
    """run_2.mcap before run_10.mcap."""
    return sorted(
        files, key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]
    )
