"""Noise has an address: the same address gives the same numbers, another one gives others."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core.seeds import noise_generator

seeds = st.integers(0, 2**64 - 1)


def _draw(*address):
    return torch.randn(4, generator=noise_generator(*address))


@given(seeds, seeds, seeds)
def test_same_address_same_numbers(seed, episode, step):
    assert torch.equal(_draw(seed, episode, step), _draw(seed, episode, step))


@given(st.lists(st.tuples(seeds, seeds, seeds), min_size=2, max_size=2, unique=True))
def test_other_address_other_numbers(addresses):
    assert not torch.equal(_draw(*addresses[0]), _draw(*addresses[1]))


def test_neighbouring_addresses_are_uncorrelated():
    draws = torch.stack([torch.randn(64, generator=noise_generator(0, e, s)) for e in range(20) for s in range(20)])
    correlation = torch.corrcoef(draws) - torch.eye(400)
    assert correlation.abs().max() < 0.7
    assert correlation.mean().abs() < 0.01


def test_refuses_what_is_no_address():
    with pytest.raises(ValueError, match="episode_seed is -1"):
        noise_generator(0, -1, 0)
