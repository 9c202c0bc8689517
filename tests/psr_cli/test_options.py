"""Options that several subcommands share: the whole Steering, and what a graph's policy could not follow."""

from __future__ import annotations

import argparse

import pytest

from psr_cli.graph import load_graph
from psr_cli.main import main
from psr_cli.options import add_sampling_options, check_steering, steering_from
from psr_core.steering import Steering


def steering_of(*words: str) -> Steering:
    parser = argparse.ArgumentParser()
    add_sampling_options(parser)
    return steering_from(parser.parse_args(words))


class TestSamplingOptions:
    def test_without_any_it_is_the_model_as_trained(self):
        assert steering_of() == Steering()

    @pytest.mark.parametrize("integrator", ["plain", "gaussian", "gaussian2"])
    def test_the_integrator(self, integrator):
        assert steering_of("--k", "2", "--integrator", integrator) == Steering(k=2, integrator=integrator)

    @pytest.mark.parametrize("method", ["psr", "nns", "nes", "none"])
    def test_the_method(self, method):
        assert steering_of("--method", method, "--sigma", ".2") == Steering(sigma=0.2, method=method)

    def test_the_cap(self):
        assert steering_of("--cap") == Steering(cap=True)

    def test_what_does_not_go_together_is_refused(self):
        with pytest.raises(ValueError, match=r"steering\.cap limits PSR's factor"):
            steering_of("--cap", "--method", "nes")

    def test_an_unknown_method_is_refused_with_the_known_ones(self, capsys):
        with pytest.raises(SystemExit) as stop:
            steering_of("--method", "magic")
        assert stop.value.code == 2
        message = capsys.readouterr().err
        assert all(name in message for name in ("psr", "nns", "nes", "none"))


class TestGraphs:
    @pytest.mark.parametrize("graph", ["sim", "robot"])
    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"integrator": "gaussian2", "k": "2"},
            {"cap": "true", "sampler": "ddpm"},
            {"method": "nns", "sampler": "ddpm"},
        ],
    )
    def test_what_the_policy_can_do_passes(self, graph, values):
        plan = load_graph(graph).resolve(values)
        check_steering(plan)
        policy = next(node for node in plan.nodes if node.name == "policy")
        for field in ("integrator", "method"):
            assert policy.parameters[f"steering.{field}"] == values.get(field, getattr(Steering(), field))
        assert policy.parameters["steering.cap"] is (values.get("cap") == "true")

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["method:=nns"], "DDIMScheduler cannot take steering.method 'nns'"),
            (["integrator:=gaussian", "sampler:=ddpm"], "DDPMScheduler cannot take steering.integrator 'gaussian'"),
            (["integrator:=gaussian", "cap:=true"], "without cap"),
            (["k:=-1"], "steering.k is -1.0"),
        ],
    )
    def test_what_it_cannot_do_is_one_line_before_anything_runs(self, words, told, capsys, monkeypatch):
        monkeypatch.setattr("psr_cli.up.supervise", None)
        assert main(["up", "sim", *words]) == 2
        message = capsys.readouterr().err
        assert told in message
        assert message.count("\n") == 1

    def test_a_demo_of_no_steering_is_refused(self, capsys, tmp_path):
        assert main(["demo", "--k", "0", "--out", str(tmp_path / "demo")]) == 2
        assert "steering.k is 0.0" in capsys.readouterr().err
        assert not (tmp_path / "demo").exists()
