"""Whether the tags of a page are closed in the order in which they were opened."""

from __future__ import annotations

from html.parser import HTMLParser


class Tags(HTMLParser):
    """`open` names what is still open, `problems` what was closed without its partner."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        if tag not in ("meta", "input", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)
