"""Real pictures that generated ones are compared with: all of a folder, or those that prompts are true of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from psr_core.image_folder import INDEX
from psr_core.known_words import split_words
from psr_core.object_folder import WORDS, read_object_index
from psr_eval.image_files import pictures_in

FEWEST = 2  # for a covariance


def real_pictures(folder: Path, prompts: Sequence[str], most: int = 100) -> list[Path]:
    """The files to compare with. Of a folder of objects (docs/object_data.md) those that a prompt is true of, as many
    for each prompt, at most `most`; of another folder all pictures.

    Raises FileNotFoundError for a folder that is not there, ValueError for one with too few pictures, or for a prompt.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder of real pictures {folder} does not exist")
    if not (folder / INDEX).is_file():
        found = pictures_in(folder)
        if len(found) < FEWEST:
            raise ValueError(f"folder {folder} has {len(found)} pictures, expected {FEWEST} or more")
        return found
    entries = read_object_index(folder)["images"]
    by_prompt = [_true_of(prompt, entries) for prompt in prompts]
    for prompt, matching in zip(prompts, by_prompt, strict=True):
        if len(matching) < FEWEST:
            raise ValueError(
                f"folder {folder} has {len(matching)} pictures of {prompt!r}, expected {FEWEST} or more; say less"
            )
    number = min(most, *map(len, by_prompt))
    chosen = [matching[len(matching) * i // number] for matching in by_prompt for i in range(number)]
    return [folder / entry["image"] for entry in chosen]


def _true_of(prompt: str, entries: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The entries of a kind that the prompt says, and of the colour, material and view, as far as it says any."""
    said = set(split_words(prompt))
    asked = {name: said & {entry[name] for entry in entries} for name in WORDS}
    if not asked["kind"]:
        return []
    return [entry for entry in entries if all(not words or entry[name] in words for name, words in asked.items())]
