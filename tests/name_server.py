"""A real name server on the loopback interface, which answers from a table."""

import socket
from threading import Thread

import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

from tests.servers import HOST


class NameServer:
    """`texts` are the TXT records of each name. Names in it, and those above them, exist; others do not."""

    def __init__(self):
        self.texts: dict[str, list[str]] = {}
        self.silent = self.stopping = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.thread = Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.stopping = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.socket.getsockname())  # wakes up recvfrom()
        self.thread.join()
        self.socket.close()

    @property
    def resolver(self):
        """One that asks this server and no other."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [HOST]
        resolver.port = self.socket.getsockname()[1]
        return resolver

    def _serve(self):
        while True:
            query, sender = self.socket.recvfrom(4096)
            if self.stopping:
                return
            if not self.silent:
                self.socket.sendto(self._answer(dns.message.from_wire(query)).to_wire(), sender)

    def _answer(self, query):
        answer = dns.message.make_response(query)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True)
        if not any(known == name or known.endswith(f".{name}") for known in self.texts):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.TXT and self.texts.get(name):
            quoted = [f'"{text}"' for text in self.texts[name]]
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", *quoted))
        return answer
