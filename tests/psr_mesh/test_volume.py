"""A volume: what it is between its vertices, that growing and saving change nothing, that a seed makes it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from psr_mesh.volume import DENSITY, Volume, VoxelField

POINTS = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
AXIS = torch.linspace(-1, 1, 9)


def linear_field():
    """Logits that are linear in place: density's x + 2 y + 3 z, red's x, green's y, blue's z."""
    z, y, x = torch.meshgrid(AXIS, AXIS, AXIS, indexing="ij")
    return VoxelField(torch.stack([x + 2 * y + 3 * z, x, y, z]))


def trained(volume):
    """The volume with every level changed."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for level in volume.levels:
            level.add_(torch.randn(level.shape, generator=generator))
    return volume


class TestField:
    def test_is_what_its_vertices_say_and_linear_between_them(self):
        density, albedo = linear_field().matter(POINTS)
        expected = DENSITY * F.softplus(POINTS @ torch.tensor([1.0, 2.0, 3.0]))
        assert torch.allclose(density, expected, atol=1e-4)
        assert torch.allclose(albedo, POINTS.sigmoid(), atol=1e-5)

    def test_density_and_albedo_alone_are_those_of_both(self):
        field = linear_field()
        density, albedo = field.matter(POINTS)
        assert torch.equal(field.density(POINTS), density) and torch.equal(field.albedo(POINTS), albedo)

    def test_normals_point_to_where_density_falls(self):
        expected = -F.normalize(torch.tensor([1.0, 2.0, 3.0]), dim=0)
        assert torch.allclose(linear_field().normals(POINTS), expected.expand(500, 3), atol=1e-5)

    @pytest.mark.parametrize("least", [0.01, 0.5, 2.0])
    def test_density_is_at_most_the_least_wherever_it_is_not_occupied(self, least):
        volume = trained(Volume((4, 8)))
        field = VoxelField(volume.field().logits - 2)
        occupied = field.occupied(least)
        cells = ((POINTS + 1) / 2 * 8).long().clamp(max=7)
        inside = occupied[cells[:, 2], cells[:, 1], cells[:, 0]]
        assert 0 < (~inside).sum() < len(POINTS) and field.density(POINTS)[~inside].max() <= least

    def test_without_a_least_all_is_occupied(self):
        assert Volume((8,)).field().occupied(0.0).all()


class TestVolume:
    def test_begins_as_a_grey_blob_in_an_empty_cube(self):
        volume = Volume()
        density, albedo = volume.field().matter(torch.tensor([[0.0, 0, 0], [0.3, 0, 0], [1, 1, 1]]))
        assert density[0] > 8 and 1 < density[1] < density[0] and density[2] < 1e-8
        assert (albedo - 0.5).abs().max() < 0.1

    def test_asked_itself_it_answers_as_its_field(self):
        volume = Volume((4, 8))
        matter = volume.field().matter(POINTS)
        assert torch.equal(volume.density(POINTS), matter.density) and torch.equal(volume.albedo(POINTS), matter.albedo)

    @pytest.mark.parametrize("finer", [8, 12, 32])
    def test_growing_changes_nothing(self, finer):
        volume = trained(Volume((2, 4)))
        before = volume.field().matter(POINTS)
        assert volume.grow(finer) is volume.levels[-1] and volume.resolutions == (2, 4, finer)
        for one, other in zip(before, volume.field().matter(POINTS), strict=True):
            assert torch.allclose(one, other, atol=1e-4)

    @pytest.mark.parametrize("wrong", [4, 2, 6, 8.0, 0])
    def test_a_level_that_would_change_it_is_refused(self, wrong):
        with pytest.raises(ValueError, match="multiple of the finest level's 4"):
            Volume((2, 4)).grow(wrong)

    def test_its_state_is_all_there_is_however_far_it_has_grown(self):
        first, second = trained(Volume((4, 8, 16), seed=1)), Volume((4,), seed=2)
        second.load_state_dict(first.state_dict())
        assert second.resolutions == (4, 8, 16)
        assert torch.equal(first.field().logits, second.field().logits)
        assert torch.equal(first.backdrop(), second.backdrop())

    def test_follows_from_its_seed(self):
        one, same, other = (Volume((4, 8), seed=seed).field().logits for seed in (3, 3, 4))
        assert torch.equal(one, same) and (one - other).abs().max() > 0.1

    def test_every_level_and_the_background_get_gradients(self):
        volume = Volume((4, 8))
        density, albedo = volume.field().matter(POINTS)
        (density.sum() + albedo.sum() + volume.backdrop().sum()).backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in volume.parameters())
