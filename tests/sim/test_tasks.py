"""The catalogue of tasks."""

import pytest

from sim.tasks import TASKS, get_task


def test_lift_has_robomimics_features_in_robomimics_order():
    lift = get_task("Lift")
    assert lift.obs_keys == (
        ("object", 10),
        ("robot0_eef_pos", 3),
        ("robot0_eef_quat", 4),
        ("robot0_gripper_qpos", 2),
    )
    assert (lift.action_dim, lift.max_steps, lift.objects) == (10, 400, ("cube",))


def test_pusht_has_the_reference_s_observation_and_limits():
    pusht = get_task("PushT")
    assert pusht.obs_keys == (("keypoint", 18), ("agent_pos", 2))
    assert (pusht.action_dim, pusht.max_steps, pusht.control_frequency) == (2, 300, 10)


@pytest.mark.parametrize(
    ("name", "size", "action_dim", "max_steps"),
    [("Can", 23, 10, 400), ("Square", 23, 10, 400), ("ToolHang", 53, 10, 700), ("Transport", 59, 20, 700)],
)
def test_the_fields_tasks_have_the_fields_sizes(name, size, action_dim, max_steps):
    task = get_task(name)
    assert sum(dim for _, dim in task.obs_keys) == size
    assert (task.action_dim, task.max_steps) == (action_dim, max_steps)
    assert task.obs_keys[0][0] == "object"


def test_every_task_is_filed_under_its_own_name():
    assert all(name == task.name for name, task in TASKS.items())


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"'Lfit' is unknown.*Lift"):
        get_task("Lfit")
