"""Pieces of the report's page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def table(head: str, rows: Iterable[str], kind: str = "") -> str:
    """head, rows: <tr>...</tr>. kind: CSS class."""
    return (
        f'<div class="scroll"><table class="{kind}"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def section(title: str, content: str) -> str:
    """content: HTML."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"
