"""The pose network: any number of rotations on one encoding, rows apart from each other, and its checkpoint."""

from __future__ import annotations

import json
import math

import pytest
import torch

from psr_core import so3
from psr_core.seeds import noise_generator
from psr_core.so3_diffusion import power_steps
from psr_core.steering import Level, Steering
from psr_perception.pose.checkpoint import load_pose_network, read_pose_description, save_pose_network
from psr_perception.pose.network import REFERENCE, Features, PoseConfig, PoseNetwork, look_up, sinusoids
from psr_perception.pose.raycaster import DISTANCE, intrinsics, render
from psr_perception.pose.solids import SOLIDS
from tests.psr_perception.pose.small_networks import SMALL, random_network


def images(n, size=16):
    return torch.rand(n, size, size, generator=torch.Generator().manual_seed(1))


def rotations(*shape):
    return so3.random_rotations(shape, torch.Generator().manual_seed(2))


def of(features, index):
    return Features(features.whole[index], features.places[index])


class TestNoise:
    def test_is_a_vector_for_each_rotation(self):
        network = random_network()
        features = network.encode(images(3))
        assert features.whole.shape == (3, 24) and features.places.shape == (3, 8, 8, 8)
        assert network.noise(features, rotations(3, 5), torch.rand(3, 5)).shape == (3, 5, 3)

    def test_of_a_row_depends_on_its_own_image_rotation_and_time(self):
        network, times = random_network(), torch.rand(3, 5)
        features = network.encode(images(3))
        whole = network.noise(features, rotations(3, 5), times)
        part = network.noise(of(features, slice(1, 2)), rotations(3, 5)[1:2, 2:3], times[1:2, 2:3])
        torch.testing.assert_close(part, whole[1:2, 2:3], rtol=0, atol=1e-5)
        for other in (
            network.noise(of(features, [2, 1, 0]), rotations(3, 5), times),
            network.noise(features, rotations(3, 5).flip(1), times),
            network.noise(features, rotations(3, 5), times.flip(1)),
        ):
            assert (other - whole)[0, 0].abs().max() > 1e-3

    def test_begins_at_none(self):
        network = PoseNetwork(SMALL)
        assert network.noise(network.encode(images(1)), rotations(1, 4), torch.rand(1, 4)).abs().max() == 0

    def test_the_denoiser_tells_a_levels_time(self):
        network = random_network()
        features = network.encode(images(2))
        found = network.denoiser(features)(rotations(2, 5), Level(1.0, 1.0))
        torch.testing.assert_close(found, network.noise(features, rotations(2, 5), torch.ones(2, 5)))

    def test_refuses_another_size(self):
        with pytest.raises(ValueError, match=r"images have shape \(1, 8, 8\), expected \(B, 16, 16\)"):
            random_network().encode(images(1, 8))


class TestLookUp:
    """Pictures whose places know where they are: (column, row) of a place's centre, from -1 to 1."""

    @staticmethod
    def places(side):
        centres = (2 * torch.arange(side) + 1) / side - 1
        row, column = torch.meshgrid(centres, centres, indexing="ij")
        return torch.stack([column, row])[None]

    def test_is_where_the_ray_caster_draws_a_point(self):
        size = 65
        for turn in rotations(1, 20)[0]:
            point = turn.mT @ torch.tensor([0.3, -0.2, 0.1])  # seen there whatever the rotation
            seen = look_up(self.places(size), point[None], turn[None, None])[0, 0]
            focal, centre = intrinsics(size)
            pixel = focal * torch.tensor([0.3, -0.2]) / (0.1 + DISTANCE) + centre
            torch.testing.assert_close(seen, (2 * pixel + 1) / size - 1, rtol=0, atol=1e-5)

    def test_finds_a_solid_that_is_drawn(self):
        """The middles of the faces that look at the camera are on the cube in its picture."""
        turns = rotations(1, 50)
        pictures = render(SOLIDS["cube"], turns[0], 48)
        for picture, turn in zip(pictures, turns[0], strict=True):
            middles = SOLIDS["cube"].offsets[0].float() * SOLIDS["cube"].normals.float()
            towards = (middles @ turn.mT)[:, 2] < -0.1
            seen = look_up(picture[None, None], middles[towards], turn[None, None])
            assert seen.min() > 0.09

    def test_of_a_symmetric_form_is_the_same_places_in_another_order(self):
        corners = torch.tensor([[x, y, z] for x in (-0.2, 0.2) for y in (-0.2, 0.2) for z in (-0.2, 0.2)])
        quarter = so3.exp(torch.tensor([0, 0, math.pi / 2]))
        turn = rotations(1, 1)
        one, other = (look_up(self.places(9), corners, r).reshape(8, 2) for r in (turn, turn @ quarter))
        assert (one - other).abs().max() > 0.1
        torch.testing.assert_close(one[one[:, 0].argsort()], other[other[:, 0].argsort()], rtol=0, atol=1e-5)

    def test_behind_the_camera_nothing_is_infinite(self):
        far = torch.tensor([[0.0, 0.1, -DISTANCE], [0.0, 0.1, -2 * DISTANCE]])
        assert look_up(self.places(9), far, torch.eye(3)[None, None]).isfinite().all()


