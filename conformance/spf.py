#!/usr/bin/python3
"""The SPF project's test suite for RFC 7208, run through the cell's port 25.

    conformance/spf.py BINARIES FOLDER SUITE

SUITE is rfc7208-tests.yml. Each test is a letter from its client's address, with its EHLO and
MAIL; the result is read from Authentication-Results in the mailbox. It must run in a network
namespace of its own, where every address is this machine's: conformance/run makes one. The exit
status is 0 if no answer is wrong.

Invariant: nothing is sent from the machine's own addresses.
Refs: RFC 7208; docs/conformance.md.
"""

import contextlib
import ipaddress
import re
import socket
import ssl
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import yaml

from rig import Cell, Stage

DNS_PORT = 15353
# linux/in6.h; without it an address that no interface has cannot be bound.
IPV6_FREEBIND = 78


def zone(data: dict) -> dict[str, list]:
    """The suite's names: lists of (type, value), or TIMEOUT; SPF stands for TXT where none is given."""
    made = {}
    for name, records in data.items():
        listed = []
        has_text = any(isinstance(record, dict) and "TXT" in record for record in records)
        for record in records:
            if record == "TIMEOUT":
                listed.append(("TIMEOUT", None))
                continue
            for kind, value in record.items():
                if kind == "SPF":
                    kind = "" if has_text else "TXT"
                if kind and value != "NONE":
                    listed.append((kind, value))
        made[name.lower()] = listed
    return made


class Names(threading.Thread):
    """A resolver that knows one scenario. A timeout is said as SERVFAIL, which means the same."""

    def __init__(self):
        super().__init__(daemon=True)
        self.zone: dict[str, list] = {}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", DNS_PORT))
        self.tcp = socket.create_server(("127.0.0.1", DNS_PORT))
        threading.Thread(target=self.by_tcp, daemon=True).start()

    def run(self):
        while True:
            wire, peer = self.udp.recvfrom(65535)
            with contextlib.suppress(Exception):
                answer = self.answer(wire)
                octets = answer.to_wire()
                if len(octets) > 1200:
                    answer.flags |= dns.flags.TC
                    answer.answer.clear()
                    octets = answer.to_wire()
                self.udp.sendto(octets, peer)

    def by_tcp(self):
        while True:
            stream, _ = self.tcp.accept()
            with contextlib.suppress(Exception), stream:
                stream.settimeout(5)
                length = int.from_bytes(stream.recv(2, socket.MSG_WAITALL), "big")
                octets = self.answer(stream.recv(length, socket.MSG_WAITALL)).to_wire()
                stream.sendall(len(octets).to_bytes(2, "big") + octets)

    def answer(self, wire: bytes) -> dns.message.Message:
        query = dns.message.from_wire(wire)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA | dns.flags.AA
        question = query.question[0]
        # As the suite writes names: any octets, and no escapes.
        name = b".".join(question.name.labels[:-1]).decode("latin-1").lower()
        self.fill(reply, name, dns.rdatatype.to_text(question.rdtype), 0)
        return reply

    def fill(self, reply, name: str, kind: str, depth: int) -> None:
        records = self.zone.get(name)
        if records is None:
            reply.set_rcode(dns.rcode.SERVFAIL if name.startswith("error.") else
                            dns.rcode.NOERROR if depth else dns.rcode.NXDOMAIN)
            return
        found = False
        for record, value in records:
            if record == "TIMEOUT" or value == "TIMEOUT" and record == kind:
                if not found:
                    reply.set_rcode(dns.rcode.SERVFAIL)
                return
            if record not in (kind, "CNAME"):
                continue
            found = True
            if record == "TXT":
                parts = [value] if isinstance(value, str) else value
                value = " ".join('"' + "".join(f"\\{octet:03d}" for octet in part.encode()) + '"' for part in parts)
            elif record == "MX":
                value = f"{value[0]} {value[1] or ''}."
            elif record in ("CNAME", "PTR"):
                value = f"{value.rstrip('.')}."
            owner = dns.name.Name([*name.encode("latin-1").split(b"."), b""])
            with contextlib.suppress(Exception):
                reply.answer.append(dns.rrset.from_text(owner, 0, "IN", record, value))
            if record == "CNAME" and depth < 8:
                self.fill(reply, records_name(value), kind, depth + 1)


