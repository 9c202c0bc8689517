"""Texts for a model that knows few words: an unknown one is an error, and not a token that means nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def split_words(text: str) -> list[str]:
    """The words of a text, in lower case, as a tokenizer of CLIP's tells them apart; punctuation is words, too."""
    return re.findall(r"[^\W\d_]+|\d|(?:[^\s\w]|_)+", text.lower())


def known_words(tokenizer: Any) -> Sequence[str]:
    """The words that a tokenizer's configuration lists as all it knows; none where it does not say."""
    words: Sequence[str] = getattr(tokenizer, "init_kwargs", {}).get("words", ())
    return words


def require_known(texts: Sequence[str], tokenizer: Any) -> None:
    """Raises ValueError naming the words of a text that the tokenizer does not know, or a text that it would cut.

    Tokenizers that do not say what they know take every text.
    """
    known = known_words(tokenizer)
    if not known:
        return
    most = tokenizer.model_max_length - 2  # beside the marks of beginning and end
    for text in texts:
        words = split_words(text)
        if unknown := [word for word in dict.fromkeys(words) if word not in known]:
            named = ", ".join(map(repr, unknown))
            raise ValueError(f"text {text!r} says {named}, which this model does not know; it knows: {' '.join(known)}")
        if len(words) > most:
            raise ValueError(f"text {text!r} has {len(words)} words, this model takes at most {most}; say less")
