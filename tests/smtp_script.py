"""A mail server that follows a script: at each step of the dialogue it answers, hangs up or falls silent as it is told.

The steps are CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (its first line was read) and DOT. For each the
script holds a reply, a list of replies that are used once each, or a function that is given the dialogue and returns
the reply. A step without an entry, or whose list is used up, goes well.
"""

import socket
import ssl
import time
from contextlib import suppress
from threading import Event, Lock, Thread

from tests.servers import HOST, Mail, free_port

GOES_WELL = {
    "CONNECT": "220 scripted.example",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 OK",
    "RCPT": "250 2.1.5 OK",
    "DATA": "354 go on",
    "DOT": "250 2.0.0 taken",
}


class HangUpError(Exception):
    """Ends a dialogue without another word."""


def hang_up(dialogue):
    raise HangUpError


def take_and_hang_up(dialogue):
    """The mail is taken, and the sender is never told."""
    dialogue.take()
    raise HangUpError


def say_nothing(dialogue):
    """Keep the connection and answer no more, as a server does that has lost its power."""
    dialogue.server.stopping.wait()
    raise HangUpError


def ramble(dialogue):
    """Always the next line, never the last one, and every one in time."""
    while not dialogue.server.stopping.wait(0.1):
        dialogue.socket.sendall(b"220-and another thing\r\n")
    raise HangUpError


class ScriptedSmtp:
    """`mails` it has taken, `shown` to it whole, `steps` it was led through."""

    def __init__(self):
        self.port = free_port()
        self.script = {}
        self.byte_seconds = 0  # between two bytes of an answer
        self.tls: ssl.SSLContext | None = None
        self.mails: list[Mail] = []
        self.shown: list[Mail] = []
        self.steps: list[str] = []
        self.lock = Lock()
        self.stopping = Event()
        self.listener: socket.socket | None = None
        self.dialogues: list[Dialogue] = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()
        self.listener.close()

    def start(self):
        self._bind()
        self.stopping = Event()
        self.listener.listen(100)
        Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """Hang up on everybody and refuse connections. The port stays ours: nobody else is given it meanwhile."""
        self.stopping.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes up accept()
        self._bind()
        with self.lock:
            dialogues, self.dialogues = self.dialogues, []
        for dialogue in dialogues:
            dialogue.close()

    def _bind(self):
        if self.listener is not None:
            self.listener.close()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((HOST, self.port))

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                peer, session = listener.accept()
                dialogue = Dialogue(self, peer, session)
                with self.lock:
                    self.dialogues = [other for other in self.dialogues if other.thread.is_alive()] + [dialogue]
                    dialogue.thread.start()

    def told(self, step):
        """What the script says about a step, if anything."""
        with self.lock:
            self.steps.append(step)
            entry = self.script.get(step)
            if isinstance(entry, list):
                return entry.pop(0) if entry else None
            return entry


class Dialogue:
    """One connection, in a thread of its own."""

    def __init__(self, server, peer, session):
        self.server, self.socket, self.session = server, peer, session
        self.stream = peer.makefile("rb")
        self.thread = Thread(target=self._run, daemon=True)
        self.greeting = self.sender = ""
        self.recipients: list[str] = []
        self.mail: Mail | None = None

    def close(self):
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)

    def take(self):
        self.server.mails.append(self.mail)

    def _run(self):
        try:
            with suppress(OSError, HangUpError):
                self._answer("CONNECT")
                while line := self.stream.readline():
                    self._obey(*line.decode().strip().partition(" ")[::2])
        finally:
            self.stream.close()
            self.socket.close()

    def _obey(self, command, words):
        match command.upper():
            case "EHLO" | "HELO":
                self.greeting = words
                starttls = "250-STARTTLS\r\n" if self.server.tls and not isinstance(self.socket, ssl.SSLSocket) else ""
                self._answer("EHLO", f"250-scripted.example\r\n{starttls}250 AUTH PLAIN")
            case "STARTTLS":
                self._answer("STARTTLS", "220 go ahead")
                self.stream.close()
                self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
                self.stream = self.socket.makefile("rb")
            case "MAIL":
                self.sender, self.recipients = _address(words), []
                self._answer("MAIL")
            case "RCPT":
                self.recipients.append(_address(words))
                self._answer("RCPT")
            case "DATA":
                if self._answer("DATA").startswith("354"):
                    self._read_mail()
            case "AUTH":
                self._answer("AUTH")
            case "QUIT":
                self.say("221 bye")
                raise HangUpError
            case _:  # RSET
                self.say("250 OK")

    def _read_mail(self):
        lines = [self.stream.readline()]
        if told := self.server.told("BODY"):
            told(self)
        while lines[-1] != b".\r\n":
            if not lines[-1]:
                raise HangUpError
            lines.append(self.stream.readline())
        source = b"".join(line.removeprefix(b".") for line in lines[:-1])
        self.mail = Mail(self.session, self.greeting, self.sender, self.recipients, source)
        self.server.shown.append(self.mail)
        self._answer("DOT")

    def _answer(self, step, usual=None):
        told = self.server.told(step)
        reply = (told(self) if callable(told) else told) or usual or GOES_WELL[step]
        if step == "DOT" and reply.startswith("2"):
            self.take()
        self.say(reply)
        return reply

    def say(self, reply):
        line = f"{reply}\r\n".encode()
        if not self.server.byte_seconds:
            self.socket.sendall(line)
            return
        for byte in line:
            time.sleep(self.server.byte_seconds)
            self.socket.sendall(bytes([byte]))


def _address(words):
    return words.partition("<")[2].partition(">")[0]
