import resource
from pathlib import Path

import pytest
import yaml
from mcap.reader import make_reader

from psr_eval.bag_reader import BagReader, decode
from psr_eval.bag_writer import BagWriter
from psr_eval.definitions import definition

STRING = "std_msgs/msg/String"
RESULT = "psr_interfaces/msg/EpisodeResult"
QOS = {
    "history": "keep_last",
    "depth": 7,
    "reliability": "reliable",
    "durability": "volatile",
    "deadline": {"sec": 9223372036, "nsec": 854775807},
    "lifespan": {"sec": 9223372036, "nsec": 854775807},
    "liveliness": "automatic",
    "liveliness_lease_duration": {"sec": 9223372036, "nsec": 854775807},
    "avoid_ros_namespace_conventions": False,
}


@pytest.fixture
def finished(tmp_path, encode):
    """A small finished bag: three texts and a result, received out of order."""
    with BagWriter(tmp_path / "run", {"machine": "test"}) as bag:
        bag.add_topic("/text", STRING, [QOS, QOS])
        for number, received in enumerate((300, 100, 200)):
            bag.write("/text", encode(STRING, data=f"text {number}"), received, received - 50)
        bag.add_topic("/episode/result", RESULT)
        bag.write("/episode/result", encode(RESULT, seed=5), 400)
    return tmp_path / "run"


def information(folder: Path) -> dict:
    return yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]


