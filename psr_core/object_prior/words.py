"""What is said of a picture of an object, and a tokenizer that knows these words and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from transformers import CLIPTokenizer

from psr_core.known_words import split_words

TOKENS = 16  # of a text, its beginning and end among them
SPECIAL = ("<|pad|>", "<|unk|>", "<|startoftext|>", "<|endoftext|>")
PAD, UNKNOWN, BEGIN, END = range(len(SPECIAL))
ARTICLES = ("a", "an")  # both are known, whichever the captions need
CAPTIONS = 8  # of a picture: each of colour, material and view said or left out
_END_OF_WORD = "</w>"


def caption(kind: str, colour: str = "", material: str = "", view: str = "") -> str:
    """Such as "a red ceramic mug, front view"; what is empty is left out."""
    thing = " ".join(word for word in (colour, material, kind) if word)
    article = "an" if thing[0] in "aeiou" else "a"
    return f"{article} {thing}" + (f", {view} view" if view else "")


def captions(words: Mapping[str, str]) -> list[str]:
    """The CAPTIONS of a picture, from its kind alone to all its words: kind, colour, material, view."""
    told = [("", words[name]) for name in ("colour", "material", "view")]
    return [caption(words["kind"], *chosen) for chosen in product(*told)]


def vocabulary(texts: Iterable[str]) -> list[str]:
    """All words of the texts, and the articles, in order."""
    return sorted({word for text in texts for word in split_words(text)} | set(ARTICLES))


def word_tokenizer(words: Sequence[str]) -> CLIPTokenizer:
    """A tokenizer to which each of these words is one token. Its configuration lists them as `words`, which is how a
    prior knows what it must refuse."""
    merges: Any = _merges(words)  # transformers means pairs where it says strings
    letters = sorted({part for word in words for part in _letters(word)})
    tokens = dict.fromkeys([*SPECIAL, *letters, *("".join(pair) for pair in merges)])
    return CLIPTokenizer(
        {token: number for number, token in enumerate(tokens)},
        merges,
        unk_token=SPECIAL[UNKNOWN],
        pad_token=SPECIAL[PAD],
        model_max_length=TOKENS,
        words=list(words),
    )


def _letters(word: str) -> list[str]:
    return [*word[:-1], word[-1] + _END_OF_WORD]


def _merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs to be merged one after the other until every word is whole: byte pair encoding, of words all as frequent.

    A pair is merged in all words at once, as it will be when a text is read, so that no word undoes another's.
    """
    parts = [_letters(word) for word in words]
    merges = []
    while unfinished := next((word for word in parts if len(word) > 1), None):
        pair = (unfinished[0], unfinished[1])
        merges.append(pair)
        parts = [_merged(word, pair) for word in parts]
    return merges


def _merged(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    done: list[str] = []
    rest = list(parts)
    while rest:
        if tuple(rest[:2]) == pair:
            done.append("".join(pair))
            rest = rest[2:]
        else:
            done.append(rest.pop(0))
    return done
