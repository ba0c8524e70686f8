"""What security events are called in front of people."""

from flask_babel import lazy_gettext as _l

WORDS = {
    "registered": _l("Account created"),
    "signed_in": _l("Signed in"),
    "signed_out": _l("Signed out"),
    "sign_in_refused": _l("Wrong password"),
    "sign_in_limited": _l("Wrong password, several times: further tries from there were slowed down"),
    "password_stopped": _l("A hundred wrong passwords in a row: the password was stopped"),
    "reset_asked": _l("A link to choose a new password was mailed"),
    "reset_link_printed": _l("The site's operator made a link to choose a new password"),
    "reset_asked_by_operator": _l("The site's operator had a link mailed to choose a new password"),
    "password_reset": _l("New password by a mailed link"),
    "password_changed": _l("Password changed"),
    "not_me": _l("You said that you had not asked for a link"),
    "email_change_asked": _l("A change of the address was asked for"),
    "email_changed": _l("Address changed"),
    "email_change_cancelled": _l("The change of the address was dropped"),
    "email_restored": _l("The former address was restored from its mailbox"),
    "session_ended": _l("Another device was signed out"),
    "sessions_ended": _l("All other devices were signed out"),
    "disabled": _l("The site's operator disabled the account"),
    "enabled": _l("The site's operator enabled the account"),
    "signed_out_by_operator": _l("The site's operator signed all devices out"),
}
