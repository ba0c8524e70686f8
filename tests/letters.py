"""A mail as its reader has it: both parts, what they show line by line, and where they lead."""

import re
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from functools import cached_property
from html.parser import HTMLParser
from unicodedata import east_asian_width

from config import Config

STRICT = policy.default.clone(raise_on_defect=True)
LANGUAGES = Config.LANGUAGES
BLOCKS = {"p", "div", "h1", "br", "body"}


@dataclass
class Link:
    href: str
    kind: str  # its class
    text: str = ""


@dataclass
class Block:
    """A paragraph or heading: what it says without its links, and the visible lines with them."""

    tag: str
    kind: str  # its class
    words: str = ""
    lines: list[str] = field(default_factory=lambda: [""])


class HtmlReader(HTMLParser):
    """What a mail's HTML says when all styles are gone, but for what is hidden by an attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[Link] = []
        self.blocks: list[Block] = []
        self.title = self.style = self.preheader = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        kind = attributes.get("class") or ""
        self.tags.append((tag, attributes))
        if tag in BLOCKS - {"br"}:
            self.blocks.append(Block(tag, kind))
        if tag == "br":
            self.blocks[-1].lines.append("")
        if tag == "a":
            self.links.append(Link(attributes["href"], kind))
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "tags are not nested"

    def handle_data(self, data):
        if "title" in self.open or "style" in self.open:
            part = "title" if "title" in self.open else "style"
            setattr(self, part, getattr(self, part) + data)
        elif self.blocks and self.blocks[-1].kind == "preheader":
            self.preheader += data
        elif self.blocks:
            self._read(data)

    def _read(self, data):
        block = self.blocks[-1]
        block.lines[-1] += data.strip("\n")
        if "a" in self.open:
            self.links[-1].text += data
        else:
            block.words += data


class Letter:
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.message = message_from_bytes(source, policy=STRICT)

    @cached_property
    def text(self) -> str:
        return self.message.get_body(["plain"]).get_content().replace("\r\n", "\n")

    @cached_property
    def html(self) -> str:
        return self.message.get_body(["html"]).get_content().replace("\r\n", "\n")

    @cached_property
    def page(self) -> HtmlReader:
        return HtmlReader(self.html)

    @property
    def subject(self) -> str:
        return self.message["Subject"]

    @property
    def text_links(self) -> list[str]:
        return re.findall(r"https?://\S+", self.text)

    @property
    def paragraphs(self) -> list[str]:
        """Those of the text part, without links and without the signature."""
        body = self.text.partition("\n-- \n")[0]
        return [paragraph for paragraph in body.split("\n\n") if "://" not in paragraph]


def columns(line: str) -> int:
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in line)


def squeezed(text: str) -> str:
    """Without any white space: Chinese lines are broken where there is none."""
    return "".join(text.split())
