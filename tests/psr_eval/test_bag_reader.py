import shutil
import struct
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, IndexType, Writer

from psr_core.steering import Steering
from psr_eval.bag_reader import BagReader, decode
from psr_eval.definitions import definition
from psr_eval.episodes import RESULT, read_contents

STRING = "std_msgs/msg/String"
SEEDS = range(100, 106)


@pytest.fixture
def whole(bag):
    """A finished bag of six episodes."""
    made = bag(steps=8)
    for seed in SEEDS:
        made.play(seed, "failure" if seed % 3 else "success")
    made.close()
    return made


@pytest.fixture
def mcap(whole):
    return whole.writer.folder / "run_0.mcap"


def seeds(path):
    return [one.seed for one in read_contents(path).episodes]


def losses(path):
    reader = BagReader(path)
    return len(list(reader.messages())), reader.losses


class TestWholeBags:
    def test_every_message_is_read_and_nothing_is_lost(self, whole):
        reader = BagReader(whole.writer.folder)
        messages = list(reader.messages())
        assert len(messages) == whole.writer.messages
        assert reader.losses == []
        assert [decode(m).seed for m in messages if m.type == RESULT] == list(SEEDS)

    def test_messages_of_some_types_only(self, whole):
        assert {m.topic for m in BagReader(whole.writer.folder).messages([RESULT])} == {"/episode/result"}

    def test_metadata_is_not_needed(self, whole):
        (whole.writer.folder / "metadata.yaml").unlink()
        assert losses(whole.writer.folder) == (whole.writer.messages, [])

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a: [", b"[1]", b"rosbag2_bagfile_information: 3"])
    def test_damaged_metadata_is_said_and_does_no_harm(self, whole, content):
        (whole.writer.folder / "metadata.yaml").write_bytes(content)
        count, lost = losses(whole.writer.folder)
        assert count == whole.writer.messages
        assert "metadata.yaml cannot be read" in lost[0]

    def test_metadata_cut_anywhere_does_no_harm(self, whole):
        path = whole.writer.folder / "metadata.yaml"
        content = path.read_bytes()
        for size in range(0, len(content), 97):
            path.write_bytes(content[:size])
            contents = list(BagReader(whole.writer.folder).messages([RESULT]))
            assert len(contents) == len(SEEDS)

    def test_notes_of_the_recorder(self, whole):
        assert read_contents(whole.writer.folder).custom_data == {"machine": "synthetic"}

    def test_a_single_file(self, mcap, whole, tmp_path):
        alone = shutil.copy(mcap, tmp_path / "alone.mcap")
        assert losses(alone) == (whole.writer.messages, [])

    def test_types_come_from_the_bag_itself(self, whole, monkeypatch):
        monkeypatch.setattr("psr_eval.definitions.typestore", lambda name: pytest.fail(f"asked for {name}"))
        assert seeds(whole.writer.folder) == list(SEEDS)


class TestSeveralFiles:
    @pytest.fixture
    def parts(self, bag, tmp_path):
        """One bag in eleven files, as rosbag2 splits long ones, with one episode each."""
        folder = tmp_path / "parts"
        folder.mkdir()
        for number in range(11):
            part = bag(f"part{number}", start=10**18 + number * 10**12, steps=2)
            part.play(number)
            part.close()
            shutil.move(part.writer.folder / f"part{number}_0.mcap", folder / f"parts_{number}.mcap")
        return folder

    def test_are_read_in_the_order_of_their_numbers(self, parts):
        assert [decode(m).seed for m in BagReader(parts).messages([RESULT])] == list(range(11))

    def test_one_cut_inside_its_header_costs_no_other(self, parts):
        (parts / "parts_10.mcap").write_bytes(b"\x89MCAP0")
        contents = read_contents(parts)
        assert len(contents.episodes) == 10
        assert "parts_10.mcap was cut inside its header (6 bytes)" in contents.losses[0]

    def test_a_missing_one_is_named(self, whole):
        shutil.copy(whole.writer.folder / "run_0.mcap", whole.writer.folder / "run_1.mcap")
        (whole.writer.folder / "run_0.mcap").unlink()
        assert "run_0.mcap is listed in metadata.yaml and missing" in losses(whole.writer.folder)[1][0]


class TestCutBags:
    def test_episodes_come_back_one_by_one_with_every_byte(self, whole, mcap, tmp_path):
        content, cut = mcap.read_bytes(), tmp_path / "cut.mcap"
        borders = [at + shift for at, _ in whole.flushed for shift in (-1, 0, 1)]
        positions = sorted({*range(0, len(content), 23), *borders})
        found = []
        for position in positions:
            cut.write_bytes(content[:position])
            try:
                found.append(sum(1 for _ in BagReader(cut).messages([RESULT])))
            except ValueError as error:
                assert "cut inside its header" in str(error)
                found.append(0)
        assert all(fewer <= more for fewer, more in pairwise(found))
        for position, count in zip(positions, found, strict=True):
            flushed = sum(at <= position for at, _ in whole.flushed)
            assert flushed <= count <= flushed + 1  # the message is there some bytes before its chunk's index

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(fraction=st.floats(0, 1, exclude_max=True))
    def test_what_comes_back_is_true(self, whole, mcap, tmp_path, fraction):
        content = mcap.read_bytes()
        position = int(fraction * len(content))
        (tmp_path / "cut.mcap").write_bytes(content[:position])
        try:
            contents = read_contents(tmp_path / "cut.mcap")
        except ValueError as error:
            assert "cut inside its header" in str(error)
            assert position < 100
            return
        truth = read_contents(mcap)
        assert [one.fingerprint for one in contents.episodes] == [
            one.fingerprint for one in truth.episodes[: len(contents.episodes)]
        ]
        assert contents.incomplete == []  # here, states and result of an episode share a chunk
        assert len(contents.losses) == 1

    def test_says_how_much_is_lost(self, whole, mcap):
        end, _ = whole.flushed[2]
        content = mcap.read_bytes()
        mcap.write_bytes(content[: end + 300])
        count, (lost,) = losses(mcap)
        assert count == 3 * whole.writer.messages / 6
        assert lost == f"{mcap}: the file ends in the middle of a chunk; 300 bytes unread"

    def test_says_when_only_the_index_is_missing(self, whole, mcap):
        mcap.write_bytes(mcap.read_bytes()[:-30])
        count, (lost,) = losses(mcap)
        assert count == whole.writer.messages
        assert "no message is lost" in lost

    def test_says_when_the_recorder_was_killed(self, whole, mcap):
        mcap.write_bytes(mcap.read_bytes()[: whole.flushed[-1][0]])
        count, (lost,) = losses(mcap)
        assert count == whole.writer.messages
        assert "ends without a footer" in lost

    @pytest.mark.parametrize("size", [0, 1, 7, 8, 16, 17, 25])
    def test_a_file_cut_inside_its_header_is_refused(self, mcap, size):
        mcap.write_bytes(mcap.read_bytes()[:size])
        with pytest.raises(ValueError, match=rf"run_0.mcap was cut inside its header \({size} bytes\)"):
            list(BagReader(mcap).messages())

    def test_a_damaged_chunk_costs_itself_only(self, whole, mcap):
        content = bytearray(mcap.read_bytes())
        content[(whole.flushed[1][0] + whole.flushed[2][0]) // 2] ^= 0xFF
        mcap.write_bytes(content)
        contents = read_contents(mcap)
        assert [one.seed for one in contents.episodes] == [100, 101, 103, 104, 105]
        assert "is damaged" in contents.losses[0]


class TestIncompleteEpisodes:
    def test_began_without_a_result(self, bag):
        made = bag(steps=3)
        made.play(7)
        made.episode += 1
        for step in range(5):
            made.state(8, step)
        contents = read_contents(made.close())
        assert [(one.episode, one.seed, one.last_step) for one in contents.incomplete] == [(2, 8, 4)]
        assert len(contents.episodes) == 1

    def test_repeated_and_final_states_begin_nothing(self, bag):
        made = bag(steps=3)
        made.play(7)
        made.state(7, 2, status=2)
        made.state(7, 0, status=0)
        made.episode += 1
        made.state(8, 0, await_chunk=True)
        made.state(8, 0, await_chunk=True)
        assert len(read_contents(made.close()).incomplete) == 1

    def test_a_restarted_simulator_may_use_the_same_numbers(self, bag):
        made = bag(steps=3)
        made.episode = 1
        made.state(7, 0)
        made.state(7, 1)
        made.episode = 0
        made.play(7)
        contents = read_contents(made.close())
        assert [(one.episode, one.seed) for one in contents.incomplete] == [(1, 7)]
        assert len(contents.episodes) == 1


class TestOtherWriters:
    def test_messages_outside_chunks(self, tmp_path, encode):
        path = tmp_path / "flat.mcap"
        writer = Writer(str(path), compression=CompressionType.NONE, index_types=IndexType.NONE, use_chunking=False)
        writer.start("ros2")
        schema = writer.register_schema(STRING, "ros2msg", definition(STRING)[0].encode())
        channel = writer.register_channel("/text", "cdr", schema)
        writer.add_message(channel, 5, encode(STRING, data="hello"), 3)
        writer.finish()
        (message,) = BagReader(path).messages()
        assert (decode(message).data, message.log_time, message.publish_time) == ("hello", 5, 3)

    def test_a_changed_byte_is_noticed_without_compression(self, tmp_path, encode):
        path = tmp_path / "plain.mcap"
        writer = Writer(str(path), compression=CompressionType.NONE)
        writer.start("ros2")
        schema = writer.register_schema(STRING, "ros2msg", definition(STRING)[0].encode())
        writer.add_message(writer.register_channel("/text", "cdr", schema), 5, encode(STRING, data="hello"), 3)
        writer.finish()
        path.write_bytes(path.read_bytes().replace(b"hello", b"hullo"))
        count, lost = losses(path)
        assert count == 0
        assert "is damaged (crc validation failed" in lost[0]

    def test_a_schema_of_another_language_is_looked_up_by_name(self, tmp_path, encode):
        path = tmp_path / "idl.mcap"
        writer = Writer(str(path), compression=CompressionType.LZ4)
        writer.start("ros2")
        channel = writer.register_channel("/text", "cdr", writer.register_schema(STRING, "ros2idl", b"struct X {};"))
        writer.add_message(channel, 5, encode(STRING, data="hello"), 3)
        writer.finish()
        assert decode(next(BagReader(path).messages())).data == "hello"

    def test_sqlite(self, tmp_path, encode):
        pytest.importorskip("apsw", reason="rosbags cannot be imported without apsw, which it requires")
        from rosbags.rosbag2 import Writer as RosbagsWriter
        from rosbags.typesys import Stores, get_typestore

        with RosbagsWriter(tmp_path / "old", version=9) as writer:
            connection = writer.add_connection("/text", STRING, typestore=get_typestore(Stores.ROS2_JAZZY))
            writer.write(connection, 5, encode(STRING, data="hello"))
        reader = BagReader(tmp_path / "old")
        (message,) = reader.messages()
        assert (decode(message).data, message.log_time) == ("hello", 5)
        assert "has no send times" in reader.losses[0]

    def test_a_cut_sqlite_bag_is_refused_with_the_cure(self, tmp_path):
        pytest.importorskip("apsw", reason="rosbags cannot be imported without apsw, which it requires")
        (tmp_path / "old_0.db3").write_bytes(b"SQLite format 3\0")
        with pytest.raises(ValueError, match="ros2 bag convert"):
            list(BagReader(tmp_path).messages())

    def test_steering_that_the_suite_does_not_know_is_named(self, bag):
        made = bag()
        made.episode = 1
        made.result(3, "success", steering=Steering().to_dict() | {"method": "magic"})
        with pytest.raises(ValueError, match="/episode/result cannot be used.*magic"):
            read_contents(made.close())

    def test_an_older_message_definition_is_named(self, tmp_path, encode):
        path = tmp_path / "old.mcap"
        writer = Writer(str(path))
        writer.start("ros2")
        channel = writer.register_channel(
            "/episode/result", "cdr", writer.register_schema(RESULT, "ros2msg", b"string data")
        )
        writer.add_message(channel, 5, encode(STRING, data="hello"), 3)
        writer.finish()
        with pytest.raises(ValueError, match="recorded with another version"):
            read_contents(path)


class TestRefusals:
    def test_no_bag(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no bag"):
            BagReader(tmp_path / "nothing")

    def test_a_folder_without_a_bag(self, tmp_path):
        (tmp_path / "run_0.mcap.zstd").touch()
        with pytest.raises(FileNotFoundError, match=r"holds no .mcap file, but run_0.mcap.zstd; unpack"):
            BagReader(tmp_path)

    def test_another_kind_of_file(self, tmp_path):
        (tmp_path / "a.mcap").write_bytes(b"not a bag at all, but long enough")
        with pytest.raises(ValueError, match="is no MCAP file"):
            list(BagReader(tmp_path).messages())

    def test_another_profile(self, tmp_path):
        writer = Writer(str(tmp_path / "a.mcap"))
        writer.start("ros1")
        writer.finish()
        with pytest.raises(ValueError, match="profile 'ros1', expected 'ros2'"):
            list(BagReader(tmp_path).messages())

    def test_bytes_that_do_not_fit_the_definition(self, bag):
        made = bag()
        made.writer.add_topic("/text", STRING)
        made.writer.write("/text", struct.pack("<II", 0x100, 10**6), 1)
        (message,) = BagReader(made.close()).messages()
        with pytest.raises(ValueError, match="a message of /text is no std_msgs/msg/String"):
            decode(message)
