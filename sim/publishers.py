"""The simulator's side of the wire: what it publishes about a scene, and its episodes and chunks as messages."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from numpy.typing import ArrayLike, NDArray
from psr_interfaces.msg import ActionChunk, EpisodeResult, TaskFlag
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState, RegionOfInterest
from std_msgs.msg import Header

from psr_core.rotations import matrix_to_quat_xyzw
from psr_core.steering import Steering
from psr_ros import qos
from psr_ros.images import to_image
from psr_ros.lifecycle import SuiteNode
from psr_ros.messages import (
    NANOSECONDS,
    duration_to_seconds,
    nanoseconds_to_time,
    steering_from_message,
    steering_to_message,
)
from sim.display import Display
from sim.env import Observation
from sim.environments import Environment
from sim.episode import Chunk, Result, Settings
from sim.rendering import CameraImages
from sim.tasks import Task

WORLD = "world"
NOTHING_SAMPLED = Settings(Steering(method="none"), sampler="", num_inference_steps=0, checkpoint="")


class ScenePublishers:
    """The clock and the observation topics of one task."""

    def __init__(self, node: SuiteNode, task: Task) -> None:
        self._node = node
        events = qos.events()
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._joints = node.create_publisher(JointState, "/joint_states", events)
        self._ee_poses = [
            node.create_publisher(PoseStamped, f"/robot{number}/ee_pose" if number else "/ee_pose", events)
            for number in range(task.robots)
        ]
        self._objects = {
            name: node.create_publisher(PoseStamped, f"/objects/{name}/pose", events) for name in task.objects
        }
        self._flags = {name: node.create_publisher(TaskFlag, f"/task/{name}", events) for name in task.flags}

    def publish(self, observation: Observation, stamp: Time) -> None:
        """The clock, the joints and the poses, all with this stamp."""
        header = Header(stamp=stamp, frame_id=WORLD)
        self._clock.publish(Clock(clock=stamp))
        if observation.joint_names:
            self._joints.publish(
                JointState(
                    header=Header(stamp=stamp),
                    name=observation.joint_names,
                    position=observation.joint_positions.tolist(),
                    velocity=observation.joint_velocities.tolist(),
                )
            )
        for publisher, hand in zip(self._ee_poses, observation.hands, strict=True):
            publisher.publish(_pose(header, hand.position, hand.quat_xyzw))
        for name, (position, quat_xyzw) in observation.objects.items():
            self._objects[name].publish(_pose(header, position, quat_xyzw))
        for name, value in observation.flags.items():
            self._flags[name].publish(TaskFlag(header=Header(stamp=stamp), value=value))

    def destroy(self) -> None:
        """Take the topics off the graph."""
        described = (*self._ee_poses, *self._objects.values(), *self._flags.values())
        for publisher in (self._clock, self._joints, *described):
            self._node.destroy_publisher(publisher)


class CameraPublishers:
    """The topics of one camera, described by parameters camera.*, and of the solid before it, if there is one.

    Drawn only while somebody subscribes to one of the camera's.
    """

    def __init__(self, node: SuiteNode) -> None:
        self.error = ""
        self._node = node
        self._frame = f"{node.parameter('camera.name')}_optical_frame"
        self._period = NANOSECONDS / node.parameter("camera.rate")
        self._last = -1
        profile = qos.images(node.parameter("camera.reliability"))
        self._rgb = node.create_publisher(Image, "/camera/image_raw", profile)
        self._depth = node.create_publisher(Image, "/camera/depth/image_raw", profile)
        self._info = node.create_publisher(CameraInfo, "/camera/camera_info", profile)
        self._display = DisplayPublishers(node) if node.parameter("display") else None

    def publish(self, env: Environment, nanoseconds: int) -> None:
        """Draw and publish colour, depth and calibration, frame "<camera>_optical_frame", if it is time and wanted.

        It is time camera.rate times per second, and whenever a scene is shown again. A camera that cannot be drawn is
        reported once and left alone, until the node is configured anew.
        """
        before = nanoseconds - step_nanoseconds(env.task)
        due = nanoseconds == self._last or nanoseconds // self._period != before // self._period
        self._last = nanoseconds
        if self.error or not due or not any(p.get_subscription_count() for p in (self._rgb, self._depth, self._info)):
            return
        try:
            images = env.images(nanoseconds / NANOSECONDS)
        except (RuntimeError, ValueError) as error:
            self.error = str(error)
            self._node.get_logger().error(f"no images: {error}")
            return
        header = Header(stamp=nanoseconds_to_time(nanoseconds), frame_id=self._frame)
        if self._display is not None and images.display is not None:
            self._display.publish(images.display, images.K, header)  # first, so that who gets the image has the region
        self._rgb.publish(to_image(images.rgb, "rgb8", header))
        self._depth.publish(to_image(images.depth, "32FC1", header))
        self._info.publish(_camera_info(header, images))

    def destroy(self) -> None:
        """Take the topics off the graph."""
        for publisher in (self._rgb, self._depth, self._info):
            self._node.destroy_publisher(publisher)
        if self._display is not None:
            self._display.destroy()


class DisplayPublishers:
    """Where the solid before the camera really is, and which part of the image shows it."""

    def __init__(self, node: SuiteNode) -> None:
        self._node = node
        profile = qos.images(node.parameter("camera.reliability"))
        self._pose = node.create_publisher(PoseStamped, "/display/pose", profile)
        self._region = node.create_publisher(RegionOfInterest, "/display/region", profile)

    def publish(self, display: Display, K: NDArray[np.float64], header: Header) -> None:
        """header: of the image. K: the camera's matrix (3, 3)."""
        column, row, side = display.region(K)
        self._region.publish(RegionOfInterest(x_offset=column, y_offset=row, width=side, height=side))
        self._pose.publish(_pose(header, display.position, matrix_to_quat_xyzw(display.rotation)))

    def destroy(self) -> None:
        """Take the topics off the graph."""
        for publisher in (self._pose, self._region):
            self._node.destroy_publisher(publisher)


