"""Where ToolHang's pieces are, and where a hand that reaches for one of them or holds it should be heading.

The hook frame is an upside-down L: a rod with a thick grip below its corner, and an arm whose end is bent up. Its z
axis runs from the rod's tip to the corner, its x axis from the arm's end to the corner. The tool's x axis runs from
its big hole along the handle. Lengths in m, those that robosuite's ToolHang builds its objects with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psr_core.rotations import matrix_to_axis_angle, quat_xyzw_to_matrix
from sim.env import Observation
from sim.experts.motion import Array, limited, smooth, turned_towards

UP: Array = np.array([0.0, 0.0, 1.0])
# from the frame's corner, in its axes
ROD_TIP: Array = np.array([0.0, 0.0, -0.2207])
FRAME_GRIP: Array = np.array([0.0, 0.0, -0.03375])
HOOK_END: Array = np.array([-0.0875, 0.0, 0.0])
SEAT: Array = np.array([-0.07725, 0.0, 0.00375])  # on the arm, just inside the bent end
# from the tool's centre, in its axes
LIP: Array = np.array([-0.1032, 0.0, -0.0035])  # the edge of the hole that comes to rest on the seat
# from the centre of the stand's base plate
MOUNT: Array = np.array([0.0, 0.045, 0.155])  # the mouth of the stand's hole
BOTTOM = 0.005
# half the thickness of what the fingers close on
FRAME_HALF, TOOL_HALF = 0.0127, 0.015


@dataclass(frozen=True)
class Pose:
    """A position (3,) in m and a rotation (3, 3) in the world frame."""

    position: Array
    rotation: Array

    def at(self, point: Array) -> Array:
        """A point given in the pose's own axes, in the world."""
        moved: Array = self.position + self.rotation @ point
        return moved


@dataclass(frozen=True)
class Scene:
    """The poses that are observed, and half the width in m that is left between the fingers."""

    hand: Pose
    base: Pose
    frame: Pose
    tool: Pose
    fingers: float
    assembled: bool
    hung: bool

    @classmethod
    def seen(cls, observation: Observation) -> Scene:
        """What an observation of ToolHang shows."""
        poses = {name: Pose(p, quat_xyzw_to_matrix(quat)) for name, (p, quat) in observation.objects.items()}
        return cls(
            hand=Pose(observation.eef_position, observation.eef_rotation),
            fingers=float(np.abs(observation.features["robot0_gripper_qpos"]).sum() / 2),
            assembled=observation.flags["frame_is_assembled"],
            hung=observation.flags["tool_on_frame"],
            **poses,
        )


@dataclass(frozen=True)
class Move:
    """Where the hand should be heading, how near its work is done (0 to 1; near is slow), whether to let go now.

    turn: share (0 to 1) of the episode's speed of turning; error: m that a held object is off its way.
    """

    target: Pose
    near: float = 0.0
    turn: float = 1.0
    release: bool = False
    error: float = 1.0


def angle_between(a: Array, b: Array) -> float:
    """The angle between two rotations (3, 3) in rad."""
    return float(np.linalg.norm(matrix_to_axis_angle(a @ b.T)))


def stepped(hand: Pose, target: Pose, reach: float, turn: float) -> Pose:
    """The hand's pose moved towards the target by at most reach m and turn rad.

    The last centimetres are exaggerated: the arm is soft, and what it holds would pull it a little off the target.
    """
    offset = target.position - hand.position
    gain = 1.6 - 0.6 * smooth(float(np.linalg.norm(offset)) / 0.02)
    return Pose(hand.position + limited(gain * offset, reach), turned_towards(hand.rotation, target.rotation, turn))


def moved_with(hand: Pose, held: Pose, goal: Pose, point: Array, turn: float) -> Pose:
    """The hand's pose that turns a held object by at most `turn` rad towards its goal's rotation and brings this point
    of it (its axes) to goal.position."""
    turning = turned_towards(held.rotation, goal.rotation, turn) @ held.rotation.T
    return Pose(goal.position + turning @ (hand.position - held.at(point)), turning @ hand.rotation)


