"""What a campaign came to, and whether the links it delivered are good, once each."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.promises import read_rows, row_id
from tests.servers import HttpBrowser, wait_for

LINKS = 50
NEW_PASSWORD = "a stitch in time saves nine"


@dataclass
class Report:
    seed: int
    rounds: int = 0
    accepted: int = 0
    unanswered: int = 0
    refused: Counter = field(default_factory=Counter)
    kills: int = 0
    terminations: int = 0
    pauses: int = 0
    restarts: int = 0
    outcomes: Counter = field(default_factory=Counter)
    delivered: int = 0
    duplicates: int = 0
    unexcused: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    tracebacks: int = 0
    links: int = 0
    resets: int = 0
    trouble: str = ""
    excused: set[str] = field(default_factory=set)

    def excuse(self, message_ids):
        """Something happened to these after which nobody can know whether they were sent."""
        self.excused |= set(message_ids)

    def count(self, promises, mails, site):
        copies = Counter(row_id(mail) for mail in mails)
        self.accepted, self.unanswered = len(promises.accepted), promises.unanswered
        self.refused = Counter(promises.refused)
        self.outcomes = Counter(row.outcome for row in read_rows(promises.app))
        self.delivered = len(copies)
        self.duplicates = sum(copies.values()) - len(copies)
        self.unexcused = {message_id for message_id, number in copies.items() if number > 1} - self.excused
        self.lost = promises.lost(mails)
        self.tracebacks = sum(program.output.count("Traceback") for program in site.programs)

    @property
    def is_good(self) -> bool:
        return not self.lost and not self.unexcused and not self.trouble

    def __str__(self):
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(self.outcomes.items()))
        refused = ", ".join(f"{number} x {status}" for status, number in sorted(self.refused.items())) or "none"
        return (
            f"{self.rounds} rounds with seed {self.seed}\n"
            f"  requests    {self.accepted} accepted; {self.unanswered} without an answer; refused: {refused}\n"
            f"  harm        {self.kills} kills, {self.terminations} stops by SIGTERM, {self.pauses} by SIGSTOP, "
            f"{self.restarts} restarts, {self.tracebacks} tracebacks in the logs\n"
            f"  rows        {outcomes}\n"
            f"  mails       {self.delivered} delivered\n"
            f"  duplicates  {self.duplicates}, of {len(self.unexcused)} mails without an excuse\n"
            f"  links       {self.links} opened, {self.resets} passwords set, the other links then dead\n"
            f"  lost        {len(self.lost)}\n{self.trouble}"
        )


def try_links(campaign):
    """Open delivered links, set one password for each account, and find its other links dead."""
    links = defaultdict(set)
    for mail in campaign.smtp.mails[-LINKS:]:
        links[mail.recipients[0]].add(mail.link)
    for own_links in links.values():
        for link in own_links:
            assert HttpBrowser(campaign.site.url).get(link).status_code == 200
        used, *others = own_links
        assert HttpBrowser(campaign.site.url).reset(used, NEW_PASSWORD).location == "/auth/login"
        for link in (used, *others):
            assert HttpBrowser(campaign.site.url).get(link).status_code == 410
        campaign.report.links += len(own_links)
        campaign.report.resets += 1
    wait_for(lambda: all(row.done_at for row in read_rows(campaign.app)), "the notices of the new passwords")
