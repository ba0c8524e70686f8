"""Where a browser goes: as much of the URL Standard (https://url.spec.whatwg.org, 4.4) as decides about the origin."""

import re

SPECIAL = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "file": None}
C0_AND_SPACE = "".join(map(chr, range(0x21)))


def origin(url, base):
    """`scheme://host:port` of a link or a Location on the page `base`; None for what is no web address."""
    text = re.sub(r"[\t\n\r]", "", url.strip(C0_AND_SPACE))
    home_scheme, _, home = base.partition(":")
    scheme, rest = _scheme_of(text)
    if scheme and scheme not in SPECIAL:
        return None
    slashes = re.match(r"[/\\]*", rest).group()
    if scheme and scheme != home_scheme:
        return _authority(scheme, rest[len(slashes) :])  # however many slashes there are
    if len(slashes) >= 2:
        return _authority(home_scheme, rest[len(slashes) :])
    return _authority(home_scheme, home.lstrip("/"))


def _scheme_of(text):
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    return (found.group(1).lower(), text[found.end() :]) if found else ("", text)


def _authority(scheme, text):
    host = re.split(r"[/\\?#]", text, maxsplit=1)[0].rpartition("@")[2].lower()
    name, _, port = host.partition(":")
    return f"{scheme}://{name}:{port or SPECIAL[scheme]}"
