"""What a bag holds of single moments: messages of several topics with one stamp, and pictures of them on a page."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from matplotlib.figure import Figure

from psr_eval.bag_reader import BagReader, decode
from psr_eval.episodes import BagContents
from psr_eval.video import stamp_of


@dataclass
class Topic:
    """One topic of a bag: its type, its first message, and the stamps (ns) of all of them in the order of the bag."""

    type: str
    first: Any
    stamps: list[int] = field(default_factory=list)


def survey(bag: BagContents, types: Collection[str]) -> dict[str, Topic]:
    """Topics by name, of these types, whose messages have headers."""
    topics: dict[str, Topic] = {}
    for raw in BagReader(bag.path).messages(list(types)):
        message = decode(raw)
        topics.setdefault(raw.topic, Topic(raw.type, message)).stamps.append(stamp_of(message))
    return topics


def common_stamps(topics: Collection[Topic]) -> list[int]:
    """Those for which every one of the topics has a message, in order."""
    return sorted(set.intersection(*(set(topic.stamps) for topic in topics)))


def spread(stamps: Sequence[int], count: int) -> list[int]:
    """Up to `count` of them, evenly spread."""
    count = min(count, len(stamps))
    return [stamps[(2 * place + 1) * len(stamps) // (2 * count)] for place in range(count)]


def messages_at(
    bag: BagContents, topics: Mapping[str, Topic], wanted: Mapping[str, Collection[int]]
) -> dict[int, dict[str, Any]]:
    """Stamp -> topic -> message. wanted: of each topic, the stamps; the last message of a stamp counts."""
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for raw in BagReader(bag.path).messages(sorted({topics[name].type for name in wanted})):
        if raw.topic in wanted and stamp_of(message := decode(raw)) in wanted[raw.topic]:
            found[stamp_of(message)][raw.topic] = message
    return found


def png(figure: Figure) -> bytes:
    """A figure as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def embedded(picture: bytes, alt: str, caption: str = "") -> str:
    """A PNG as wide as the page, with what is to be said of it, if anything, as HTML."""
    encoded = base64.b64encode(picture).decode()
    image = f'<img class="wide" src="data:image/png;base64,{encoded}" alt="{escape(alt)}">'
    return f'{image}<p class="soft">{escape(caption)}</p>' if caption else image
