"""What the Markdown files show: commands, code spans, fenced blocks, links and the anchors they may lead to."""

import re
from dataclasses import dataclass
from pathlib import Path

from scripts.asvs import headings

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SETTING = re.compile(r"[A-Z][A-Z0-9_]*=\S*")
COMMENT = re.compile(r"  +.*|(?<=\s)#.*|^#.*")


@dataclass(frozen=True)
class Command:
    """A command as a page shows it, without prompt and comment."""

    text: str
    page: str

    @property
    def words(self) -> list[str]:
        """Without settings put before it; the program without the folder it lies in."""
        words = self.text.lstrip("(").split()
        while len(words) > 1 and SETTING.fullmatch(words[0]):
            words.pop(0)
        return [words[0].rpartition("/")[2], *words[1:]]

    @property
    def program(self) -> str:
        return self.words[0]

    def begins(self, beginning: str) -> bool:
        return self.words[: len(beginning.split())] == beginning.split()


class Page:
    """One Markdown file."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text()
        self.prose = FENCE.sub("", self.text)
        self.blocks = FENCE.findall(self.text)  # of (language, content)
        self.spans = [" ".join(span.split()) for span in SPAN.findall(self.prose)]
        self.links = LINK.findall(SPAN.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        return headings(self.prose)

    def section(self, title: str) -> list[Command]:
        """The commands in the blocks below that heading, up to the next one."""
        rest = re.split(r"^#+ ", self.text.partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]
        blocks = [content for _, content in FENCE.findall(rest)]
        return [Command(line, self.name) for content in blocks for line in lines_of(content)]

    def commands(self, programs: set[str]) -> list[Command]:
        """Every line of a block without a language, and every span that begins with one of these programs."""
        lines = [line for language, content in self.blocks if not language for line in lines_of(content)]
        spans = [Command(span, self.name) for span in self.spans]
        return [Command(line, self.name) for line in lines] + [one for one in spans if one.program in programs]


def lines_of(block: str) -> list[str]:
    """The commands of a block: continued lines joined, prompts and comments left out."""
    joined = re.sub(r" *\\\n\s*", " ", block)
    lines = [COMMENT.sub("", line.strip().removeprefix("$ ")).strip() for line in joined.splitlines()]
    return [line for line in lines if line]


def pages(*globs: str) -> list[Page]:
    return [Page(path) for glob in globs for path in sorted(ROOT.glob(glob))]