class TestEmbeddings:
    def test_tell_neighbouring_times_apart(self):
        assert (sinusoids(torch.tensor(50.0), 32) - sinusoids(torch.tensor(51.0), 32)).norm() > 0.5


class TestSampling:
    STEPS = power_steps(3)

    def sample(self, network, n, count, **changes):
        generators = [noise_generator(0, i, 0) for i in range(n)]
        return network.sample(images(n), count, self.STEPS, Steering(k=7, sigma=0.5, cap=True), 1.0, generators)

    def test_gives_a_thousand_rotations_of_an_image_in_one_batch(self):
        samples = self.sample(random_network(), 1, 1000)
        assert samples.shape == (1, 1000, 3, 3)
        torch.testing.assert_close(samples.mT @ samples, torch.eye(3).expand_as(samples), rtol=0, atol=1e-5)

    def test_encodes_an_image_once(self):
        network, calls = random_network(), []
        network.encoder.register_forward_hook(lambda *_: calls.append(1))
        self.sample(network, 2, 4)
        assert calls == [1]

    def test_an_image_does_not_depend_on_the_others(self):
        network = random_network()
        torch.testing.assert_close(self.sample(network, 3, 4)[:1], self.sample(network, 1, 4), rtol=0, atol=1e-4)

    def test_needs_a_generator_for_each_image(self):
        with pytest.raises(ValueError, match="generators has 1 entries, expected one for each of 2 images"):
            random_network().sample(images(2), 4, self.STEPS, Steering(), 1.0, [torch.Generator()])


class TestConfig:
    def test_the_reference_is_a_resnet34(self):
        """21.3 million weights as in torchvision's without its classifier, and its 16 blocks of two convolutions."""
        with torch.device("meta"):
            network = PoseNetwork(REFERENCE)
        encoder = network.encoder
        trunk = sum(p.numel() for part in (encoder.stem, encoder.stages) for p in part.parameters())
        assert trunk == pytest.approx(21.3e6, rel=0.01)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"channels": (8, 12)}, r"channels is \(8, 12\), expected multiples of 8"),
            ({"blocks": (1,)}, r"channels is .* one for each of blocks \(1,\)"),
            ({"blocks": (1, 0)}, r"blocks is \(1, 0\)"),
            ({"stem": 3}, "stem is 3, expected 2 or 4"),
            ({"image_size": 18}, "image_size is 18, expected a multiple of 4"),
            ({"hidden": 33}, "hidden is 33, expected an even number >= 2"),
            ({"points": 0}, "points is 0, expected a number >= 1"),
            ({"map_channels": 0}, "map_channels is 0, expected a number >= 1"),
        ],
    )
    def test_names_the_wrong_field(self, changes, message):
        with pytest.raises(ValueError, match=message):
            PoseConfig(**{**SMALL.to_dict(), **changes})


class TestCheckpoint:
    def test_comes_back(self, tmp_path):
        network = random_network()
        saved = save_pose_network(tmp_path / "cube", network, {"data": {"solids": ["cube"]}})
        loaded, found = load_pose_network(tmp_path / "cube")
        assert found == saved and found.startswith("cube@")
        assert loaded.config == SMALL and not loaded.training
        for a, b in zip(network.state_dict().values(), loaded.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        assert read_pose_description(tmp_path / "cube")["card"]["data"] == {"solids": ["cube"]}

    def test_half_precision_is_read_as_float32(self, tmp_path):
        save_pose_network(tmp_path, random_network(), {}, torch.float16)
        loaded, _ = load_pose_network(tmp_path)
        assert {p.dtype for p in loaded.parameters()} == {torch.float32}
        torch.testing.assert_close(loaded.head.out.weight, random_network().head.out.weight, rtol=1e-3, atol=1e-6)

    def test_what_is_not_finite_is_not_written(self, tmp_path):
        network = random_network()
        network.head.time.weight.data[0, 0] = torch.inf
        with pytest.raises(ValueError, match="weight head.time.weight is not finite in torch.float32"):
            save_pose_network(tmp_path / "a", network, {})
        assert not (tmp_path / "a").exists()

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("format", "psr policy", "does not describe a pose; expected"),
            ("format_version", 2, "format_version is 2, this version reads 1"),
            ("card", None, "card is missing"),
            ("config", {**SMALL.to_dict(), "stem": 5}, "config: stem is 5"),
            ("config", {**SMALL.to_dict(), "depth": 5}, "config: .*depth"),
            ("config", {**SMALL.to_dict(), "hidden": 64}, "does not fit the config in pose.json"),
        ],
    )
    def test_a_wrong_field_is_named(self, tmp_path, field, value, message):
        save_pose_network(tmp_path, random_network(), {})
        path = tmp_path / "pose.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
        with pytest.raises(ValueError, match=message):
            load_pose_network(tmp_path)

    def test_damage_and_loss_are_told(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="has no pose.json; copy the whole folder"):
            load_pose_network(tmp_path)
        save_pose_network(tmp_path, random_network(), {})
        weights = tmp_path / "pose.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4])
        with pytest.raises(ValueError, match="pose.safetensors is truncated or damaged"):
            load_pose_network(tmp_path)
        (tmp_path / "pose.json").write_text("{")
        with pytest.raises(ValueError, match="pose.json is not readable JSON"):
            load_pose_network(tmp_path)
