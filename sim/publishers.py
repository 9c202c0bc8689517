"""The simulator's side of the wire: what it publishes about a scene, and its episodes and chunks as messages."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from numpy.typing import ArrayLike
from psr_interfaces.msg import ActionChunk, EpisodeResult, EpisodeState
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header

from psr_core.steering import Steering
from psr_ros import qos
from psr_ros.images import to_image
from psr_ros.lifecycle import SuiteNode
from psr_ros.messages import duration_to_seconds, steering_from_message, steering_to_message
from sim.actions import row_to_action
from sim.env import Observation
from sim.episode import Chunk, Episode, Result, Settings
from sim.rendering import CameraImages
from sim.tasks import Task

WORLD = "world"
NOTHING_SAMPLED = Settings(Steering(method="none"), sampler="", num_inference_steps=0, checkpoint="")


class ScenePublishers:
    """The clock, the observation topics of one task, and its camera."""

    def __init__(self, node: SuiteNode, task: Task, camera_reliability: str) -> None:
        self._node = node
        events, images = qos.events(), qos.images(camera_reliability)
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._joints = node.create_publisher(JointState, "/joint_states", events)
        self._ee_pose = node.create_publisher(PoseStamped, "/ee_pose", events)
        self._objects = {
            name: node.create_publisher(PoseStamped, f"/objects/{name}/pose", events) for name in task.objects
        }
        self._rgb = node.create_publisher(Image, "/camera/image_raw", images)
        self._depth = node.create_publisher(Image, "/camera/depth/image_raw", images)
        self._camera_info = node.create_publisher(CameraInfo, "/camera/camera_info", images)

    @property
    def camera_wanted(self) -> bool:
        """True while somebody subscribes to one of the camera's topics."""
        return any(p.get_subscription_count() for p in (self._rgb, self._depth, self._camera_info))

    def observation(self, observation: Observation, stamp: Time) -> None:
        """Publish the clock, the joints and the poses, all with this stamp."""
        header = Header(stamp=stamp, frame_id=WORLD)
        self._clock.publish(Clock(clock=stamp))
        self._joints.publish(
            JointState(
                header=Header(stamp=stamp),
                name=observation.joint_names,
                position=observation.joint_positions.tolist(),
                velocity=observation.joint_velocities.tolist(),
            )
        )
        self._ee_pose.publish(_pose(header, observation.eef_position, observation.eef_quat_xyzw))
        for name, (position, quat_xyzw) in observation.objects.items():
            self._objects[name].publish(_pose(header, position, quat_xyzw))

    def images(self, images: CameraImages, stamp: Time, camera: str) -> None:
        """Publish colour, depth and calibration with this stamp; the frame is "<camera>_optical_frame"."""
        header = Header(stamp=stamp, frame_id=f"{camera}_optical_frame")
        self._rgb.publish(to_image(images.rgb, "rgb8", header))
        self._depth.publish(to_image(images.depth, "32FC1", header))
        self._camera_info.publish(_camera_info(header, images))

    def destroy(self) -> None:
        """Take every topic off the graph."""
        camera = (self._rgb, self._depth, self._camera_info)
        for publisher in (self._clock, self._joints, self._ee_pose, *self._objects.values(), *camera):
            self._node.destroy_publisher(publisher)


def state_message(task: str, number: int, seed: int, step: int, episode: Episode | None, stamp: Time) -> EpisodeState:
    """The state that goes with the observation of that stamp: idle without an episode, else running or done."""
    status = EpisodeState.IDLE
    if episode is not None:
        status = EpisodeState.DONE if episode.over else EpisodeState.RUNNING
    return EpisodeState(
        header=Header(stamp=stamp),
        task=task,
        episode=number,
        seed=seed,
        step=step,
        status=status,
        await_chunk=episode is not None and episode.awaiting,
    )


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


def chunk_from_message(message: ActionChunk, step_period: float) -> Chunk:
    """The chunk of a message. Raises ValueError, naming field and value, for one that must not be executed.

    step_period: seconds of a control step here; a policy made for another one is refused (0 in the message: unsaid).
    """
    horizon, dim, size = message.horizon, message.dim, len(message.data)
    if horizon * dim != size:
        raise ValueError(f"horizon {horizon} x dim {dim} is {horizon * dim}, but data holds {size} numbers")
    period = duration_to_seconds(message.step_period)
    if period and abs(period - step_period) > 1e-6:
        raise ValueError(f"step_period is {period:g} s, expected {step_period:g} s")
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
    row_to_action(chunk.rows)  # raises for rows that name no rotation
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
