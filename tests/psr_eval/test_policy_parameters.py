"""The parameter file of `psr reproduce policy` is one that the policy node starts with."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.context import Context  # noqa: E402

from psr_core.steering import Steering  # noqa: E402
from psr_eval.policy_comparison import compare  # noqa: E402
from psr_eval.policy_report import write_report  # noqa: E402
from psr_eval.policy_rows import Row  # noqa: E402
from psr_policy.node import PolicyNode  # noqa: E402
from tests.psr_eval.policy_outcomes import DDIM, DDPM, made_up, psr  # noqa: E402

SETTINGS = {"task": "Lift", "checkpoints": ["x@0"], "first_seed": 0, "noise_seed": 0, "num_inference_steps": 7}
NNS = Row("ddpm", Steering(k=1.5, method="nns"))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (psr(2.0, integrator="gaussian2"), psr(2.0, integrator="gaussian2")),
        (NNS, NNS),
        (None, DDIM),
    ],
    ids=["integrator", "ddpm", "baseline"],
)
def test_the_node_starts_as_the_file_says(ros_domain, tmp_path, row, expected):
    values = {DDIM: np.zeros(30), DDPM: np.zeros(30)} | ({row: np.ones(30)} if row else {})
    write_report(compare(made_up(values), "success", 50), SETTINGS, tmp_path)
    context = Context()
    context.init(args=[], domain_id=ros_domain)
    file = str(tmp_path / "confirmed.yaml")
    node = PolicyNode(context=context, cli_args=["--ros-args", "--params-file", file, "-p", "autostart:=false"])
    try:
        assert node.steering.value == expected.steering
        assert (node.parameter("sampler"), node.parameter("num_inference_steps")) == (expected.sampler, 7)
    finally:
        node.destroy_node()
        context.try_shutdown()
