"""What went wrong with a mail, in words that say which setting to look at."""

import smtplib
import ssl
from socket import gaierror

from flask import current_app

from app.email.smtp import UnreachableError, Verdict, describe, judge


def explain(error: BaseException | None) -> str:
    """One sentence about an error of Connection.send, and one about what to do."""
    config = current_app.config
    server, port = config["MAIL_SERVER"], config["MAIL_PORT"]
    said = describe(error).partition(": ")[2]
    match error:
        case UnreachableError():
            return explain(error.__cause__)
        case gaierror():
            return f"The name {server} does not resolve. Check MAIL_SERVER."
        case ConnectionRefusedError():
            return f"Nothing listens on port {port} of {server}. Check MAIL_PORT: 587 for STARTTLS, 465 for TLS."
        case TimeoutError() | smtplib.SMTPServerDisconnected():
            return f"{server} did not answer on port {port}, or hung up. Some hosts block port 25: try 587."
        case ssl.SSLCertVerificationError(verify_message=why):
            return f"The certificate of {server} is not trusted: {why}. Check how it is spelt, or set MAIL_CA_FILE."
        case ssl.SSLError():
            return f"Port {port} of {server} does not begin with TLS. Use MAIL_USE_TLS, or port 465."
        case smtplib.SMTPResponseException() | smtplib.SMTPRecipientsRefused() if judge(error) is Verdict.RETRY:
            return f"The server asks to come back later: {said}."
        case smtplib.SMTPRecipientsRefused() if judge(error) is Verdict.OURS:
            return f"The server does not let us send: {said}. Check MAIL_USERNAME, and whether it relays for this host."
        case smtplib.SMTPConnectError() | smtplib.SMTPHeloError():
            return f"{server} does not want to speak to us: {said}."
        case FileNotFoundError():
            return "MAIL_CA_FILE cannot be read."
        case smtplib.SMTPAuthenticationError():
            return f"The login was refused: {said}. Check MAIL_USERNAME and MAIL_PASSWORD."
        case smtplib.SMTPSenderRefused():
            return f"The server takes no mail from this sender: {said}. Check MAIL_DEFAULT_SENDER and MAIL_USERNAME."
        case smtplib.SMTPRecipientsRefused():
            return f"The server takes no mail for this recipient: {said}."
        case smtplib.SMTPDataError():
            return f"The server refused the message itself: {said}."
        case smtplib.SMTPException():
            return f"{server} does not do what the settings ask for: {said}. Check MAIL_USE_TLS and MAIL_USERNAME."
    return f"It did not work: {describe(error)}."


def step_of(error: BaseException | None, begun: str) -> str:
    """At which of STEPS it failed, after the last that was begun: a connection has several ways to fail."""
    match error:
        case UnreachableError():
            return step_of(error.__cause__, begun)
        case gaierror():
            return "name"
        case ssl.SSLCertVerificationError():
            return "certificate"
        case ssl.SSLError():
            return "TLS"
    return begun
