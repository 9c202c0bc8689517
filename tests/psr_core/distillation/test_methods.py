"""All methods: where they end, what an iteration costs, what they refuse before any work; SDS's fixed points."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.distill import Distillation, Points
from psr_core.distillation.guidance import GuidedPrior, Prompt
from psr_core.distillation.methods import METHODS, make_method
from psr_core.distillation.noise import FIXED
from psr_core.distillation.published import PUBLISHED, STEPS
from psr_core.distillation.schedule import AnnealedTimes, RandomTimes
from psr_core.steering import Steering
from tests.psr_core.distillation.toys import LEVELS, distilled, guided, isotropic, labelled, noise_like, view_of

EASY = isotropic([[1.0, 0.5], [-1.0, -0.5]], 0.3)
LABELS = [0, 1]


class Constant(AnnealedTimes):
    """Always the same level."""

    def __init__(self, t):
        super().__init__(t / 1000, t / 1000)


def made(name, prior, steps, **options):
    return make_method(name, prior, steps, **({"cameras": 1} if name == "vsd" else {}), **options)


def camera_of(name, rows):
    return noise_like(rows, seed=9, dim=1) if name in ("vsd", "esd") else None


OPTIONS = {
    "msd": {"sampler_steps": 4},
    "sdi": {"inversion_steps": 5},
    "consistent3d": {"times": AnnealedTimes(0.5, 0.01, 0.5), "lead": (0.01, 0.03)},  # see the next test
}


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"nfsd"}))
def test_ends_in_the_mode_that_is_asked_for(name):
    prior, rows = guided(EASY, LABELS), 16
    prompt = labelled(0, rows)
    method = made(name, prior, 300, **OPTIONS.get(name, {}))
    start = noise_like(rows)
    if name == "dsd":
        start = method.initial(view_of(start, prompt))
    x = distilled(method, start, prompt, camera=camera_of(name, rows))
    assert (EASY.responsibilities(x)[:, 0] > 0.99).all()
    assert (x - EASY.means[0]).norm(dim=1).median() < 3 * 0.3


@pytest.mark.parametrize("step", [0, 25, 49])
def test_consistent3d_rests_where_its_noised_point_is_the_centre(step):
    """For N(mu, S²) that is mu - s(t) eps*: as far from the mode as the level is noisy, so t has to end low."""
    mean = torch.tensor([0.7, -0.2], dtype=torch.float64)
    method = make_method("consistent3d", guided(isotropic(mean[None], 0.4)), 50, times=Constant(300), lead=(0.1, 0.1))
    eps = method.draw(view_of(noise_like(4)), 0, FIXED)
    rest = mean - LEVELS.ratio(400) * eps
    assert method.gradient(view_of(rest), step).abs().max() < 1e-12
    away = torch.tensor([0.5, 0.3], dtype=torch.float64)
    assert ((method.gradient(view_of(rest + away), step) * away).sum(1) > 0).all()


def test_nfsd_pushes_everywhere_alike_between_equal_gaussians_and_rests_at_little_noise():
    """Above the threshold only differences of predictions are left, which for equal spreads know no place: NFSD drifts
    there, and what holds it is eps_uncond at little noise."""
    prior = guided(EASY, LABELS)
    x = noise_like(8) + 1
    prompt = labelled(0, 8, negative=1)
    noisy = make_method("nfsd", prior, 10, times=Constant(600)).gradient(view_of(x, prompt), 0)
    assert (noisy - noisy[0]).abs().max() < 1e-12 and (noisy[0] * (EASY.means[0] - EASY.means[1])).sum() < 0
    ended = distilled(make_method("nfsd", prior, 400, times=Constant(100)), x, prompt, lr=0.02)
    assert ((ended - EASY.means[0]).norm(dim=1) < 3 * 0.3).all()


CALLS = {"sds": 1, "asd": 2, "sdi": 8.6, "consistent3d": 2, "vsd": 3, "esd": 4, "hifa": 1, "nfsd": 1, "dsd": 2}


@pytest.mark.parametrize("name", CALLS)
def test_guided_predictions_an_iteration(name):
    """Counted as the methods run on their own schedules, 100 iterations standing for all."""
    prior, rows, steps = guided(EASY, LABELS), 2, 100
    method = made(name, prior, steps)
    distilled(method, noise_like(rows), labelled(0, rows, negative=1), lr=1e-3, camera=camera_of(name, rows))
    expected = {"dsd": (2 * (steps - 1) + 9) / steps}  # the last step is at t = 0, and needs no tenth node
    expected = expected.get(name, CALLS[name])
    assert prior.guided / rows / steps == pytest.approx(expected, abs=0.15 if name == "sdi" else 1e-12)


@pytest.mark.parametrize(
    ("reading", "calls"), [("held", 2.0), ("interpolated", 2.0), ("exact", 3.0), ("recomputed", 8)]
)
def test_guided_predictions_of_dsd_with_the_published_times(reading, calls):
    prior, steps = guided(EASY, LABELS), 400
    method = make_method("dsd", prior, steps, **{**PUBLISHED["dsd"], "reading": reading})
    distilled(method, noise_like(1), labelled(0, 1))
    assert prior.guided / steps == pytest.approx(calls, abs=0.05)


@pytest.mark.parametrize("t", [100, 500, 900])
def test_sds_rests_where_the_guided_score_of_gaussians_is_zero(t):
    """E[gradient] = w sigma_t alpha (sum of each Gaussian's (x - mu) / v, with its guidance's share)."""
    g, stds = 3.0, torch.tensor([0.3, 0.8], dtype=torch.float64)
    means = torch.tensor([[1.0, 0.5], [-1.0, 0.2]], dtype=torch.float64)

    class Two:
        """One Gaussian under the prompt, another one without."""

        levels, shape, conditions = LEVELS, (2,), ("label",)

        def noise(self, x, t, condition):
            level, rows = LEVELS.level(t), condition["label"]
            v = (level.alpha**2 * stds**2 + level.sigma_t**2)[rows][:, None]
            return level.sigma_t * (x - level.alpha * means[rows]) / v

        def unconditional(self, x):
            return {"label": torch.ones(len(x), dtype=torch.int64)}

    level = LEVELS.level(t)
    pull = torch.tensor([g, 1 - g], dtype=torch.float64) / (level.alpha**2 * stds**2 + level.sigma_t**2)
    rest = (pull[:, None] * means).sum(0) / pull.sum()
    n = 40_000
    method = make_method("sds", GuidedPrior(Two()), 10, guidance=g, times=Constant(t))
    for x in (rest, rest + torch.tensor([0.4, -0.3])):
        gradient = method.gradient(view_of(x.expand(n, 2), labelled(0, n)), 0)
        expected = level.sigma_t**3 * level.alpha * pull.sum() * (x - rest)
        assert ((gradient.mean(0) - expected).abs() < 4 * gradient.std(0) / n**0.5).all()


def test_esd_with_no_entropy_is_vsd():
    prior = guided(EASY)
    view = view_of(noise_like(8), camera=noise_like(8, 1, 1))
    one = make_method("vsd", prior, 10, cameras=1)
    two = make_method("esd", prior, 10, entropy=0.0)
    for step in range(4):
        assert torch.allclose(one.gradient(view, step), two.gradient(view, step), atol=1e-6)


def test_vsds_critic_learns_the_renderings_and_stills_the_gradient():
    """Particles drawn from the prior: the critic then knows them, and nothing is left to do."""
    prior = guided(EASY)
    x = EASY.sample(256, torch.Generator().manual_seed(0))
    away = x + 1.0
    sizes = {}
    for name, particles in (("there", x), ("away", away)):
        method = make_method("vsd", prior, 400, critic_rate=3e-3, times=Constant(400))
        sizes[name] = [float(method.gradient(view_of(particles), step).mean(0).norm()) for step in range(300)]
    assert sizes["away"][0] == 0.0  # the critic starts as the prior
    assert sum(sizes["away"][-20:]) > 5 * sum(sizes["there"][-20:])


def test_steering_sharpens_what_is_distilled():
    """The rows of DSD are samples: with k = 4 their spread about a Gaussian's mean is half."""
    spreads = []
    for k in (1.0, 4.0):
        prior = guided(isotropic([[0.0, 0.0]], 0.3), steering=Steering(k=k, sigma=0.3))
        method = make_method("dsd", prior, 200, grid=200)
        x = distilled(method, method.initial(view_of(noise_like(300))))
        spreads.append(float(x.std()))
    assert spreads[0] == pytest.approx(0.3, rel=0.1) and spreads[1] == pytest.approx(0.15, rel=0.2)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("gan", {}, "method is 'gan'"),
        ("sds", {"kappa": "random"}, "sds has no option kappa"),
        ("sds", {"weighting": "cubic"}, "sds.weighting"),
        ("sds", {"guidance": 7.5}, "sds.guidance is 7.5, expected 1"),
        ("sdi", {"inversion_guidance": -7.5}, "sdi.inversion_guidance"),
        ("sdi", {"kappa": "newton"}, "sdi.kappa"),
        ("asd", {"source_guidance": 2.0}, "asd.source_guidance"),
        ("dsd", {"source_guidance": 2.0}, "dsd.source_guidance"),
        ("dsd", {"reading": "nearest"}, "dsd.reading"),
        ("dsd", {"grid": 5000}, "steps is 5000"),
        ("nfsd", {}, "takes none"),
        ("vsd", {"critic_rate": 2.0}, "vsd.critic_rate"),
        ("esd", {"cameras": 0}, "esd.cameras"),
        ("consistent3d", {"lead": (0.3, 0.1)}, "consistent3d.lead"),
    ],
)
def test_a_wrong_option_is_named_before_any_work(name, options, named):
    prior = guided(EASY)
    with pytest.raises(ValueError, match=named):
        make_method(name, prior, 10, **options)
    assert prior.model == 0


