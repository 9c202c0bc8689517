"""Writes rosbag2 bags (MCAP) that stay readable when the writer is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from mcap.writer import LIBRARY_IDENTIFIER, CompressionType, Writer

from psr_eval.definitions import definition

METADATA_VERSION = 9  # of rosbag2 in ROS 2 Jazzy
_NO_TIME = 2**63 - 1  # starting time of a bag without messages, as rosbag2 has it


@dataclass
class _Topic:
    channel: int
    name: str
    type: str
    type_hash: str
    qos: list[dict[str, Any]]
    count: int = 0


class BagWriter(AbstractContextManager["BagWriter"]):
    """A bag in the making: a folder with <folder>_0.mcap and metadata.yaml, as rosbag2 in ROS 2 Jazzy writes them.

    What was written before `flush` survives a kill or a power cut; at most what came after it is lost.
    folder: must not exist (FileExistsError). custom_data: text kept in metadata.yaml. A failing disk raises OSError
    naming the file, and closes the bag; what was flushed before stays readable.
    """

    def __init__(self, folder: Path | str, custom_data: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise FileExistsError(
                f"bag folder {self.folder} exists already and is never overwritten; name another one or delete it"
            ) from None
        self.messages = 0
        self._custom_data = dict(custom_data or {})
        self._topics: dict[str, _Topic] = {}
        self._schemas: dict[str, int] = {}
        self._first, self._last = _NO_TIME, 0
        self._path = self.folder / f"{self.folder.resolve().name}_0.mcap"
        self._file = self._path.open("xb")
        self._mcap = Writer(self._file, compression=CompressionType.ZSTD)
        with self._naming_failures():
            self._mcap.start(profile="ros2", library=f"psr_suite {LIBRARY_IDENTIFIER}")
        self.flush()

    @property
    def closed(self) -> bool:
        """True after `close` and after a failure of the disk."""
        return self._file.closed

    @property
    def size(self) -> int:
        """Bytes in the MCAP file so far, without the chunk that is still in memory."""
        return self._path.stat().st_size

    def topics(self) -> tuple[str, ...]:
        """Names of the topics added so far."""
        return tuple(self._topics)

    def add_topic(self, name: str, msgtype: str, qos: Sequence[Mapping[str, Any]] = ()) -> None:
        """Announce a topic. qos: profiles of its publishers, the keys and words of rosbag2's offered_qos_profiles.

        Raises FileNotFoundError when there is no definition of msgtype, ValueError when the topic has another type.
        """
        known = self._topics.get(name)
        if known and known.type != msgtype:
            raise ValueError(f"topic {name} has type {known.type} in this bag, expected the same, not {msgtype}")
        if known:
            return
        text, type_hash = definition(msgtype)
        profiles = [dict(profile) for profile in qos]
        with self._naming_failures():
            if msgtype not in self._schemas:
                self._schemas[msgtype] = self._mcap.register_schema(msgtype, "ros2msg", text.encode())
            channel = self._mcap.register_channel(
                name,
                "cdr",
                self._schemas[msgtype],
                {"offered_qos_profiles": _yaml(profiles), "topic_type_hash": type_hash},
            )
        self._topics[name] = _Topic(channel, name, msgtype, type_hash, profiles)

    def write(self, topic: str, data: bytes, log_time: int, publish_time: int | None = None) -> None:
        """Append one CDR-encoded message. Times in ns since 1970: received, and sent (the former, if not given)."""
        if topic not in self._topics:
            raise ValueError(f"topic {topic} was not added to the bag {self.folder}; call add_topic first")
        entry = self._topics[topic]
        with self._naming_failures():
            self._mcap.add_message(
                entry.channel, log_time, data, log_time if publish_time is None else publish_time, entry.count
            )
        entry.count += 1
        self.messages += 1
        self._first, self._last = min(self._first, log_time), max(self._last, log_time)

    def flush(self) -> None:
        """Put everything written so far on the disk, and metadata.yaml with it."""
        with self._naming_failures():
            self._mcap.flush()
            os.fsync(self._file.fileno())
            self._write_metadata()

    def close(self) -> None:
        """Write the index and finish the bag. Does nothing when it is closed already."""
        if self.closed:
            return
        with self._naming_failures():
            self._mcap.flush()
            self._mcap.add_metadata("rosbag2", {"serialized_metadata": _yaml(self._metadata())})
            self._mcap.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._write_metadata()
            self._file.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _naming_failures(self) -> Iterator[None]:
        if self.closed:
            raise ValueError(f"bag {self.folder} is closed; record into a new folder")
        try:
            yield
        except OSError as error:
            with suppress(OSError):  # closing writes what is still buffered, which fails once more
                self._file.close()
            raise OSError(
                error.errno,
                f"cannot write {self._path} ({error.strerror}); everything up to the last flush is kept: "
                "free some space, or record into a folder on another disk",
            ) from error

    def _write_metadata(self) -> None:
        path = self.folder / "metadata.yaml"
        fresh = path.with_suffix(".yaml.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(_yaml({"rosbag2_bagfile_information": self._metadata()}))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def _metadata(self) -> dict[str, Any]:
        """Every key of rosbag2's BagMetadata, in its order."""
        extent = {
            "duration": {"nanoseconds": max(0, self._last - self._first)},
            "starting_time": {"nanoseconds_since_epoch": self._first},
            "message_count": self.messages,
        }
        return {
            "version": METADATA_VERSION,
            "storage_identifier": "mcap",
            **extent,
            "topics_with_message_count": [_topic_metadata(topic) for topic in self._topics.values()],
            "compression_format": "",  # the chunks of the MCAP are compressed, not the file nor single messages
            "compression_mode": "",
            "relative_file_paths": [self._path.name],
            "files": [{"path": self._path.name, **extent}],
            "custom_data": self._custom_data,
            "ros_distro": os.environ.get("ROS_DISTRO", "jazzy"),
        }


def _topic_metadata(topic: _Topic) -> dict[str, Any]:
    return {
        "topic_metadata": {
            "name": topic.name,
            "type": topic.type,
            "serialization_format": "cdr",
            "offered_qos_profiles": topic.qos,
            "type_description_hash": topic.type_hash,
        },
        "message_count": topic.count,
    }


class _Plain(yaml.SafeDumper):
    """Repeats equal parts instead of pointing to them: some readers know no YAML anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True)