def records_name(value: str) -> str:
    return value.rstrip(".").lower()


class Refused(Exception):
    """The session did not get as far as a letter."""


def send(cell: Cell, test: dict, to: str, word: str) -> None:
    """One letter, said by hand: the suite's names are such that a library would refuse them."""
    address = ipaddress.ip_address(test["host"])
    address = getattr(address, "ipv4_mapped", None) or address
    peer = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    stream = socket.socket(peer, socket.SOCK_STREAM)
    stream.settimeout(60)
    if peer == socket.AF_INET6:
        stream.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    stream.bind((str(address), 0))
    stream.connect(("::1" if peer == socket.AF_INET6 else "127.0.0.1", cell.mx))
    lines = stream.makefile("rb")

    def say(octets: bytes, wanted: str) -> None:
        if octets:
            stream.sendall(octets + b"\r\n")
        while True:
            line = lines.readline().decode()
            if line[3:4] != "-":
                break
        if not line.startswith(wanted):
            raise Refused(f"{octets.decode()!r}: {line.strip()}")

    with contextlib.closing(stream), contextlib.closing(lines):
        say(b"", "220")
        say(f"EHLO {test['helo']}".encode(), "250")
        say(f"MAIL FROM:<{test['mailfrom']}>".encode(), "250")
        say(f"RCPT TO:<{to}>".encode(), "250")
        say(b"DATA", "354")
        say(f"From: someone@author.test\r\nSubject: {word}\r\n\r\n{word}\r\n.".encode(), "250")


def results(cell: Cell, account) -> dict[str, str]:
    """What Authentication-Results say of SPF, by subject."""
    context = ssl.create_default_context(cafile=str(cell.folder / "tls.crt"))
    context.check_hostname = False
    client, said = cell.imap(account, context), {}
    for mailbox in ["INBOX", "Junk"]:
        if client.select(mailbox, readonly=True)[0] != "OK":
            continue
        _, found = client.uid("SEARCH", "ALL")
        if found[0]:
            _, parts = client.uid("FETCH", found[0].replace(b" ", b",").decode(), "(BODY.PEEK[HEADER])")
            for part in parts:
                if isinstance(part, tuple):
                    header = part[1].decode(errors="replace")
                    spf = re.search(r"^Authentication-Results:[^=]*?spf=(\w+)", header, re.M)
                    said[re.search(r"^Subject: (\S+)", header, re.M)[1]] = spf[1] if spf else "missing"
    client.logout()
    return said


def main() -> int:
    binaries, folder, suite = (Path(word).absolute() for word in sys.argv[1:4])
    stage = Stage(folder, binaries, quiet=True)
    names = Names()
    names.start()
    cell = Cell(stage, "ie", "::", "127.0.0.1")
    right, wrong, outside = 0, {}, []
    try:
        cell.init()
        cell.host = "::1"
        for number, scenario in enumerate(yaml.safe_load_all(suite.read_bytes())):
            names.zone = zone(scenario["zonedata"])
            # A cell that has just started has no answers from the last scenario.
            cell.start()
            if not cell.accounts:
                cell.create("alice", "sealed")
            account, sent = cell.accounts["alice@ie.example"], {}
            for name, test in scenario["tests"].items():
                word = f"{number}-{name}"
                try:
                    send(cell, test, account.address, word)
                    sent[word] = test["result"]
                except Refused as why:
                    outside.append(f"{word}: {why}")
            said = results(cell, account)
            for word, wanted in sent.items():
                allowed = [wanted] if isinstance(wanted, str) else wanted
                if said.get(word) in allowed:
                    right += 1
                else:
                    wrong[word] = f"{said.get(word)} and not {' or '.join(allowed)}"
            cell.stop()
    finally:
        stage.stop_all()
    for line in outside:
        print(f"   not taken: {line}")
    for word in sorted(wrong):
        print(f"   wrong: {word}: {wrong[word]}")
    print(f"SPF: {right} right, {len(wrong)} wrong, {len(outside)} not taken")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