@pytest.mark.parametrize(
    ("x", "prompt", "named"),
    [
        (torch.zeros(4, 3), labelled(0, 4), r"shape \(4, 3\), expected \(B, 2\)"),
        (torch.zeros(4, 2, 1), labelled(0, 4), "shape"),
        (torch.zeros(4, 2), Prompt(), "prompt positive has nothing, expected label"),
        (torch.zeros(4, 2), labelled(0, 3), "3 rows, expected 4"),
        (torch.zeros(4, 2), Prompt({"text": torch.zeros(4)}), "has text, expected label"),
    ],
)
@pytest.mark.parametrize("name", ["sds", "dsd", "msd"])
def test_a_wrong_view_is_named_before_any_work(name, x, prompt, named):
    prior = guided(EASY, LABELS)
    scene = Points(x, prompt)
    run = Distillation(make_method(name, prior, 10), scene, torch.optim.SGD([scene.theta], lr=0.1))
    with pytest.raises(ValueError, match=named):
        run.run()
    assert prior.model == 0


def test_nfsd_asks_for_its_negative_prompt_and_vsd_for_its_cameras():
    prior = guided(EASY, LABELS)
    with pytest.raises(ValueError, match="prompt negative is missing"):
        distilled(make_method("nfsd", prior, 10), noise_like(2), labelled(0, 2))
    with pytest.raises(ValueError, match="camera has 0 numbers, expected 3"):
        distilled(make_method("vsd", prior, 10, cameras=3), noise_like(2), labelled(0, 2))
    assert prior.model == 0


