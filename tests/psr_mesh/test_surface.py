"""Surfaces of solids whose volume, middle and tunnels are known."""

import numpy as np
import pytest
import torch

from psr_mesh import surface as surface_module
from psr_mesh.surface import BLURS, SurfaceOptions, default_level, extract_surface, with_fewer_faces
from tests.psr_mesh.fields import INSIDE, Solid, ball, box, hollow, torus, union

HALF = INSIDE / 2  # the level at which a solid ends where its distance says
CAP = np.pi * 0.4**2 * (3 * 0.6 - 0.4) / 3  # of a ball of radius 0.6, 0.2 from its middle: what the cube cuts off
# solid, volume, middle, tunnels
SOLIDS = {
    "ball": (ball(0.6, (0.1, -0.2, 0.05)), 4 / 3 * np.pi * 0.6**3, (0.1, -0.2, 0.05), 0),
    "box": (box((0.5, 0.3, 0.25)), 8 * 0.5 * 0.3 * 0.25, (0, 0, 0), 0),
    "torus": (torus(0.5, 0.2), 2 * np.pi**2 * 0.5 * 0.2**2, (0, 0, 0), 1),
    "two balls": (union(ball(0.5), ball(0.15, (0.8, 0.1, 0))), 4 / 3 * np.pi * 0.5**3, (0, 0, 0), 0),
    "cut ball": (ball(0.6, (0.8, 0, 0)), 4 / 3 * np.pi * 0.6**3 - CAP, None, 0),
    "hollow ball": (hollow(ball(0.6), 0.15), 4 / 3 * np.pi * 0.6**3, (0, 0, 0), 0),
}


@pytest.fixture(scope="module")
def surfaces():
    options = SurfaceOptions(resolution=48, level=HALF, faces=1000)
    return {name: extract_surface(Solid(solid), options) for name, (solid, *_) in SOLIDS.items()}


@pytest.mark.parametrize("name", SOLIDS)
class TestEverySolid:
    def test_has_its_volume_middle_and_tunnels(self, surfaces, name):
        _, volume, middle, genus = SOLIDS[name]
        # a sixth of a sample's distance, by which the surface may lie inside, is 4 % of this box
        assert surfaces[name].volume == pytest.approx(volume, rel=0.05)
        assert surfaces[name].genus == genus
        if middle is not None:
            assert surfaces[name].mesh.center_mass == pytest.approx(middle, abs=0.01)

    def test_is_closed_turned_outwards_and_within_its_budget(self, surfaces, name):
        mesh = surfaces[name].mesh
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
        assert len(mesh.faces) == surfaces[name].faces <= 1000
        assert len(mesh.split(only_watertight=False)) == 1


class TestWhatIsLeftOut:
    def test_the_smaller_solid_is_dropped_and_counted(self, surfaces):
        two = surfaces["two balls"]
        assert two.components_dropped == 1
        assert two.dropped_share == pytest.approx(0.15**3 / (0.5**3 + 0.15**3), rel=0.2)
        assert surfaces["ball"].components_dropped == 0

    def test_a_hollow_that_nothing_reaches_is_filled_and_counted(self, surfaces):
        assert surfaces["hollow ball"].cavities_filled == 1

    def test_what_leaves_the_cube_ends_at_its_face(self, surfaces):
        mesh = surfaces["cut ball"].mesh
        assert mesh.bounds[1][0] == pytest.approx(1, abs=1e-3)
        assert np.abs(mesh.vertices).max() <= 1 + 1e-3


class TestRuggedSurfaces:
    """A ball whose radius changes from sample to sample: more corners than faces, and tunnels."""

    @staticmethod
    def rugged(points):
        rough = torch.sin(47 * points).prod(1) + torch.cos(61 * points[:, [1, 2, 0]]).prod(1)
        return ball(0.85)(points) + 0.12 * rough

    def test_are_smoothed_as_little_as_it_takes(self):
        options = SurfaceOptions(resolution=48, level=HALF, faces=400)
        surface = extract_surface(Solid(self.rugged), options)
        assert surface.blur > 0 and surface.faces <= 400 and surface.mesh.is_watertight
        assert surface.volume == pytest.approx(4 / 3 * np.pi * 0.85**3, rel=0.1)

    def test_others_are_left_as_they_are(self, surfaces):
        assert all(surface.blur == 0 for surface in surfaces.values())

    @pytest.mark.parametrize("blur", BLURS)
    def test_what_leaves_the_cube_is_closed_at_every_blur(self, blur, monkeypatch):
        monkeypatch.setattr(surface_module, "BLURS", (blur,))
        surface = extract_surface(Solid(ball(0.6, (0.8, 0, 0))), SurfaceOptions(resolution=48, level=HALF, faces=1000))
        assert surface.mesh.is_watertight and np.abs(surface.mesh.vertices).max() <= 1 + 1e-3


class TestLevel:
    def test_the_default_lies_between_outside_and_inside(self):
        density = np.repeat([0.0, 0.2, 40.0, 42.0], [900, 30, 40, 30])
        assert 0.2 < default_level(density) < 40

    def test_the_default_does_not_care_how_dense_the_inside_is(self):
        thin, thick = (default_level(np.repeat([0.0, inside], [900, 100])) for inside in (500.0, 50_000.0))
        assert thin == pytest.approx(thick, rel=0.01)

    def test_a_very_dense_solid_is_no_larger_than_a_thin_one(self):
        class Sharp(Solid):
            def density(self, points):
                return 1000.0 * (self.distance(points) < 0)

        surface = extract_surface(Sharp(ball(0.6)), SurfaceOptions(resolution=48, level=10.0))
        assert surface.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.03)


class TestRefusals:
    @pytest.mark.parametrize(
        ("density", "message"),
        [(0.0, "field is empty.*optimise it longer"), (5.0, "one density everywhere"), (np.nan, "not finite")],
    )
    def test_a_field_without_a_surface(self, density, message):
        solid = Solid(ball(0.5))
        solid.density = lambda points: torch.full((len(points),), density)
        with pytest.raises(ValueError, match=message):
            extract_surface(solid, SurfaceOptions(resolution=8))

    def test_a_speck(self):
        with pytest.raises(ValueError, match="degenerate.*raise resolution"):
            extract_surface(Solid(ball(0.06)), SurfaceOptions(resolution=24, level=HALF))

    @pytest.mark.parametrize(("field", "value"), [("resolution", 4), ("level", -1.0), ("faces", 3)])
    def test_options_out_of_range(self, field, value):
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            SurfaceOptions(**{field: value})

    def test_a_surface_that_so_few_faces_cannot_show(self, surfaces):
        with pytest.raises(ValueError, match="too rugged for 10 faces.*raise faces"):
            with_fewer_faces(surfaces["torus"].mesh, 10)