def frame_grasp(scene: Scene, along: float, lean: float) -> Pose:
    """The hand on the frame's grip, `along` m up from its middle; by the upright frame it points `lean` rad downwards.

    It comes from above when the frame lies, else from where it is.
    """
    axes = scene.frame.rotation
    towards = -UP if abs(axes[2, 1]) > 0.5 else scene.hand.rotation[:, 2]
    side = axes[:, 1] if axes[:, 1] @ towards > 0 else -axes[:, 1]
    z = side * np.cos(lean) - axes[:, 2] * np.sin(lean)
    rotation = np.stack([axes[:, 0], np.cross(z, axes[:, 0]), z], axis=1)
    # a leaning finger's corner reaches deeper, where the table is
    return Pose(scene.frame.at(FRAME_GRIP + UP * along) - side * 0.01 * abs(np.sin(lean)), rotation)


def tool_grasp(scene: Scene, along: float, lean: float) -> Pose:
    """The hand on the tool's grip, `along` m from its middle, leaning by `lean` rad towards the hole; of the two ways
    round the one that turns the hand less."""
    axes = scene.tool.rotation
    down = -axes[:, 2] if axes[2, 2] > 0 else axes[:, 2]
    x = axes[:, 1] if axes[:, 1] @ scene.hand.rotation[:, 0] > 0 else -axes[:, 1]
    z = axes[:, 0] * np.sin(lean) + down * np.cos(lean)
    rotation = np.stack([x, np.cross(z, x), z], axis=1)
    return Pose(scene.tool.at(np.array([along, 0, 0])) - down * 0.003, rotation)


def above_grasp(hand: Pose, grasp: Pose, hover: float, rim: float) -> Pose:
    """Where to head for a grasp from above: in a funnel of this rim around it, at `hover` above it outside."""
    aside = float(np.linalg.norm((hand.position - grasp.position)[:2]))
    aside += 0.05 * angle_between(grasp.rotation, hand.rotation)
    return Pose(grasp.position + UP * hover * smooth((aside - 0.008) / (rim - 0.008)), grasp.rotation)


def insertion(scene: Scene, heading: float, miss: Array, turn: float) -> Move:
    """Carry the frame over the stand, upright, the hand pointing to `heading` (rad), and stick it in.

    miss: offset (3,) from the hole's mouth that is aimed at. The point that is steered is the rod's tip, and inside
    the hole that of the rod which is in its mouth.
    """
    frame, mount = scene.frame, scene.base.at(MOUNT) + miss
    tip = frame.at(ROD_TIP)
    height, beside = float(tip[2] - mount[2]), float(np.linalg.norm((tip - mount)[:2]))
    inside = height < -0.005 and beside < 0.02
    point = ROD_TIP + UP * (-height if inside else 0.0)
    aside = float(np.linalg.norm((frame.at(point) - mount)[:2]))
    rotation = _upright(scene, heading)
    lean = float(np.arccos(np.clip(frame.rotation[2, 2], -1, 1)))
    error = aside + 0.08 * angle_between(frame.rotation, rotation)
    far = smooth((error - 0.01) / 0.05)
    raised = smooth((aside + 0.02 * lean - 0.0015) / 0.003) if inside else smooth((error - 0.003) / 0.005)
    climb = raised * (0.012 + 0.02 * far - height) - (1 - raised) * 0.03
    goal = np.array([*mount[:2], frame.at(point)[2] + climb])
    turning = smooth((tip[2] - scene.base.position[2] - 0.02) / 0.04)  # not before the tip has room below it
    target = moved_with(scene.hand, frame, Pose(goal, rotation), point, turn * turning)
    if not inside:
        free = max(smooth((height + 0.02) / 0.02), smooth((beside - 0.06) / 0.06))  # never against the stand's side
        target = _held_back(scene.hand, target, free)
    in_place = scene.assembled and tip[2] < scene.base.position[2] + BOTTOM + 0.006
    return Move(target, near=1 - far, turn=turning, release=in_place, error=error)


