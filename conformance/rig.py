"""What every part of the conformance run stands on: one cell, and what came out of it.

Invariant: everything is on loopback and in one folder; the cell is set up with the demo's own
means, so that both show the same server. Refs: docs/conformance.md.
"""

import re
import shutil
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "demo"))

from cells import OFFSET, Cell, certificates, zone
from stage import Broken, Stage

PEER_PORT = 25 + OFFSET


class Skipped(Exception):
    """A part that cannot run here; the text says what is missing."""


@dataclass
class Peer:
    """Somebody else's mail exchanger: what its certificate and its DNS records are made from."""

    name: str
    host: str
    domain: str = ""
    hostname: str = ""
    keys: dict = field(default_factory=dict)

    def __post_init__(self):
        self.domain = f"{self.name}.example"
        self.hostname = f"mx.{self.domain}"
        self.keys = {"dns": [[self.domain, "MX", f"10 {self.hostname}."],
                             [self.domain, "TXT", '"v=spf1 ip4:127.0.0.0/8 -all"'],
                             [f"_dmarc.{self.domain}", "TXT", '"v=DMARC1; p=none"']]}


class Rig:
    """A cell with three accounts, a resolver, and names for the peers."""

    def __init__(self, stage: Stage, lane: int, sources: Path | None):
        self.stage, self.sources = stage, sources
        net = f"127.0.{lane}"
        self.cell = Cell(stage, "ie", f"{net}.11", f"{net}.10")
        self.peers = {"post": Peer("post", f"{net}.20"), "old": Peer("old", f"{net}.21"),
                      "exim": Peer("exim", f"{net}.22"), "broken": Peer("broken", f"{net}.23")}
        # Where our own test clients come from.
        self.client = f"{net}.30"
        self.tls: ssl.SSLContext | None = None
        self.seen: dict[tuple, bytes] = {}

    def start(self) -> None:
        cell = self.cell
        self.stage.title("one cell, as `bailiwick init` makes it")
        cell.init()
        everyone = [cell, *self.peers.values()]
        self.tls = certificates(self.stage, everyone)
        zone(self.stage, everyone)
        cell.edit('certificate = "tls.crt"', 'certificate = "../ie.crt"')
        cell.edit('key = "tls.key"', 'key = "../ie.key"')
        cell.edit("[outbound]\nport = 25\n", f"[outbound]\nport = {PEER_PORT}\n")
        cell.edit("retry_minutes = [1, 5, 15, 60, 120, 240]", "retry_minutes = [0]")
        cell.start()
        for name in ["alice", "carol", "office"]:
            cell.create(name, "sealed")

    def account(self, name: str):
        return self.cell.accounts[f"{name}@{self.cell.domain}"]

    def log(self) -> str:
        return (self.stage.root / "ie.log").read_text()

    def letters(self, name: str) -> list[bytes]:
        """Every letter of an account's INBOX and Junk, as IMAP gives them; each is fetched once."""
        client = self.cell.imap(self.account(name), self.tls)
        for mailbox in ["INBOX", "Junk"]:
            if client.select(mailbox, readonly=True)[0] != "OK":
                continue
            _, listed = client.uid("SEARCH", "ALL")
            for uid in listed[0].split():
                if (name, mailbox, uid) not in self.seen:
                    _, parts = client.uid("FETCH", uid, "(BODY.PEEK[])")
                    self.seen[name, mailbox, uid] = parts[0][1]
        client.logout()
        return [octets for (owner, _, _), octets in self.seen.items() if owner == name]

    def letter(self, name: str, text: bytes) -> bytes:
        """The one letter with this text, once it is there."""
        def look():
            return [octets for octets in self.letters(name) if text in octets]

        found = self.stage.until(f"a letter for {name} with {text!r}", look, 20)
        if len(found) != 1:
            raise Broken(f"{name} has a letter {len(found)} times: {text!r}")
        return found[0]


def need(program: str, package: str) -> str:
    """The path of a program, or the package that has it."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin")
    if not path:
        raise Skipped(f"no {program}; `./x conformance` installs Debian's {package}")
    return path


def plain_text(text: str) -> str:
    """Without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