def result_message(result: Result, task: str, stamp: Time) -> EpisodeResult:
    """Field by field; an episode without a chunk has steering method "none" and an empty checkpoint."""
    settings = result.settings or NOTHING_SAMPLED
    return EpisodeResult(
        header=Header(stamp=stamp),
        task=task,
        episode=result.episode,
        seed=result.seed,
        outcome=int(result.outcome),
        success=result.outcome == EpisodeResult.SUCCESS,
        max_reward=result.max_reward,
        steps=result.steps,
        checkpoint=settings.checkpoint,
        steering=steering_to_message(settings.steering),
        mixed_steering=result.mixed,
        sampler=settings.sampler,
        num_inference_steps=settings.num_inference_steps,
        chunks=result.chunks,
        deadline_misses=result.deadline_misses,
        late_rows=result.late_rows,
        latency_mean=result.latency_mean,
        latency_max=result.latency_max,
        mode=result.mode,
        reason=result.reason,
    )


def step_nanoseconds(task: Task) -> int:
    """Simulated time of a control step."""
    return NANOSECONDS // task.control_frequency


def chunk_from_message(message: ActionChunk, env: Environment) -> Chunk:
    """The chunk of a message. Raises ValueError, naming field and value, for one that must not be executed in env.

    step_period must be the simulator's, or 0 for unsaid: the rows of a policy made for another one mean something else.
    """
    horizon, dim, size = message.horizon, message.dim, len(message.data)
    if horizon * dim != size:
        raise ValueError(f"horizon {horizon} x dim {dim} is {horizon * dim}, but data holds {size} numbers")
    period, frequency = duration_to_seconds(message.step_period), env.task.control_frequency
    if period and abs(period * frequency - 1) > 1e-6:
        raise ValueError(f"step_period is {period:g} s, expected {1 / frequency:g} s")
    chunk = Chunk(
        session=message.session,
        episode=message.episode,
        step=message.step,
        rows=np.array(message.data, np.float32).reshape(horizon, dim),
        n_action_steps=message.n_action_steps,
        settings=Settings(
            steering_from_message(message.steering), message.sampler, message.num_inference_steps, message.checkpoint
        ),
        latency=duration_to_seconds(message.latency),
    )
    env.check_rows(chunk.rows)
    return chunk


def _pose(header: Header, position: ArrayLike, quat_xyzw: ArrayLike) -> PoseStamped:
    x, y, z = np.asarray(position, dtype=float).tolist()
    qx, qy, qz, qw = np.asarray(quat_xyzw, dtype=float).tolist()
    pose = Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
    return PoseStamped(header=header, pose=pose)


def _camera_info(header: Header, images: CameraImages) -> CameraInfo:
    height, width = images.depth.shape
    return CameraInfo(
        header=header,
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=images.K.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([images.K, np.zeros((3, 1))]).ravel(),
    )
