"""What the DNS says of the sender's domain: SPF, DKIM and DMARC, by which servers tell our mail from forgeries."""

from collections.abc import Iterator
from email.utils import parseaddr

import dns.exception
import dns.rdatatype
import dns.resolver
from flask import current_app

from config_checks import NOT_CHECKED, OK, WARNING, WRONG, Finding

SECONDS = 4  # for each question
OF_NOBODY = ("example", "test", "invalid", "localhost")  # RFC 2606
SAMPLES = (".example.com", ".example.net", ".example.org")


def check() -> Iterator[Finding]:
    domain = parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1].rpartition("@")[2].lower()
    if current_app.config["MAIL_DELIVERY"] == "off":
        return
    if domain.rpartition(".")[2] in OF_NOBODY or f".{domain}".endswith(SAMPLES):
        yield Finding("sender's domain", NOT_CHECKED, f"{domain} is a name for samples.")
        return
    if problem := _unknown(domain):
        yield Finding("sender's domain", *problem)
        return
    for name, look in {"SPF": _spf, "DKIM": _dkim, "DMARC": _dmarc}.items():
        try:
            yield Finding(name, *look(domain))
        except (dns.exception.DNSException, OSError) as error:
            yield Finding(name, NOT_CHECKED, f"The DNS gives no answer about {domain} ({type(error).__name__}).")


def _unknown(domain: str) -> tuple[str, str, str] | None:
    """Where there is no use in asking on: no DNS, one that knows of this network only, or no such domain."""
    try:
        dns.resolver.resolve(f"{domain.rpartition('.')[2]}.", "SOA", lifetime=SECONDS, raise_on_no_answer=False)
    except (dns.exception.DNSException, OSError) as error:
        return NOT_CHECKED, f"The DNS of the Internet does not answer here ({type(error).__name__}).", ""
    try:
        dns.resolver.resolve(f"{domain}.", "SOA", lifetime=SECONDS, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return WRONG, f"The DNS knows no {domain}", "check MAIL_DEFAULT_SENDER: no server takes mail from nowhere."
    except (dns.exception.DNSException, OSError):
        pass  # what is asked next will tell
    return None


def _spf(domain: str) -> tuple[str, str, str]:
    """RFC 7208."""
    records = _texts(domain, "v=spf1")
    if not records:
        what = f"{domain} has no SPF record: many servers put its mail into the spam folder"
        return WARNING, what, "publish the TXT record that your mail provider names, as in v=spf1 include:… -all"
    if len(records) > 1:
        return WRONG, f"{domain} has {len(records)} SPF records, so that none of them counts", "publish one."
    if records[0].split()[-1] in ("+all", "all"):
        return WARNING, f"The SPF record of {domain} lets the whole world send", "end it with -all or ~all."
    return OK, f"{domain} has an SPF record; whether it names your mail server, a received mail shows.", ""


def _dkim(domain: str) -> tuple[str, str, str]:
    """Keys are found by a selector only (RFC 6376); but a server says whether there is anything at all (RFC 8020)."""
    look = "send one with flask mail test, and look for dkim=pass in its Authentication-Results."
    try:
        dns.resolver.resolve(f"_domainkey.{domain}", "TXT", lifetime=SECONDS)
    except dns.resolver.NXDOMAIN:
        return WARNING, f"{domain} seems to have no DKIM key: nothing lies below _domainkey.{domain}", look
    except dns.resolver.NoAnswer:
        pass
    return NOT_CHECKED, f"{domain} may have a DKIM key; whether mail is signed with it, only a received one shows", look


def _dmarc(domain: str) -> tuple[str, str, str]:
    """RFC 7489; of the domain or of one above."""
    labels = domain.split(".")
    for above in range(len(labels) - 1):
        records = _texts(f"_dmarc.{'.'.join(labels[above:])}", "v=dmarc1")
        if len(records) == 1:
            return OK, f"{domain} has a DMARC record.", ""
        if records:
            return WRONG, f"{domain} has several DMARC records, so that none of them counts", "publish one."
    what = f"{domain} has no DMARC record: anybody can write in its name"
    return WARNING, what, f"publish a TXT record at _dmarc.{domain}, to begin with v=DMARC1; p=none"


def _texts(name: str, start: str) -> list[str]:
    """The TXT records that begin so; none where the name does not exist."""
    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    texts = [b"".join(record.strings).decode(errors="replace") for record in answer]
    return [text for text in texts if text.lower().startswith(start)]
