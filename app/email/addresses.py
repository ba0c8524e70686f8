"""Mail addresses: one parser for forms, database and SMTP."""

from email_validator import EmailNotValidError, validate_email

LONGEST = 254  # characters (RFC 5321, 4.5.3.1, with its erratum 1690)


def parse_address(text: str) -> str:
    """Return the address as it is stored and mailed to: ASCII, an international domain as its A-label.

    Raises ValueError for anything else, non-ASCII local parts included: few servers take them, and letters that
    look or fold alike have let strangers reset other people's passwords (CVE-2019-19844).
    """
    text = text.strip()
    if len(text) > LONGEST:  # the library looks later, after work that grows with the cube of the length
        raise ValueError("The address is too long.")
    try:
        valid = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            strict=True,
            test_environment=True,  # takes .test, which RFC 2606 keeps for trying things out
        )
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error
    if "=?" in valid.local_part:  # some mail programs decode it, and see another address (RFC 2047)
        raise ValueError("The part before the @-sign looks like an encoded word.")
    return str(valid.ascii_email)


def masked(address: str) -> str:
    """Enough for its owner to know it by, where others may read it."""
    name, _, domain = address.rpartition("@")
    return f"{name[0]}•••@{domain}"


def address_key(address: str) -> str:
    """The canonical form under which an address is unique: two spellings of one mailbox are one account.

    RFC 5321 lets a host tell A@ from a@; no host of note does, and people type both.
    """
    return address.lower()