def hanging(scene: Scene, dips: tuple[float, float], lean: float, miss: Array, turn: float) -> Move:
    """Carry the tool to the hook, slip its hole over the bent end, lower the handle there, and let go.

    dips: how far (rad) the handle is below horizontal on the way and when it is let go. lean: that of the grasp.
    """
    frame, tool, hand = scene.frame, scene.tool, scene.hand
    lip = LIP * [1, 1, 1 if tool.rotation[2, 2] > 0 else -1]
    seat = frame.at(SEAT) + miss
    off = tool.at(lip) - seat
    aside, height = float(np.linalg.norm(off[:2])), float(off[2])
    seated = smooth((0.008 - height) / 0.004) * smooth((0.007 - aside) / 0.003)
    rotation = _dipped(frame, tool, dips[0] + seated * (dips[1] - dips[0]))
    error = aside + 0.02 * (1 - seated) * angle_between(tool.rotation, rotation)
    far, raised = smooth((error - 0.01) / 0.05), smooth((error - 0.004) / 0.004)
    goal = seat + UP * (0.001 + raised * (0.025 + 0.03 * far))
    turning = smooth((tool.position[2] - scene.base.position[2] - 0.045) / 0.05) * (1 - 0.5 * seated)
    target = moved_with(hand, tool, Pose(goal, rotation), lip, turn * turning)
    free = max(smooth(height / 0.03), smooth((aside - 0.08) / 0.06))  # never against the hook from the side
    if aside > 0.012:
        target = _held_back(hand, target, free)
    slipped = abs(np.arcsin(np.clip(hand.rotation[:, 2] @ tool.rotation[:, 0], -1, 1)) - lean) > 0.4
    dip = -float(np.arcsin(np.clip(tool.rotation[2, 0], -1, 1)))
    in_place = dip > dips[1] - 0.1 and height < 0.006 and aside < 0.006
    return Move(target, near=1 - far, turn=turning, release=bool(in_place or slipped), error=error)


def over_the_hook(scene: Scene, target: Pose, goal: Pose, crossing: float) -> Move:
    """Lead an empty hand to target, which belongs to a grasp at goal: back out of the frame first where it is at the
    grip, then `crossing` m above the corner wherever it is near the frame."""
    hand, frame = scene.hand, scene.frame
    near = _segment_distance(hand.position, frame.position, frame.at(HOOK_END))
    height = float(hand.position[2] - frame.position[2])
    if abs(hand.rotation[2, 2]) < 0.6 and height < 0.05 and near < 0.1:
        return Move(Pose(_backed_out(scene, FRAME_HALF) + UP * 0.1 * smooth((near - 0.03) / 0.04), hand.rotation))
    aside = float(np.linalg.norm((hand.position - goal.position)[:2]))
    need = (1 - smooth((near - 0.1) / 0.08)) * smooth((aside - 0.02) / 0.05)
    rise = UP * need * max(frame.position[2] + crossing - target.position[2], 0)
    free = max(smooth((height - crossing + 0.06) / 0.04), 1 - need)
    return Move(_held_back(hand, Pose(target.position + rise, target.rotation), free))


def leaving_tool(scene: Scene) -> Move:
    """Back away from the hanging tool, as soon as the fingers are off it, and wait a hand's width from it."""
    gone = float(np.linalg.norm(scene.hand.position - scene.tool.position))
    back = _backed_out(scene, TOOL_HALF) - scene.hand.position
    return Move(Pose(scene.hand.position + back * (1 - smooth((gone - 0.14) / 0.06)), scene.hand.rotation))


def _backed_out(scene: Scene, half: float) -> Array:
    """A point (3,) behind the hand, the further the wider its fingers are open."""
    hand = scene.hand
    back: Array = hand.position - 0.08 * smooth((scene.fingers - half - 0.003) / 0.01) * hand.rotation[:, 2]
    return back


def _held_back(hand: Pose, target: Pose, share: float) -> Pose:
    """The target with only this share of the horizontal way to it."""
    position = target.position.copy()
    position[:2] = hand.position[:2] + share * (position - hand.position)[:2]
    return Pose(position, target.rotation)


def _upright(scene: Scene, heading: float) -> Array:
    """The frame's rotation with its rod upright and the side that the hand is on turned against `heading`."""
    sign = 1.0 if scene.frame.rotation[:, 1] @ scene.hand.rotation[:, 2] > 0 else -1.0
    y = sign * np.array([np.cos(heading), np.sin(heading), 0.0])
    return np.stack([np.cross(y, UP), y, UP], axis=1)


def _dipped(frame: Pose, tool: Pose, dip: float) -> Array:
    """The tool's rotation with its handle pointing away from the stand and `dip` rad below horizontal."""
    out = -frame.rotation[:, 0] * [1, 1, 0]
    out = out / np.linalg.norm(out)
    x = out * np.cos(dip) - UP * np.sin(dip)
    y = np.cross(UP, out) * (1 if tool.rotation[2, 2] > 0 else -1)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _segment_distance(point: Array, start: Array, end: Array) -> float:
    """Horizontal distance (m) of a point from the segment between two others."""
    along = (end - start)[:2]
    share = np.clip((point - start)[:2] @ along / max(float(along @ along), 1e-12), 0, 1)
    return float(np.linalg.norm(point[:2] - start[:2] - share * along))
