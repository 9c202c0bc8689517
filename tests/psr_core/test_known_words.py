"""Texts for a model of few words: taken or refused by name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_core.known_words import require_known, split_words

FEW = SimpleNamespace(init_kwargs={"words": ["a", "mug", "red", ","]}, model_max_length=6)


@given(st.lists(st.sampled_from(["a", "mug", "red", ","]), max_size=4))
def test_texts_of_known_words_are_taken(words):
    require_known([" ".join(words), " ".join(words).upper()], FEW)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a zebra", "says 'zebra', which"),
        ("mugs", "'mugs'"),
        ("a mug7", "'7'"),
        ("red-mug", "'-'"),
        ("a mug,,", "',,'"),
        ("mug_red", "'_'"),
        ("zebra or zebra", "says 'zebra', 'or', which"),
    ],
)
def test_what_is_unknown_is_named_with_what_is_known(text, named):
    with pytest.raises(ValueError, match=rf"text '{text}' .*{named}.*it knows: a mug red ,"):
        require_known(["a mug", text], FEW)


def test_a_text_that_would_be_cut_is_refused():
    with pytest.raises(ValueError, match="has 5 words, this model takes at most 4"):
        require_known(["a red red red mug"], FEW)


def test_tokenizers_that_do_not_say_take_everything():
    require_known(["zebra"], SimpleNamespace(init_kwargs={}, model_max_length=3))
    require_known(["zebra"], SimpleNamespace())


def test_punctuation_stands_apart():
    assert split_words("A red mug, front view!?") == ["a", "red", "mug", ",", "front", "view", "!?"]
