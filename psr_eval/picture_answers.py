"""Whether a row is the most diverse of those that are as faithful, from a comparison of pictures."""

from __future__ import annotations

from collections.abc import Sequence

from psr_eval.distillation_results import Diversity, lead_over
from psr_eval.paired import verdict
from psr_eval.picture_scores import Comparison
from psr_eval.report_text import estimate_text, marked


def as_faithful(found: Comparison, other: str, name: str) -> bool:
    """Whether a row's fidelity is not lower for sure than another's: neither its agreement nor its Fréchet distance."""
    return (
        verdict(found.difference(other, name, "text")) != "no"
        and verdict(found.difference(other, name, "frechet")) != "yes"
    )


def faithful_rows(found: Comparison, name: str, others: Sequence[str]) -> list[str]:
    """Those of other rows that were measured and are as faithful as a row."""
    return [other for other in others if other in found.entries and as_faithful(found, other, name)]


def lead_in(found: Comparison, name: str, rivals: Sequence[str], metric: str) -> Diversity:
    """Whether a row has more of a metric than each of its rivals."""
    leads = {other: found.difference(name, other, metric) for other in rivals}
    return lead_over({other: lead for other, lead in leads.items() if lead is not None})


def lead_text(answer: Diversity | None) -> str:
    """The same in words."""
    if answer is None or answer.lead is None:
        return "**yes**, as no other is as faithful." if answer else "not measured."
    lead = f"the most diverse of them is {answer.rival}; DSD's lead over it: {estimate_text(answer.lead, 1, '+', 3)}."
    return f"**{ {'yes': 'yes', 'no': 'no', 'open': 'not shown'}[answer.verdict] }**; {lead}"


def change_text(found: Comparison, name: str, other: str, metric: str, digits: int) -> str:
    """How much more of a metric a row has than another, bold where that is sure."""
    return marked(found.difference(name, other, metric), digits)


def figure_text(found: Comparison, name: str, metric: str, digits: int) -> str:
    """A row's metric with its interval."""
    return estimate_text(found.estimate(name, metric), digits=digits)
