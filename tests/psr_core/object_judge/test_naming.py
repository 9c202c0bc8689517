"""What a judge names, with captions as bags of words in place of networks."""

from __future__ import annotations

import pytest
import torch

from psr_core.known_words import split_words
from psr_core.object_judge.naming import share_named
from psr_core.object_prior.words import captions

WORDS = [
    {"kind": "mug", "colour": "red", "material": "metal", "view": "front"},
    {"kind": "mug", "colour": "blue", "material": "wooden", "view": "side"},
    {"kind": "table", "colour": "orange", "material": "wooden", "view": "side"},
    {"kind": "mug", "colour": "red", "material": "wooden", "view": "back"},
]
KNOWN = sorted({word for each in WORDS for word in each.values()})


def bags(texts: list[str]) -> torch.Tensor:
    found = torch.tensor([[float(word in split_words(text)) for word in KNOWN] for text in texts])
    return torch.nn.functional.normalize(found, dim=-1)


def test_who_sees_every_word_names_every_word():
    named = share_named(bags([captions(each)[-1] for each in WORDS]), WORDS, bags)
    assert {name: each["share"] for name, each in named.items()} == dict.fromkeys(WORDS[0], 1.0)
    assert {name: each["words"] for name, each in named.items()} == {"kind": 2, "colour": 3, "material": 2, "view": 3}
    assert [each["most_frequent"] for each in named.values()] == [0.75, 0.5, 0.75, 0.5]


def test_who_always_says_the_same_is_right_as_often_as_that_is_true():
    named = share_named(bags(["a red wooden table, side view"]).expand(4, -1), WORDS, bags)
    assert [named[name]["share"] for name in WORDS[0]] == [0.25, 0.5, 0.75, 0.5]


@pytest.mark.parametrize("slot", ["colour", "material", "view"])
def test_a_word_is_looked_for_in_captions_of_the_true_kind(slot):
    asked: list[str] = []
    share_named(bags([captions(each)[-1] for each in WORDS]), WORDS, lambda texts: asked.extend(texts) or bags(texts))
    for kind in ("mug", "table"):
        for word in {each[slot] for each in WORDS}:
            assert captions({"kind": kind, "colour": "", "material": "", "view": "", slot: word})[-1] in asked
