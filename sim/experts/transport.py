"""A scripted expert for Transport: both arms work at once, meet in the middle and hand the hammer over.

Arm 0 lays the lid aside, takes the hammer at its near end and holds it out between the tables. Arm 1 puts the trash
cube into its bin, waits by the place of meeting, takes the hammer by its far end and, when arm 0 has let go and moved
up, lets it fall into the target bin. What either arm does next follows from where the things are and what its fingers
are closed on, so a thing that slipped is taken again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from psr_core.rotations import quat_xyzw_to_matrix
from sim.env import Observation
from sim.experts.motion import Array, Wander, smooth
from sim.experts.transport_hand import Grasp, TransportHand, cube_yaw, hand_rotation, handle_axis, split, yaw_along
from sim.experts.transport_style import TransportStyle

_STREAM = 0x7A45  # keeps the expert's random numbers apart from the scene's, which come from the same seed
_WIDTHS = {"lid": 0.02, "trash": 0.04, "hammer": 0.03}  # between the fingers
_LID_ON_TABLE = 0.826  # height of the handle's middle
_LID_CLEAR = 0.983  # height of the hand at which the lid has left the bin's walls
_OVER_WALLS = 0.98  # height of an empty hand, or one with a thing, that passes over a bin's walls
_HAMMER_CLEAR = 1.0  # one with the hammer, which may hang a little
_HEAD = 0.034  # by which the hammer is longer on its head's side
_HALF_BIN = 0.14  # inside
_SWING = 0.013  # by which arm 1's hand swings towards its base as it closes on the cube, which would slip off its edge
Move = tuple[Array, Array, float]  # where to go (3,), (3, 3), and at which share of full speed


class TransportExpert:
    """One episode's expert: give it every observation in turn, command what it returns."""

    version = "transport-2"
    max_steps = 500

    def __init__(self, seed: int, grade: str = "proficient") -> None:
        self._rng = np.random.default_rng([seed, _STREAM])
        self.style = TransportStyle.draw(self._rng, grade)
        self._hands = tuple(TransportHand(arm, self.style.reach[arm], self.style.turn) for arm in (0, 1))
        self._wanders = tuple(Wander(self._rng, self.style.noise) for _ in (0, 1))
        self._task = ["", ""]  # what each hand is on
        self._tail = self._front = 0.0  # where arms 0 and 1 take the hammer, from its middle towards themselves
        self._start_bin: Array = np.zeros(3)
        self._missed: set[str] = set()  # things that fingers have closed above

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The row (20,) to command now."""
        for hand in self._hands:
            hand.look(observation)
        if observation.step == 0:
            self._start_bin = observation.objects["lid_handle"][0]
            ahead = int(_head_points_to_arm_1(observation))
            self._tail, self._front = self.style.tail[ahead], self.style.front[ahead]
        moves = (self._act_0(observation), self._act_1(observation))
        rows = []
        for hand, wander, (target, rotation, pace) in zip(self._hands, self._wanders, moves, strict=True):
            far = smooth((float(np.linalg.norm(target - hand.position)) - 0.02) / 0.08)
            pace *= self._pace(hand.number, observation.step)
            rows.append(hand.row(target + far * wander.step(), rotation, pace))
        return np.concatenate(rows)

    def _pace(self, arm: int, step: int) -> float:
        slow = any(arm == which and 0 <= step - start < steps for which, start, steps in self.style.pauses)
        return 0.1 if slow else 1.0

    def _act_0(self, observation: Observation) -> Move:
        lid, hammer = observation.objects["lid_handle"][0], observation.objects["payload"][0]
        hand = self._hands[0]
        if self._task[0] == "lid" and hand.gripping or lid[0] > -0.08:
            self._task[0] = "lid"
            return self._lid(observation)
        self._task[0] = "hammer"
        if self._hands[1].held and self._task[1] == "hammer" or hammer[1] > 0.15:
            hand.release()
            return self._withdraw(observation)
        return self._hold_out(observation)

    def _act_1(self, observation: Observation) -> Move:
        hand, hammer = self._hands[1], observation.objects["payload"][0]
        lid = observation.objects["lid_handle"][0]
        if self.style.after_lid and lid[0] > 0.15 and lid[2] < _LID_CLEAR:
            return self._go_home(hand)
        if self._task[1] == "trash" and hand.gripping or not _inside(observation, "trash", "trash_bin"):
            self._task[1] = "trash"
            return self._trash(observation)
        self._task[1] = "hammer"
        if not hand.gripping and _inside(observation, "payload", "target_bin") and hammer[2] < 1.0:
            return self._go_home(hand)
        return self._fetch(observation)

    def _lid(self, observation: Observation) -> Move:
        style, hand = self.style, self._hands[0]
        middle, quat = observation.objects["lid_handle"]
        axis = handle_axis(quat, 1)
        rotation = hand_rotation(0, yaw_along(axis) + style.yaw_offset)
        grasp = Grasp(middle + style.lid_along * axis + [0, 0, style.grasp_height], rotation, _WIDTHS["lid"])
        if (reaching := self._reach(hand, "lid", grasp)) is not None:
            return reaching
        goal = np.array([*style.lid_place, _LID_ON_TABLE + style.grasp_height + style.lid_drop])
        target = hand.above(goal, _LID_CLEAR + 0.03, _LID_CLEAR, 0.07)
        if np.linalg.norm(hand.position[:2] - goal[:2]) < 0.03 and hand.position[2] < goal[2] + 0.012:
            hand.release()
        return target, hand_rotation(0), 1.0

    def _hold_out(self, observation: Observation) -> Move:
        style, hand = self.style, self._hands[0]
        middle, quat = observation.objects["payload"]
        axis = handle_axis(quat, 2)
        rotation = hand_rotation(0, yaw_along(axis) + style.yaw_offset)
        grasp = Grasp(middle - self._tail * axis + [0, 0, style.grasp_height], rotation, _WIDTHS["hammer"])
        if (reaching := self._reach(hand, "hammer", grasp)) is not None:
            return reaching
        goal = style.meet - [0, self._tail, 0]
        if hand.position[2] < _HAMMER_CLEAR:  # head and tail have but 2 cm to the bin's walls, so both get the same
            ends_middle = middle + _HEAD / 2 * quat_xyzw_to_matrix(quat)[:, 2]
            hand.base = hand.position + self._start_bin - ends_middle
        target = hand.above(goal, _HAMMER_CLEAR + 0.06, _HAMMER_CLEAR, 0.1)
        free = smooth((hand.position[2] - _HAMMER_CLEAR) / 0.06)
        yaw = (1 - free) * yaw_along(hand.grip_rotation[:, 1])
        return target, hand_rotation(0, yaw, free * style.tilt[0]), 0.5 + 0.5 * free

    def _withdraw(self, observation: Observation) -> Move:
        """Up and off the hammer, then home."""
        hand, middle = self._hands[0], observation.objects["payload"][0]
        off = smooth((hand.position[2] - middle[2] - 0.03) / 0.04) if middle[1] < 0.15 else 1.0
        rest = self.style.rest[0]
        up = hand.position + [0, 0, 0.1]
        return up + off * (rest - up), hand_rotation(0, 0.0, (1 - off) * self.style.tilt[0]), 1.0

    def _trash(self, observation: Observation) -> Move:
        style, hand = self.style, self._hands[1]
        middle, quat = observation.objects["trash"]
        rotation = hand_rotation(1, cube_yaw(quat, style.trash_other_way) + style.yaw_offset)
        grasp = Grasp(middle + [0, -_SWING, style.grasp_height], rotation, _WIDTHS["trash"])
        if (reaching := self._reach(hand, "trash", grasp)) is not None:
            return reaching
        over = observation.objects["trash_bin"][0][:2] + style.trash_place
        goal = np.array([*over, style.trash_drop])
        if np.linalg.norm(hand.position[:2] - over) < 0.03 and hand.position[2] < goal[2] + 0.03:
            hand.release()
        return hand.above(goal, style.ceiling[1], _OVER_WALLS, 0.1), hand.grip_rotation, 1.0

    def _fetch(self, observation: Observation) -> Move:
        style, hand = self.style, self._hands[1]
        middle, quat = observation.objects["payload"]
        axis = handle_axis(quat, 2)
        other_to_go = float(np.linalg.norm(self._hands[0].position - style.meet + [0, self._tail, 0]))
        # following a hammer that is still on its way would run into it
        arrived = smooth((0.08 - other_to_go) / 0.05)
        position = middle + self._front * axis
        planned = style.meet + [0, self._front, 0]
        # high or tilted near its own base, the arm would run into its joints' limits and fold up for good
        near = smooth((0.3 - float(np.linalg.norm(hand.position - planned))) / 0.15)
        rotation = hand_rotation(1, arrived * yaw_along(axis), near * style.tilt[1])
        grasp = Grasp(planned + arrived * (position - planned), rotation, _WIDTHS["hammer"])
        if hand.gripping:
            grasp = Grasp(position, hand.grip_rotation, _WIDTHS["hammer"])
        if hand.take(grasp):
            return self._carry_home(observation)
        if hand.gripping:
            return grasp.position, grasp.rotation, 1.0
        away = smooth((other_to_go - 0.03) / 0.06)
        approach = rotation[:, 2]
        aside = split(hand.position - grasp.position, approach)[0] + 0.05 * hand.angle_to(rotation)
        back = style.retreat * max(away, smooth((aside - 0.015) / 0.04))
        waiting = grasp.position - back * approach
        target = np.array([*waiting[:2], style.ceiling[1] + near * (waiting[2] - style.ceiling[1])])
        return target, rotation, 1.0

    def _carry_home(self, observation: Observation) -> Move:
        """With the hammer to the target bin, once the other hand is off it."""
        style, hand = self.style, self._hands[1]
        middle = observation.objects["payload"][0]
        other = self._hands[0].position - middle
        off = 1.0 if np.linalg.norm(other) > 0.15 else smooth((other[2] - 0.03) / 0.04)
        over = observation.objects["target_bin"][0][:2] + style.hammer_place
        goal = np.array([*over, style.hammer_drop]) + hand.position - middle
        target = hand.above(goal, _HAMMER_CLEAR + 0.06, _HAMMER_CLEAR, 0.08)
        target = hand.position + off * (target - hand.position)
        if np.linalg.norm(middle[:2] - over) < 0.025 and middle[2] < style.hammer_drop + 0.02:
            hand.release()
        tilt = style.tilt[1] + off * (style.place_tilt - style.tilt[1])
        return target, hand_rotation(1, off * style.place_yaw, tilt), 1.0

    def _reach(self, hand: TransportHand, thing: str, grasp: Grasp) -> Move | None:
        """How to get hold of a thing from above; None once it is held. The first try may be meant to fail."""
        style = self.style
        if thing not in self._missed:
            too_high = style.too_high[list(_WIDTHS).index(thing)]
            grasp = Grasp(grasp.position + [0, 0, too_high], grasp.rotation, grasp.width)
        closing = hand.gripping
        if hand.take(grasp):
            return None
        if closing and not hand.gripping:
            self._missed.add(thing)
        if hand.gripping:
            return grasp.position, hand.grip_rotation, 1.0
        turn = hand.angle_to(grasp.rotation)
        target = hand.above(grasp.position, style.ceiling[hand.number], _OVER_WALLS, style.rim, turn)
        return target, grasp.rotation, 1.0

    def _go_home(self, hand: TransportHand) -> Move:
        return hand.above(self.style.rest[hand.number], 1.05, _OVER_WALLS, 0.1), hand_rotation(hand.number), 1.0


def _inside(observation: Observation, thing: str, container: str) -> bool:
    """Whether a thing is between the walls of a bin, or above."""
    offset = observation.objects[thing][0] - observation.objects[container][0]
    return bool(np.abs(offset[:2]).max() < _HALF_BIN)


def _head_points_to_arm_1(observation: Observation) -> bool:
    return bool(quat_xyzw_to_matrix(observation.objects["payload"][1])[1, 2] > 0)
