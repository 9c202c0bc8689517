"""The contract says in words what is wrong with it, before anything moves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace as Message

import numpy as np
import pytest
import yaml

from psr_policy.contract import load_contract
from psr_policy.dataset import action_names

ROOT = Path(__file__).resolve().parents[2]
LIFT = ROOT / "config" / "contracts" / "lift.yaml"
PUSHT = ROOT / "config" / "contracts" / "pusht.yaml"
CONTRACTS = {"Can": "can.yaml", "Square": "square.yaml", "ToolHang": "tool_hang.yaml", "Transport": "transport.yaml"}
LIFT_KEYS = [("object", 10), ("robot0_eef_pos", 3), ("robot0_eef_quat", 4), ("robot0_gripper_qpos", 2)]
COLUMNS = ["x", "y", "z", "r1", "r2", "r3", "r4", "r5", "r6", "gripper"]

# Message types as ROS describes them, so that nothing here needs ROS.
TYPES = {
    "std_msgs/msg/Header": {"stamp": "builtin_interfaces/Time", "frame_id": "string"},
    "geometry_msgs/msg/Point": dict.fromkeys("xyz", "double"),
    "geometry_msgs/msg/Quaternion": dict.fromkeys("xyzw", "double"),
    "geometry_msgs/msg/Pose": {"position": "geometry_msgs/Point", "orientation": "geometry_msgs/Quaternion"},
    "geometry_msgs/msg/PoseStamped": {"header": "std_msgs/Header", "pose": "geometry_msgs/Pose"},
    "sensor_msgs/msg/JointState": {
        "header": "std_msgs/Header",
        "name": "sequence<string>",
        "position": "sequence<double>",
    },
    "psr_interfaces/msg/TaskFlag": {"header": "std_msgs/Header", "value": "boolean"},
    "demo_msgs/msg/Odd": {
        "header": "std_msgs/Header",
        "force": "float",
        "wrench": "double[6]",
        "bounded": "sequence<float, 8>",
        "label": "string",
        "poses": "sequence<geometry_msgs/Pose>",
        "corners": "geometry_msgs/Point[4]",
    },
    "geometry_msgs/msg/Vector3": dict.fromkeys("xyz", "double"),
}


def resolve(name):
    if name not in TYPES:
        raise ValueError(f"message type {name} is not installed")
    fields = TYPES[name]
    return type(name, (), {"get_fields_and_field_types": classmethod(lambda cls: dict(fields))})


def point(*xyz):
    return Message(**dict(zip("xyz", xyz, strict=True)))


def pose(position, quaternion):
    orientation = Message(**dict(zip("xyzw", quaternion, strict=True)))
    return Message(pose=Message(position=point(*position), orientation=orientation))


def scene_messages(observation):
    """topic -> message, as the simulator publishes an observation."""
    messages = {
        f"/objects/{name}/pose": pose(*([float(v) for v in part] for part in placed))
        for name, placed in observation.objects.items()
    }
    for topic, hand in zip(("/ee_pose", "/robot1/ee_pose"), observation.hands, strict=False):
        messages[topic] = pose(map(float, hand.position), map(float, hand.quat_xyzw))
    for name, value in observation.flags.items():
        messages[f"/task/{name}"] = Message(value=value)
    positions = [float(q) for q in observation.joint_positions]
    messages["/joint_states"] = Message(name=list(observation.joint_names), position=positions)
    return messages


@pytest.fixture
def write(tmp_path):
    """write(document or text) -> path of a contract."""

    def write(content):
        path = tmp_path / "contract.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return write


def source(**changes):
    base = {"topic": "/arm", "type": "geometry_msgs/msg/PoseStamped", "field": "pose.position"}
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def features(*sources, **more):
    return {"features": {"hand": list(sources)}, **more}


class TestLift:
    def test_fits_the_policy_and_the_message_types(self):
        contract = load_contract(LIFT)
        contract.check(LIFT_KEYS, COLUMNS, resolve)
        contract.check_stamps(resolve)
        assert set(contract.topics) == {"/objects/cube/pose", "/ee_pose", "/joint_states"}
        assert contract.frame == "world"

    def test_reads_messages_of_any_joint_order(self):
        joints = Message(
            name=["wrist", "gripper0_right_finger_joint2", "elbow", "gripper0_right_finger_joint1"],
            position=[9.0, 0.02, 9.0, 0.01],
        )
        messages = {
            "/objects/cube/pose": pose((0.5, 0.25, 0.75), (0.0, 0.6, 0.0, 0.8)),
            "/ee_pose": pose((0.25, 0.5, 1.0), (1.0, 0.0, 0.0, 0.0)),
            "/joint_states": joints,
        }
        read = load_contract(LIFT).read(messages)
        assert list(read) == [name for name, _ in LIFT_KEYS]
        np.testing.assert_array_equal(read["object"], [0.5, 0.25, 0.75, 0.0, 0.6, 0.0, 0.8, 0.25, -0.25, -0.25])
        np.testing.assert_array_equal(read["robot0_eef_pos"], [0.25, 0.5, 1.0])
        np.testing.assert_array_equal(read["robot0_eef_quat"], [1.0, 0.0, 0.0, 0.0])
        np.testing.assert_array_equal(read["robot0_gripper_qpos"], [0.01, 0.02])

    def test_gives_what_the_simulator_observes_bit_for_bit(self):
        pytest.importorskip("robosuite")
        from sim.env import SimEnv

        env = SimEnv("Lift")
        contract = load_contract(LIFT)
        for observation in (env.reset(7), env.step([0.1, 0.05, 0.95, 1, 0, 0, 0, -1, 0, 1])):
            read = contract.read(scene_messages(observation))
            assert list(read) == list(observation.features)
            for name, values in observation.features.items():
                assert read[name].tobytes() == values.tobytes(), name
        env.close()


class TestPushT:
    def test_gives_what_the_simulator_observes_bit_for_bit(self):
        pytest.importorskip("gym_pusht")
        from sim.environments import make_env

        env = make_env("PushT")
        contract = load_contract(PUSHT)
        contract.check(env.task.obs_keys, ("x", "y"), resolve)
        for observation in (env.reset(7), env.step([100, 200])):
            read = contract.read(scene_messages(observation))
            assert list(read) == list(observation.features)
            for name, values in observation.features.items():
                assert read[name].tobytes() == values.tobytes(), name
        env.close()


class TestRobosuite:
    @pytest.mark.parametrize("task", ["Can", "Square", "ToolHang", "Transport"])
    def test_gives_what_the_simulator_observes_bit_for_bit(self, task):
        pytest.importorskip("robosuite")
        from sim.actions import pose_row
        from sim.env import SimEnv

        env = SimEnv(task)
        contract = load_contract(ROOT / "config" / "contracts" / CONTRACTS[task])
        contract.check(env.task.obs_keys, action_names(env.task.action_dim), resolve)
        contract.check_stamps(resolve)
        observation = env.reset(7)
        for _ in range(3):
            messages = scene_messages(observation)
            assert set(messages) >= set(contract.topics)
            read = contract.read(messages)
            assert list(read) == list(observation.features)
            for name, values in observation.features.items():
                assert read[name].tobytes() == values.tobytes(), name
            rows = [pose_row(hand.position + [0.05, 0, -0.05], hand.rotation, 1) for hand in observation.hands]
            observation = env.step(np.concatenate(rows))
        env.close()


class TestSources:
    def test_a_pose_is_seen_from_another(self, write):
        """The hand stands at (1, 0, 0), turned by 90 degrees about z; the nut one metre along the world's y from it."""
        half = np.sqrt(0.5)
        seen = source(field="pose", topic="/nut", seen_from={"topic": "/arm", "field": "pose"})
        contract = load_contract(write(features(source(), seen)))
        messages = {
            "/arm": pose((1.0, 0.0, 0.0), (0.0, 0.0, half, half)),
            "/nut": pose((1.0, 1.0, 0.0), (0.0, 0.0, half, half)),
        }
        np.testing.assert_allclose(contract.read(messages)["hand"][3:], [1, 0, 0, 0, 0, 0, 1], atol=1e-12)
        assert contract.users("/arm") == contract.users("/nut") == ["hand"]

    @pytest.mark.parametrize(
        ("changes", "message", "expected"),
        [
            ({"field": "wrench", "slice": "1:3"}, Message(wrench=[1.0, 2.0, 3.0, 4.0]), [2.0, 3.0]),
            ({"field": "force"}, Message(force=5.0), [5.0]),
            ({"field": "tip.corner"}, Message(tip=Message(corner=point(1, 2, 3))), [1.0, 2.0, 3.0]),
            ({"field": "position", "select": ["b"]}, Message(name=["a", "b"], position=[1.0, 2.0]), [2.0]),
        ],
    )
    def test_are_read(self, write, changes, message, expected):
        contract = load_contract(write(features(source(**changes))))
        np.testing.assert_array_equal(contract.read({"/arm": message})["hand"], expected)

    def test_are_joined_in_their_order(self, write):
        contract = load_contract(write(features(source(field="b"), source(field="a"))))
        np.testing.assert_array_equal(contract.read({"/arm": Message(a=1.0, b=2.0)})["hand"], [2.0, 1.0])

    def test_name_what_a_message_lacks(self, write):
        contract = load_contract(write(features(source(field="position", select=["left", "right"]))))
        with pytest.raises(ValueError, match="feature hand: /arm position lacks right; the message names: left, up"):
            contract.read({"/arm": Message(name=["left", "up"], position=[0.0, 1.0])})

    def test_notice_joints_without_positions(self, write):
        contract = load_contract(write(features(source(field="position", select=["left"]))))
        with pytest.raises(ValueError, match="has 0 numbers for 1 names"):
            contract.read({"/arm": Message(name=["left"], position=[])})

    def test_notice_differences_of_unequal_sizes(self, write):
        contract = load_contract(write(features(source(field="a", minus={"topic": "/arm", "field": "b"}))))
        with pytest.raises(ValueError, match="/arm a has 2 numbers, /arm b has 3"):
            contract.read({"/arm": Message(a=[1.0, 2.0], b=[1.0, 2.0, 3.0])})

    def test_know_who_uses_a_topic(self):
        contract = load_contract(LIFT)
        assert contract.users("/ee_pose") == ["object", "robot0_eef_pos", "robot0_eef_quat"]
        assert contract.users("/joint_states") == ["robot0_gripper_qpos"]


