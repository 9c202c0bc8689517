"""Captions and the tokenizer of a prior: every word one token, every caption known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from psr_core.object_prior.words import (
    BEGIN,
    CAPTIONS,
    END,
    PAD,
    TOKENS,
    caption,
    captions,
    vocabulary,
    word_tokenizer,
)

# Words that begin, end and overlap as each other do: a merge of one must not take another apart.
WORDS = ["a", "an", "table", "metal", "stable", "tab", "lamp", "clamp", "mug", "smug", "banana", "nan", ",", "view"]


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(WORDS)


class TestCaptions:
    def test_say_all_or_less(self):
        assert caption("mug", "red", "ceramic", "front") == "a red ceramic mug, front view"
        assert caption("mug", view="side") == "a mug, side view"
        assert caption("mug", "orange") == "an orange mug"

    def test_of_a_picture_are_all_different_and_name_its_kind(self):
        told = captions({"kind": "chair", "colour": "red", "material": "wooden", "view": "back"})
        assert len(set(told)) == CAPTIONS == len(told)
        assert all("chair" in text for text in told)
        for word in ("red", "wooden", "back view"):
            assert sum(word in text for text in told) == CAPTIONS / 2

    def test_make_a_vocabulary(self):
        assert vocabulary(["a red mug, side view"]) == [",", "a", "an", "mug", "red", "side", "view"]


class TestTokenizer:
    @given(st.lists(st.sampled_from(WORDS), max_size=TOKENS - 2))
    def test_a_word_is_a_token(self, tokenizer, words):
        for text in (" ".join(words), " ".join(words).replace(" , ", ", ").upper()):
            if ", ," in text or ",," in text:
                continue
            tokens = tokenizer(text).input_ids
            assert tokens[0] == BEGIN and tokens[-1] == END
            assert [tokenizer.convert_ids_to_tokens(token) for token in tokens[1:-1]] == [
                f"{word}</w>" for word in words
            ]

    @given(st.lists(st.sampled_from("abelmnstu"), min_size=1, max_size=8).map("".join))
    def test_words_of_random_letters_are_known_only_when_they_are_words(self, tokenizer, word):
        assert (len(tokenizer.tokenize(word)) == 1 and tokenizer.tokenize(word)[0] == f"{word}</w>") == (
            word in WORDS or (len(word) == 1 and f"{word}</w>" in tokenizer.get_vocab())
        )

    def test_texts_are_padded_after_their_end(self, tokenizer):
        tokens = tokenizer(["a mug", ""], padding="max_length", max_length=TOKENS).input_ids
        assert [len(row) for row in tokens] == [TOKENS] * 2
        assert tokens[1] == [BEGIN, END, *[PAD] * (TOKENS - 2)]

    def test_comes_back_from_its_folder_with_its_words(self, tokenizer, tmp_path):
        tokenizer.save_pretrained(tmp_path)
        loaded = CLIPTokenizer.from_pretrained(str(tmp_path))
        assert loaded.init_kwargs["words"] == WORDS
        assert loaded("a metal table, view").input_ids == tokenizer("a metal table, view").input_ids
        assert loaded.model_max_length == TOKENS
