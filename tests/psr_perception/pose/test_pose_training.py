"""The training of pose networks: the right target, falling loss, repeatable, resumable, kept as a checkpoint."""

from __future__ import annotations

import pytest
import torch

from psr_core import so3
from psr_core.training_run import TrainingRun
from psr_perception.pose.checkpoint import load_pose_network, save_pose_network
from psr_perception.pose.network import PoseConfig
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symsol_folder import SymsolFolder
from psr_perception.pose.training import PoseTrainer, PoseTrainSettings, RenderedSolids, SymsolPictures
from tests.resumption import check_resumed_equals_uninterrupted

SMALL = PoseConfig(image_size=16, channels=(8, 16), blocks=(1, 1), features=32, map_channels=8, points=8, hidden=32)
CPU = torch.device("cpu")


class FourPictures:
    """Always the same four pictures of a cone: little enough to learn at once."""

    items, identity = 4, {"pictures": 4}

    def __init__(self):
        self.rotations = so3.random_rotations((4,), torch.Generator().manual_seed(0))
        self.pictures = render(SOLIDS["cone"], self.rotations, 16)

    def batch(self, index, device):
        return self.pictures[index], self.rotations[index]


def make_trainer(pictures=None, config=SMALL, **settings):
    wanted = {
        "steps": 200,
        "batch_size": 4,
        "noises": 32,
        "lr": 3e-3,
        "warmup_steps": 5,
        "precision": "float32",
        **settings,
    }
    pictures = pictures or RenderedSolids(["cube", "cone"], 16, 1)
    return PoseTrainer(config, PoseTrainSettings(**wanted), pictures, pictures)


class TestLoss:
    def test_is_none_for_the_true_noise(self):
        """The oracle knows the clean rotations: log(R0ᵀ Rt)/σ_t is the noise that was put in."""
        trainer = make_trainer()
        pictures, rotations = trainer.pictures.batch(torch.arange(4), CPU)

        class Oracle:
            encode = staticmethod(lambda images: images)

            @staticmethod
            def noise(features, noised, times):
                assert torch.equal(features, pictures) and noised.shape == (4, 32, 3, 3)
                sigma_t = 1e-4 ** (2 / 3) + times * (1 - 1e-4 ** (2 / 3))
                return so3.log(rotations[:, None].mT @ noised) / (sigma_t**1.5)[..., None]

        # float32 rotations carry 1e-7, which the smallest σ_t (1e-4) makes 1e-3
        assert trainer._loss(Oracle(), pictures, rotations).item() < 1e-4

    def test_falls(self):
        trainer = make_trainer(FourPictures(), steps=150)
        losses = [trainer.train_step() for _ in range(150)]
        assert sum(losses[-15:]) < 0.75 * sum(losses[:15])


class TestRuns:
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_a_resumed_run_equals_an_uninterrupted_one(self, precision):
        check_resumed_equals_uninterrupted(lambda: make_trainer(noises=4, precision=precision))

    def test_into_a_folder_gives_a_checkpoint_that_loads(self, tmp_path):
        trainer = make_trainer(steps=2, noises=2)
        card = {"command": "psr train pose", "data": trainer.pictures.identity}

        def keep(folder, full):
            save_pose_network(folder / "network", trainer.averaged, full)

        assert TrainingRun(trainer, tmp_path, card, keep).train(report=lambda _: None)
        network, _ = load_pose_network(tmp_path / "network")
        torch.testing.assert_close(network.head.out.weight, trainer.averaged.head.out.weight)

    def test_another_solid_is_another_run(self):
        assert make_trainer().identity != make_trainer(RenderedSolids(["cube"], 16)).identity


class TestPictures:
    def test_show_each_items_solid_in_the_rotation_they_name(self):
        source = RenderedSolids(["cube", "cone"], 16, 1, varied=0)
        torch.manual_seed(0)
        pictures, rotations = source.batch(torch.tensor([1, 2, 5]), CPU)
        for picture, rotation, name in zip(pictures, rotations, ("cone", "cube", "cone"), strict=True):
            torch.testing.assert_close(picture, render(SOLIDS[name], rotation[None], 16, 1)[0])

    def test_are_varied_as_often_as_told(self):
        """Before its plain background a small cube leaves most of a picture's border black."""
        for share in (0.0, 0.3, 1.0):
            torch.manual_seed(0)
            pictures, _ = RenderedSolids(["cube"], 16, 1, varied=share).batch(torch.arange(400), CPU)
            black = (pictures[:, 0] == 0).all(-1).float().mean()
            assert abs(black - (1 - share)) < 0.07

    def test_a_share_beyond_all_is_refused(self):
        with pytest.raises(ValueError, match=r"varied is 1.5, expected a share, 0 to 1"):
            RenderedSolids(["cube"], 16, varied=1.5)

    def test_may_show_one_solid_only(self):
        pictures, _ = RenderedSolids(["cube", "cone"], 16, 1).batch(torch.tensor([1]), CPU)
        assert pictures.shape == (1, 16, 16) and pictures.max() > 0

    def test_are_new_every_time_and_the_same_from_the_same_seed(self):
        source, index = RenderedSolids(["cube"], 16, 1), torch.arange(2)
        torch.manual_seed(0)
        first, second = (source.batch(index, CPU)[1] for _ in range(2))
        torch.manual_seed(0)
        assert torch.equal(source.batch(index, CPU)[1], first) and not torch.equal(first, second)

    def test_of_symsol_are_those_of_the_folder(self, tmp_path, monkeypatch):
        rotations = so3.random_rotations((3,), torch.Generator().manual_seed(0))
        data = SymsolFolder((tmp_path,) * 3, ("cube",) * 3, rotations, ())
        monkeypatch.setattr(SymsolFolder, "image", lambda _, number, size: torch.full((size, size), number / 10))
        pictures, found = SymsolPictures(data, 8).batch(torch.tensor([2, 0]), CPU)
        torch.testing.assert_close(pictures[:, 0, 0], torch.tensor([0.2, 0.0]))
        assert torch.equal(found, rotations[[2, 0]])

    def test_an_unknown_solid_is_refused(self):
        with pytest.raises(ValueError, match="solids has 'ball', expected some of: tetrahedron"):
            RenderedSolids(["cube", "ball"], 16)


def test_weights_stay_in_full_precision():
    trainer, other = make_trainer(precision="bfloat16"), make_trainer(precision="float32")
    for each in (trainer, other):
        each.train_step()
    assert {tensor.dtype for tensor in trainer.network.state_dict().values()} == {torch.float32}
    assert trainer.validation_loss() != other.validation_loss()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"noises": 0}, "noises is 0, expected an integer >= 1"),
        ({"precision": "float8"}, "precision is 'float8', expected one of: bfloat16, float32"),
    ],
)
def test_settings_name_the_wrong_field(field, message):
    with pytest.raises(ValueError, match=message):
        PoseTrainSettings(**field)
