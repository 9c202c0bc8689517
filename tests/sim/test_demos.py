"""Recorded demonstrations: robomimic reads them, they replay, and they do not depend on how they were made."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

from psr_cli import demos as command
from sim import demos
from sim.actions import action_to_row
from sim.demos import DemoReport, record_demo, record_demos
from sim.experts.lift import LiftExpert

KEYS = ["object", "robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    out = tmp_path_factory.mktemp("demos") / "lift.hdf5"
    report = record_demos("Lift", 3, 40, out, workers=2, command="psr demos --task Lift")
    return out, report


@pytest.fixture
def few(monkeypatch, lift):
    """Recording in this process, on the tests' own simulator, with the failures and interruptions a test asks for."""
    trouble: dict[int, object] = {}

    def in_order(task, grade, seeds, workers):
        for seed in seeds:
            if trouble.get(seed) is KeyboardInterrupt:
                raise KeyboardInterrupt
            demo = record_demo(lift, seed)
            yield dataclasses.replace(demo, success=trouble.get(seed) != "fail")

    monkeypatch.setattr(demos, "_in_order", in_order)
    monkeypatch.setattr(LiftExpert, "max_steps", 6)  # episodes cut short, and taken as successes all the same
    return trouble


def content(path):
    """Everything in the file that is data, as bytes."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if hasattr(item, "dtype") else None)
        found["seeds"] = [int(demo.attrs["seed"]) for demo in file["data"].values()]
        found["total"] = int(file["data"].attrs["total"])
        found["failed"] = file["data"].attrs["failed_seeds"].tolist()
    return found


class TestFile:
    def test_groups_sizes_and_attributes_are_robomimics(self, recorded):
        out, report = recorded
        with h5py.File(out) as file:
            data = file["data"]
            assert sorted(data) == ["demo_0", "demo_1", "demo_2"]
            steps = [int(demo.attrs["num_samples"]) for demo in data.values()]
            assert sum(steps) == data.attrs["total"] == report.total_steps
            for demo, count in zip(data.values(), steps, strict=True):
                assert {key: demo[f"obs/{key}"].shape for key in demo["obs"]} == {
                    "object": (count, 10), "robot0_eef_pos": (count, 3),
                    "robot0_eef_quat": (count, 4), "robot0_gripper_qpos": (count, 2),
                }  # fmt: skip
                assert demo["actions"].shape == (count, 7)
                assert demo["actions"].dtype == np.float64
                assert demo["states"].shape[0] == demo["rewards"].shape[0] == count
                assert demo["dones"][:].tolist() == [0] * (count - 1) + [1]
                assert demo.attrs["model_file"].startswith("<mujoco")
            env_args = json.loads(data.attrs["env_args"])
            assert (env_args["env_name"], env_args["type"]) == ("Lift", 1)
            assert data.attrs["action_convention"] == "absolute, world frame, axis-angle"
            assert data.attrs["command"] == "psr demos --task Lift"
            assert len(data.attrs["git_revision"]) > 0

    def test_episodes_end_a_little_after_the_lift(self, recorded):
        with h5py.File(recorded[0]) as file:
            for demo in file["data"].values():
                rewards = demo["rewards"][:]
                assert rewards.sum() == rewards[-10:].sum() == 10

    def test_every_tenth_demonstration_is_held_out(self, tmp_path, few):
        out = tmp_path / "many.hdf5"
        record_demos("Lift", 11, 0, out, command="test")
        with h5py.File(out) as file:
            assert file["mask/valid"][:].tolist() == [b"demo_9"]
            assert file["mask/train"][:].tolist() == [f"demo_{i}".encode() for i in (*range(9), 10)]

    def test_actions_replay_to_the_recorded_states_bit_for_bit(self, recorded, lift):
        with h5py.File(recorded[0]) as file:
            demo = file["data/demo_1"]
            observation = lift.reset(int(demo.attrs["seed"]))
            for step, action in enumerate(demo["actions"][:]):
                assert lift.state().tobytes() == demo["states"][step].tobytes()
                observation = lift.step(action_to_row(action))
            assert observation.success

    def test_states_are_those_the_observations_were_made_in(self, recorded, lift):
        with h5py.File(recorded[0]) as file:
            demo = file["data/demo_0"]
            lift.reset(int(demo.attrs["seed"]))
            lift._env.sim.set_state_from_flattened(demo["states"][20])
            lift._env.sim.forward()
            assert np.allclose(lift._observe().features["object"], demo["obs/object"][20], atol=1e-12)

    def test_robomimics_dataset_reads_it(self, recorded):
        from robomimic.utils import obs_utils
        from robomimic.utils.dataset import SequenceDataset

        obs_utils.initialize_obs_utils_with_obs_specs([{"obs": {"low_dim": KEYS}}])
        dataset = SequenceDataset(
            str(recorded[0]), obs_keys=KEYS, dataset_keys=["actions", "rewards", "dones"], frame_stack=2, seq_length=15,
            load_next_obs=False, filter_by_attribute="train", hdf5_cache_mode="low_dim",
        )  # fmt: skip
        assert len(dataset) == recorded[1].total_steps
        item = dataset[3]
        assert item["actions"].shape == (16, 7)
        with h5py.File(recorded[0]) as file:
            assert np.array_equal(item["obs"]["object"][0], file["data/demo_0/obs/object"][2])


class TestSameResultHoweverMade:
    def test_workers_do_not_matter(self, recorded, tmp_path):
        out = tmp_path / "one.hdf5"
        record_demos("Lift", 3, 40, out, workers=1, command="test")
        assert content(out) == content(recorded[0])

    def test_an_interrupted_recording_goes_on_and_ends_the_same(self, tmp_path, few):
        whole, broken = tmp_path / "whole.hdf5", tmp_path / "broken.hdf5"
        few[1] = "fail"
        record_demos("Lift", 4, 0, whole, command="test")
        few[3] = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            record_demos("Lift", 4, 0, broken, command="test")
        assert content(broken)["seeds"] == [0, 2]
        del few[3]
        seen: list[DemoReport] = []
        report = record_demos("Lift", 4, 0, broken, progress=seen.append, command="test")
        assert [step.kept for step in seen] == [2, 3, 4]
        assert content(broken) == content(whole)
        assert report == DemoReport(kept=4, failed_seeds=(1,), total_steps=24)

    def test_an_episode_cut_off_in_the_writing_is_written_anew(self, tmp_path, few, monkeypatch):
        out = tmp_path / "cut.hdf5"
        record_demos("Lift", 1, 0, out, command="test")
        with h5py.File(out, "a") as file:
            file.create_group("unfinished/obs")
        record_demos("Lift", 2, 0, out, command="test")
        with h5py.File(out) as file:
            assert sorted(file) == ["data", "mask"]
            assert sorted(file["data"]) == ["demo_0", "demo_1"]

    def test_a_complete_file_is_left_as_it_is(self, tmp_path, few):
        out = tmp_path / "done.hdf5"
        first = record_demos("Lift", 1, 0, out, command="test")
        few[1] = KeyboardInterrupt
        assert record_demos("Lift", 1, 0, out, command="test") == first


class TestRefusals:
    def test_another_recordings_file_is_not_gone_on_with(self, tmp_path, few):
        out = tmp_path / "a.hdf5"
        record_demos("Lift", 1, 0, out, command="test")
        with pytest.raises(ValueError, match="first_seed is 0, expected 7"):
            record_demos("Lift", 1, 7, out, command="test")

    def test_a_foreign_file_is_not_gone_on_with(self, tmp_path):
        out = tmp_path / "foreign.hdf5"
        h5py.File(out, "w").close()
        with pytest.raises(ValueError, match="task is None, expected 'Lift'"):
            record_demos("Lift", 1, 0, out, command="test")

    @pytest.mark.parametrize(("episodes", "first_seed", "workers"), [(0, 0, 1), (1, -1, 1), (1, 0, 0)])
    def test_impossible_numbers_are_refused(self, tmp_path, episodes, first_seed, workers):
        with pytest.raises(ValueError, match="expected at least 1, 1 and 0"):
            record_demos("Lift", episodes, first_seed, tmp_path / "x.hdf5", workers=workers, command="test")

    def test_a_task_without_an_expert_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="task PushT has no scripted expert; expected one of Lift"):
            record_demos("PushT", 1, 0, tmp_path / "d.hdf5", command="test")
        assert not list(tmp_path.iterdir())

    def test_an_expert_that_always_fails_ends_the_recording(self, tmp_path, few):
        few.update(dict.fromkeys(range(50), "fail"))
        with pytest.raises(ValueError, match="failed on 11 of 11 seeds"):
            record_demos("Lift", 1, 0, tmp_path / "x.hdf5", command="test")


class TestCommand:
    @staticmethod
    def arguments(out):
        import argparse

        parser = argparse.ArgumentParser()
        command.add_parser(parser.add_subparsers())
        return parser.parse_args(["demos", "--episodes", "2", "--out", str(out)])

    def test_it_says_what_was_kept_and_what_failed(self, tmp_path, few, capsys):
        few[0] = "fail"
        args = self.arguments(tmp_path / "c.hdf5")
        assert args.run(args) == 0
        assert "2 demonstrations, 12 steps; the expert failed on 1 seeds [0]" in capsys.readouterr().out

    def test_ctrl_c_leaves_a_file_and_says_how_to_go_on(self, tmp_path, few, capsys):
        few[1] = KeyboardInterrupt
        args = self.arguments(tmp_path / "c.hdf5")
        assert args.run(args) == 130
        assert "holds 1 demonstrations; the same command goes on" in capsys.readouterr().err