class TestForm:
    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ("features: [unclosed", "is not YAML"),
            ("", "the file is None, expected a mapping with some of: action, features"),
            ({"features": {}}, "features is {}"),
            ({"feature": {}}, "the file has unknown feature, expected some of: action, features"),
            ({"features": {"hand": "/arm"}}, r"features.hand is '/arm', expected a list of sources"),
            ({"features": {"hand": ["/arm"]}}, r"features.hand\[0\] is '/arm', expected a mapping"),
            (features(source(topic=None)), r"features.hand\[0\].topic is None, expected a text"),
            (features(source(field=3)), r"features.hand\[0\].field is 3, expected a text"),
            (features(source(field="pose/position")), "expected names joined by dots"),
            (features(source(fields="a")), r"features.hand\[0\] has unknown fields"),
            (features(source(type=None)), "no type is given for /arm; add `type:`"),
            (
                features(source(), source(type="a/msg/B")),
                r"\[1\].type is a/msg/B, but /arm was given geometry_msgs/msg",
            ),
            (features(source(minus={"topic": "/base", "field": "x"})), "no type is given for /base"),
            (features(source(minus={"field": "x"})), r"features.hand\[0\].minus.topic is None"),
            (
                features(source(minus={"topic": "/arm", "field": "x"}, seen_from={"topic": "/arm", "field": "x"})),
                r"features.hand\[0\] has both minus and seen_from, expected one of them",
            ),
            (features(source(select="left")), r"select is 'left', expected a list of names"),
            (features(source(slice="3:1")), r"""slice is '3:1', expected "first:end" such as "0:3\""""),
            (features(source(slice=2)), 'expected "first:end"'),
            (features(source(slice="0:1", select=["a"])), "has both select and slice"),
            (features(source(), action={"top": 1}), "action has unknown top"),
            (features(source(), action={"low": {"z": "down"}}), "action.low.z is 'down', expected a finite number"),
            (features(source(), action={"low": {"z": float("nan")}}), "action.low.z is nan"),
            (features(source(), action={"low": [0]}), r"action.low is \[0\], expected a mapping"),
            (features(source(), action={"low": {"z": 2}, "high": {"z": 1}}), "action.low is above action.high for z"),
        ],
    )
    def test_errors_name_file_place_and_value(self, write, content, text):
        path = write(content)
        with pytest.raises(ValueError, match=text) as error:
            load_contract(path)
        assert str(path) in str(error.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nowhere.yaml does not exist; give the path"):
            load_contract(tmp_path / "nowhere.yaml")


class TestCheck:
    def check(self, path, keys=(("hand", 3),)):
        load_contract(path).check(keys, COLUMNS, resolve)

    def test_unknown_and_missing_features(self, write):
        path = write(features(source()))
        with pytest.raises(ValueError, match="features lacks foot, which the policy observes"):
            self.check(path, [("hand", 3), ("foot", 3)])
        with pytest.raises(ValueError, match="the policy observes no hand; it observes: foot"):
            load_contract(write({"features": {"hand": [source()], "foot": [source()]}})).check(
                [("foot", 3)], COLUMNS, resolve
            )

    @pytest.mark.parametrize(
        ("changes", "size"),
        [
            ({}, 3),
            ({"field": "pose.orientation"}, 4),
            ({"field": "pose.position.x"}, 1),
            ({"type": "demo_msgs/msg/Odd", "field": "force"}, 1),
            ({"type": "demo_msgs/msg/Odd", "field": "wrench"}, 6),
            ({"type": "demo_msgs/msg/Odd", "field": "wrench", "slice": "2:6"}, 4),
            ({"type": "demo_msgs/msg/Odd", "field": "bounded", "slice": "0:2"}, 2),
            ({"type": "sensor_msgs/msg/JointState", "field": "position", "select": ["a", "b"]}, 2),
            ({"minus": {"topic": "/arm", "field": "pose.position"}}, 3),
        ],
    )
    def test_sizes_that_a_type_promises(self, write, changes, size):
        path = write(features(source(**changes)))
        self.check(path, [("hand", size)])
        with pytest.raises(ValueError, match=rf"features.hand has {size} .* numbers, the policy expects {size + 1}"):
            self.check(path, [("hand", size + 1)])

    @pytest.mark.parametrize("size", [1, 7])
    def test_sizes_that_only_a_message_can_tell_are_left_open(self, write, size):
        self.check(write(features(source(type="sensor_msgs/msg/JointState", field="position"))), [("hand", size)])

    def test_what_is_known_must_not_be_too_much(self, write):
        odd = {"type": "demo_msgs/msg/Odd"}
        path = write(features(source(**odd, field="bounded"), source(**odd, field="wrench")))
        self.check(path, [("hand", 8)])
        with pytest.raises(ValueError, match=r"\? \(/arm bounded\) \+ 6 \(/arm wrench\) numbers, the policy expects 5"):
            self.check(path, [("hand", 5)])

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"field": "pose.place"}, "geometry_msgs/Pose has no field place .* it has: position, orientation"),
            ({"field": "attitude"}, "geometry_msgs/msg/PoseStamped has no field attitude .* it has: header, pose"),
            (
                {"field": "header"},
                "header of type std_msgs/Header, which is no numbers; name one of stamp, frame_id",
            ),
            ({"field": "header.frame_id"}, "of type string, expected numbers"),
            ({"field": "pose.position.x.y"}, "y in pose.position.x.y is sought in a double"),
            ({"type": "demo_msgs/msg/Odd", "field": "poses"}, "expected numbers"),
            ({"type": "demo_msgs/msg/Odd", "field": "poses.position"}, "is sought in a sequence<geometry_msgs/Pose>"),
            ({"type": "demo_msgs/msg/Odd", "field": "corners"}, r"of type geometry_msgs/Point\[4\], expected numbers"),
            ({"type": "demo_msgs/msg/Odd", "field": "wrench", "slice": "4:8"}, "has 6 numbers, expected at least 8"),
            ({"type": "demo_msgs/msg/Odd", "field": "wrench", "select": ["a"]}, "has no field name"),
            ({"type": "nowhere_msgs/msg/Pose"}, "nowhere_msgs/msg/Pose is not installed"),
            ({"minus": {"topic": "/arm", "field": "pose.orientation"}}, "has 3 numbers, /arm pose.orientation has 4"),
            (
                {"seen_from": {"topic": "/arm", "field": "pose.position"}},
                "/arm pose.position has 3 numbers, but seen_from relates poses of 7",
            ),
        ],
    )
    def test_fields_that_the_type_lacks(self, write, changes, text):
        path = write(features(source(**changes)))
        with pytest.raises(ValueError, match=text) as error:
            self.check(path)
        assert f"{path}: features.hand" in str(error.value)

    def test_limits_of_an_unknown_column(self, write):
        with pytest.raises(ValueError, match="action names column 'height', expected some of: x, y, z"):
            self.check(write(features(source(), action={"low": {"height": 0.8}})))

    def test_limits_and_frame(self, write):
        contract = load_contract(
            write(features(source(), action={"frame": "base", "low": {"z": 0.8}, "high": {"z": 1}}))
        )
        contract.check([("hand", 3)], COLUMNS, resolve)
        assert (contract.frame, contract.low, contract.high) == ("base", {"z": 0.8}, {"z": 1.0})

    def test_a_type_without_a_stamp(self, write):
        contract = load_contract(write(features(source(type="geometry_msgs/msg/Vector3", field="x"))))
        with pytest.raises(
            ValueError, match="/arm has type geometry_msgs/msg/Vector3, which has no header; use a stamped"
        ):
            contract.check_stamps(resolve)


def test_the_described_types_are_those_of_ros():
    pytest.importorskip("geometry_msgs")
    from psr_ros.messages import message_class

    for name, fields in TYPES.items():
        if not name.startswith("demo_msgs"):
            real = message_class(name).get_fields_and_field_types()
            assert fields.items() <= dict(real).items(), name
