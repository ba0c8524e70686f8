"""What several mails say, for both of their parts: plain strings, which HTML escapes where it is used."""

from collections.abc import Mapping

from flask_babel import gettext as _


def greeting(name: str | None = None) -> str:
    return _("Hello %(name)s,", name=name) if name else _("Hello,")


def works_once(duration: str, until: str) -> str:
    return _("This link works once, for %(duration)s, until %(until)s.", duration=duration, until=until)


def works_until(until: str) -> str:
    return _("The link in this mail works until %(until)s.", until=until)


def when(time: str) -> str:
    return _("When: %(time)s", time=time)


def asked_from(client: Mapping[str, str]) -> str:
    """The device and the network of a request, as far as they are known."""
    device, network = client.get("device"), client.get("network")
    if device and network:
        return _("From: %(device)s, network %(network)s", device=device, network=network)
    if device:
        return _("From: %(device)s", device=device)
    if network:
        return _("From: an unknown device, network %(network)s", network=network)
    return _("From: an unknown device")


def objection() -> str:
    """Before the link for whoever did not ask."""
    return _(
        "If you did not ask for this, nothing has changed, and you can ignore this mail. "
        "To make its link useless and slow such mails down for a day, say so here:"
    )