def test_published_options_are_taken_and_cover_every_method_with_code():
    assert set(PUBLISHED) == set(STEPS) == set(METHODS) - {"msd"}
    for name, options in PUBLISHED.items():
        make_method(name, guided(EASY, LABELS), STEPS[name], **options)


@pytest.mark.parametrize("name", ["dsd", "vsd", "consistent3d", "sdi"])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(name):
    def begin():
        method = made(name, guided(EASY, LABELS), 40)
        scene = Points(noise_like(6), labelled(0, 6), camera=camera_of(name, 6))
        return Distillation(method, scene, torch.optim.Adam([scene.theta], lr=0.02)), scene

    whole, whole_scene = begin()
    whole.run()
    first, first_scene = begin()
    first.run(17)
    second, second_scene = begin()
    second_scene.theta.data.copy_(first_scene.theta.data)
    second.load_state_dict(first.state_dict())
    assert second.run() == 40
    assert torch.equal(whole_scene.theta, second_scene.theta)


def test_any_differentiable_generator_can_be_distilled():
    """x = A theta: the gradient reaches theta through A."""
    prior = guided(isotropic([[1.0, -0.5]], 0.2))
    matrix = torch.tensor([[2.0, 1.0], [0.5, -1.0]], dtype=torch.float64)
    theta = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)

    class Linear:
        def view(self, step):
            view = view_of(torch.zeros(1, 2, dtype=torch.float64))
            return type(view)(theta @ matrix.mT, view.prompt, view.seeds, view.bins)

    method = make_method("msd", prior, 400, sampler="tweedie")
    Distillation(method, Linear(), torch.optim.Adam([theta], lr=0.02)).run()
    assert torch.allclose(theta @ matrix.mT, torch.tensor([[1.0, -0.5]], dtype=torch.float64), atol=0.02)


def test_a_late_ceiling_of_random_times_holds_from_its_iteration_on():
    times = RandomTimes(after=50)
    drawn = [times.time(LEVELS, step, 100, 0) for step in range(100)]
    assert min(drawn) >= 20 and max(drawn[:50]) > 500 >= max(drawn[50:])
