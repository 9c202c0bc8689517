"""Picture of what PSR adds to a policy's score over (k, σ)."""

from __future__ import annotations

from psr_eval import steering_heatmap
from psr_eval.policy_comparison import Comparison
from psr_eval.steering_heatmap import points

__all__ = ["heatmap", "points"]


def heatmap(comparison: Comparison, title: str) -> bytes | None:
    """PNG: difference of the score to the same sampler unsteered, in points; None unless there is a grid."""
    found = {result.row: result.difference for result in comparison.results if result.difference is not None}
    return steering_heatmap.heatmap(found, title)