class TestMetadata:
    def test_has_what_rosbag2_reads(self, finished):
        extent = {
            "duration": {"nanoseconds": 300},
            "starting_time": {"nanoseconds_since_epoch": 100},
            "message_count": 4,
        }
        described = information(finished)
        topics = described.pop("topics_with_message_count")
        assert described == {
            "version": 9,
            "storage_identifier": "mcap",
            **extent,
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": ["run_0.mcap"],
            "files": [{"path": "run_0.mcap", **extent}],
            "custom_data": {"machine": "test"},
            "ros_distro": "jazzy",
        }
        assert topics == [
            {
                "topic_metadata": {
                    "name": name,
                    "type": kind,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": qos,
                    "type_description_hash": definition(kind)[1],
                },
                "message_count": count,
            }
            for name, kind, qos, count in (("/text", STRING, [QOS, QOS], 3), ("/episode/result", RESULT, [], 1))
        ]

    def test_has_no_yaml_anchors(self, finished):
        assert "&id" not in (finished / "metadata.yaml").read_text()

    def test_hash_is_that_of_ros(self):
        # As in rosidl's std_msgs/msg/String.json of ROS 2 Jazzy.
        assert definition(STRING)[1] == "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18"

    def test_ros_distribution_is_noted(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ROS_DISTRO", "kilted")
        BagWriter(tmp_path / "run").close()
        assert information(tmp_path / "run")["ros_distro"] == "kilted"


class TestFile:
    def test_mcap_opens_it(self, finished):
        with (finished / "run_0.mcap").open("rb") as file:
            reader = make_reader(file, validate_crcs=True)
            assert reader.get_header().profile == "ros2"
            assert reader.get_summary().statistics.message_count == 4
            received = [(channel.topic, message.log_time) for _, channel, message in reader.iter_messages()]
            stored = {record.name: record.metadata for record in reader.iter_metadata()}
        assert received == [("/text", 100), ("/text", 200), ("/text", 300), ("/episode/result", 400)]
        assert yaml.safe_load(stored["rosbag2"]["serialized_metadata"]) == information(finished)

    def test_schemas_and_channels_are_those_of_rosbag2(self, finished):
        with (finished / "run_0.mcap").open("rb") as file:
            summary = make_reader(file).get_summary()
        schemas = {schema.name: schema for schema in summary.schemas.values()}
        channels = {channel.topic: channel for channel in summary.channels.values()}
        assert {schema.encoding for schema in schemas.values()} == {"ros2msg"}
        text = schemas[RESULT].data.decode()
        assert "uint8 ABORTED=2" in text
        assert "=" * 80 + "\nMSG: psr_interfaces/Steering\n" in text
        assert "=" * 80 + "\nMSG: builtin_interfaces/Time\n" in text
        assert channels["/text"].message_encoding == "cdr"
        assert yaml.safe_load(channels["/text"].metadata["offered_qos_profiles"]) == [QOS, QOS]
        assert channels["/text"].metadata["topic_type_hash"] == definition(STRING)[1]

    def test_rosbags_opens_it(self, finished):
        pytest.importorskip("apsw", reason="rosbags cannot be imported without apsw, which it requires")
        from rosbags.rosbag2 import Reader
        from rosbags.typesys import Stores, get_typestore

        store = get_typestore(Stores.ROS2_JAZZY)
        with Reader(finished) as reader:
            texts = [c for c in reader.connections if c.topic == "/text"]
            messages = [store.deserialize_cdr(data, STRING).data for _, _, data in reader.messages(texts)]
            assert (reader.message_count, reader.start_time, reader.ros_distro) == (4, 100, "jazzy")
            assert texts[0].ext.offered_qos_profiles[0].depth == 7
        assert messages == ["text 1", "text 2", "text 0"]

    def test_send_time_is_the_receive_time_where_there_is_none(self, finished):
        times = {message.topic: (message.log_time, message.publish_time) for message in BagReader(finished).messages()}
        assert times == {"/text": (200, 150), "/episode/result": (400, 400)}


class TestFlush:
    def test_what_was_flushed_can_be_read_while_recording(self, tmp_path, encode):
        bag = BagWriter(tmp_path / "run")
        bag.add_topic("/text", STRING)
        for count in range(1, 4):
            bag.write("/text", encode(STRING, data=str(count)), count)
            bag.flush()
            assert len(list(BagReader(tmp_path / "run").messages())) == count
            assert information(tmp_path / "run")["message_count"] == count
        bag.close()

    def test_a_bag_without_messages_can_be_read(self, tmp_path):
        bag = BagWriter(tmp_path / "run")
        assert list(BagReader(tmp_path / "run").messages()) == []
        assert information(tmp_path / "run")["message_count"] == 0
        bag.close()

    def test_metadata_is_replaced_whole(self, tmp_path):
        BagWriter(tmp_path / "run").close()
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["metadata.yaml", "run_0.mcap"]


class TestRefusals:
    def test_an_existing_folder_is_never_overwritten(self, tmp_path):
        with pytest.raises(FileExistsError, match="name another one or delete it"):
            BagWriter(tmp_path)

    def test_a_topic_must_be_added_first(self, tmp_path):
        with BagWriter(tmp_path / "run") as bag, pytest.raises(ValueError, match="add_topic"):
            bag.write("/text", b"", 0)

    def test_a_topic_keeps_its_type(self, tmp_path):
        with BagWriter(tmp_path / "run") as bag:
            bag.add_topic("/text", STRING)
            bag.add_topic("/text", STRING)
            with pytest.raises(ValueError, match="/text has type std_msgs/msg/String"):
                bag.add_topic("/text", RESULT)

    @pytest.mark.parametrize("name", ["nowhere/msg/Thing", "std_msgs/msg/Strin", "String"])
    def test_a_type_without_definition_is_named(self, tmp_path, name):
        with BagWriter(tmp_path / "run") as bag, pytest.raises(FileNotFoundError, match=f"{name}.*install"):
            bag.add_topic("/text", name)

    def test_nothing_is_written_after_closing(self, tmp_path):
        with BagWriter(tmp_path / "run") as bag:
            bag.add_topic("/text", STRING)
        bag.close()
        with pytest.raises(ValueError, match="closed"):
            bag.write("/text", b"", 0)


class TestFailingDisk:
    def test_names_the_file_and_keeps_what_was_flushed(self, tmp_path, encode):
        bag = BagWriter(tmp_path / "run")
        bag.add_topic("/text", STRING)
        bag.write("/text", encode(STRING, data="kept"), 1)
        bag.flush()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bag.size + 1000, limits[1]))
        try:
            with pytest.raises(OSError, match=r"cannot write .*run_0.mcap \(File too large\).*free some space"):
                for number in range(10_000):
                    bag.write("/text", encode(STRING, data=f"{number} {hash(number * 1.1)}" * 100), 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert bag.closed
        reader = BagReader(tmp_path / "run")
        assert decode(next(iter(reader.messages()))).data == "kept"
        bag.close()
