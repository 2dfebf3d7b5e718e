"""Postfix as a peer, both ways: it relays letters to the cell, and the cell's queue sends to it.

Invariant: Postfix runs in a folder of its own on loopback, and is stopped by its own command.
Refs: docs/conformance.md; RFC 5321; RFC 2920; RFC 3207; RFC 6531; RFC 6376.
"""

import email
import email.policy
import os
import re
import shutil
import smtplib
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import corpus
from rig import PEER_PORT, Broken, Rig, Skipped, need

# Recipients of one letter: more than one pipelined group of ours, as many as Postfix puts in one.
MANY = 60
MEBI = 1 << 20


class Postfix:
    """One instance in the folder `postfix`, with three domains, each at an address of its own: as a
    server is today, as of old, and one whose TLS does not work."""

    def __init__(self, rig: Rig):
        self.rig, self.stage = rig, rig.stage
        self.peer, self.old, self.broken = rig.peers["post"], rig.peers["old"], rig.peers["broken"]
        self.folder = rig.stage.root / "postfix"
        self.etc = self.folder / "etc"
        self.pid = self.folder / "spool/pid/master.pid"

    def call(self, word: str) -> None:
        # A file, not a pipe: the daemon would hold the pipe open.
        with open(self.stage.root / "postfix.out", "ab") as out:
            subprocess.run(["/usr/sbin/postfix", "-c", str(self.etc), word], stdin=subprocess.DEVNULL, stdout=out,
                           stderr=out, timeout=60, check=True)

    def set_up(self) -> None:
        for part in ["etc", "spool/pid", "data", "log", "mail"]:
            (self.folder / part).mkdir(parents=True)
        # Postfix works as users who must pass through.
        self.stage.root.chmod(0o711)
        for folder in self.stage.root.parents:
            if not folder.stat().st_mode & 0o001:
                raise Skipped(f"Postfix's users cannot pass through {folder}; take another folder")
        shutil.chown(self.folder / "data", "postfix")
        os.chown(self.folder / "mail", 8, 8)
        text = (Path(__file__).parent / "postfix-main.cf").read_text()
        root = self.stage.root
        values = {"folder": self.folder, "domain": self.peer.domain, "old": self.old.domain,
                  "broken": self.broken.domain, "host": self.peer.host, "client": self.rig.client,
                  "cell": self.rig.cell.host, "port": self.rig.cell.mx, "ca": root / "ca.crt", "certificate": root / "post.crt",
                  "key": root / "post.key"}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        (self.etc / "main.cf").write_text(text)
        (self.etc / "master.cf").write_text(self.master())
        self.boxes(["bob", "gray", "sink", "jörg", *(f"r{n}" for n in range(MANY))])
        # From the start: a reload is not at once for every process of Postfix.
        self.access(f"gray@{self.peer.domain} 450 4.2.0 Greylisted, come back")
        self.call("start")
        self.stage.until("Postfix listens", self.listens)

    def master(self) -> str:
        """Postfix's own services; the old domain's port offers what RFC 821 knew, and SIZE."""
        lines = []
        for line in Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            fields = line.split()
            if len(fields) > 7 and not line.startswith(("#", " ", "\t")):
                if fields[1] == "inet":
                    continue
                fields[4] = "n"
                line = " ".join(fields)
            lines.append(line)
        lines += ["tlsproxy unix - - n - 0 tlsproxy",
                  f"{self.peer.host}:{PEER_PORT} inet n - n - - smtpd",
                  f"{self.old.host}:{PEER_PORT} inet n - n - - smtpd -o smtpd_tls_security_level=none"
                  " -o smtpd_discard_ehlo_keywords=pipelining,8bitmime,smtputf8,chunking,dsn,enhancedstatuscodes",
                  # No client speaks TLS 1.0 any more: the handshake fails.
                  f"{self.broken.host}:{PEER_PORT} inet n - n - - smtpd -o smtpd_tls_security_level=may"
                  " -o smtpd_tls_protocols=TLSv1"]
        return "\n".join(lines) + "\n"

    def boxes(self, names: list[str]) -> None:
        lines = [f"{name}@{self.peer.domain} {name}/" for name in names] + [
            f"bob@{self.old.domain} old-bob/", f"bob@{self.broken.domain} broken-bob/"]
        (self.etc / "mailboxes").write_text("\n".join(lines) + "\n")

    def access(self, line: str) -> None:
        (self.etc / "access").write_text(line + "\n")

    def listens(self) -> bool:
        wanted = bytes(reversed([int(part) for part in self.peer.host.split(".")])).hex().upper() + f":{PEER_PORT:04X}"
        return any(line.split()[1] == wanted for line in Path("/proc/net/tcp").read_text().splitlines()[1:])

    def stop(self) -> None:
        if self.pid.exists():
            self.call("stop")

    def log(self) -> str:
        return (self.folder / "log/postfix.log").read_text()

    def box(self, name: str) -> list[bytes]:
        """The letters of a mailbox, with CRLF."""
        files = sorted((self.folder / "mail" / name / "new").glob("*"))
        return [file.read_bytes().replace(b"\n", b"\r\n") for file in files]

    def letter(self, name: str, text: bytes, seconds: int = 60) -> bytes:
        """The one letter with this text, once it is there."""
        def look():
            return [octets for octets in self.box(name) if text in octets]

        found = self.stage.until(f"a letter in Postfix's {name} with {text!r}", look, seconds)
        if len(found) != 1:
            raise Broken(f"Postfix has a letter for {name} {len(found)} times")
        return found[0]

    def client(self) -> smtplib.SMTP:
        """A connection to hand Postfix letters that it is to relay."""
        client = smtplib.SMTP(self.peer.host, PEER_PORT, local_hostname="laptop.example.org", timeout=60,
                              source_address=(self.rig.client, 0))
        client._host = self.peer.hostname  # The name that its certificate has.
        client.starttls(context=self.rig.tls)
        return client


def run(rig: Rig) -> None:
    need("postfix", "postfix")
    if os.geteuid() != 0:
        raise Skipped("Postfix runs only for root")
    postfix = Postfix(rig)
    rig.stage.title("Postfix as a peer")
    try:
        postfix.set_up()
        inward(rig, postfix)
        outward(rig, postfix)
    finally:
        postfix.stop()


def mark(octets: bytes, canary: str) -> bytes:
    """What no other letter has: replies name each other, but not in this field."""
    found = re.search(rb"^Message-ID: .*$", octets, re.M)
    return found[0] if found else canary.encode()


def below_trace(octets: bytes, host: bytes) -> bytes:
    """From the Received field that this host wrote."""
    at = octets.index(b"by " + host)
    return octets[octets.rindex(b"Received:", 0, at):]


def inward(rig: Rig, postfix: Postfix) -> None:
    stage, cell = rig.stage, rig.cell
    stage.title("Postfix relays to the cell: STARTTLS with the certificate checked, pipelined, several a connection")
    batch = corpus.make([f"{name}@{cell.domain}" for name in ["alice", "carol", "office"]],
                        datetime(2026, 1, 2, tzinfo=timezone.utc))
    client = postfix.client()
    for letter in batch:
        client.sendmail("bob@example.org", [letter.recipient, f"sink@{postfix.peer.domain}"], letter.octets,
                        mail_options=["BODY=8BITMIME"])
    client.quit()
    stage.until("all of them are through", lambda: len(delivered(postfix, "bob@example.org")) >= len(batch), 120)
    same = exact = 0
    kept = {name: rig.letters(name) for name in ["alice", "carol", "office"]}
    sink = postfix.box("sink")
    for letter in batch:
        name, word = letter.recipient.partition("@")[0], mark(letter.octets, letter.canary)
        mine = [octets for octets in kept[name] if word in octets]
        theirs = [octets for octets in sink if word in octets]
        if not mine or not theirs:
            raise Broken(f"the letter {letter.canary} did not arrive")
        exact += mine[0].endswith(letter.octets)
        same += below_trace(mine[0], b"mx.post.example") == below_trace(theirs[0], b"mx.post.example")
    count = len(batch)
    stage.promise(same == count and exact == count - 1,
                  f"{same} of {count} letters are octet for octet what Postfix has, {exact} what was sent")
    log = postfix.log()
    stage.promise(re.search(r"Verified TLS connection (established|reused) to .*: TLSv1\.3", log),
                  "over TLS 1.3, verified")
    stage.promise(re.search(r"conn_use=[2-9]", log), "and several letters over one connection")
    many_inward(rig, postfix)
    large_inward(rig, postfix)
    international_inward(rig, postfix)
    refused_inward(rig, postfix)
    down_inward(rig, postfix)


def delivered(postfix: Postfix, sender: str) -> set[str]:
    """Identifiers of what Postfix has sent to the cell."""
    return set(re.findall(r"smtp\[\d+\]: ([0-9A-Za-z]+): to=.*status=sent", postfix.log()))


def many_inward(rig: Rig, postfix: Postfix) -> None:
    stage, cell = rig.stage, rig.cell
    names = [f"list{n}@{cell.domain}" for n in range(MANY)]
    for at, name in enumerate(names):
        owner = ["alice", "carol", "office"][at % 3]
        stage.run("bailiwick", "admin", "--config", cell.config, "alias", "add", name, f"{owner}@{cell.domain}",
                  show=False)
    word = corpus.canary(2_000_001).encode()
    client = postfix.client()
    client.sendmail("bob@example.org", names, b"From: bob@example.org\r\nSubject: many\r\n\r\n" + word + b"\r\n")
    client.quit()
    stage.until("all recipients are settled",
                lambda: len(re.findall(r"to=<list\d+@ie\.example>.*status=sent", postfix.log())) == MANY)
    copies = [sum(word in octets for octets in rig.letters(name)) for name in ["alice", "carol", "office"]]
    # Postfix makes two transactions of sixty recipients.
    stage.promise(min(copies) >= 1 and max(copies) <= 2,
                  f"a letter to {MANY} addresses is taken for each, and kept once for each transaction")


def large_inward(rig: Rig, postfix: Postfix) -> None:
    stage, cell = rig.stage, rig.cell
    for size, fits in [(30 * MEBI, True), (53 * MEBI, False)]:
        word = corpus.canary(2_000_002 + size).encode()
        line = b"x" * 70 + b"\r\n"
        header = b"From: bob@post.example\r\nTo: alice\r\nSubject: large\r\n\r\n"
        octets = header + word + b"\r\n" + line * (size // 72)
        client = postfix.client()
        client.sendmail(f"bob@{postfix.peer.domain}", [f"alice@{cell.domain}"], octets)
        client.quit()
        if fits:
            whole = rig.letter("alice", word)
            stage.promise(whole.endswith(octets), f"a letter of {size // MEBI} MiB arrives whole")
        else:
            notice = postfix.letter("bob", b"Undelivered Mail Returned to Sender")
            stage.promise(b"5.3.4" in notice, f"one of {size // MEBI} MiB is refused with 5.3.4, and its sender told")


def international_inward(rig: Rig, postfix: Postfix) -> None:
    stage, cell = rig.stage, rig.cell
    rig.stage.run("bailiwick", "admin", "--config", cell.config, "alias", "add", f"аліса@{cell.domain}",
                  f"alice@{cell.domain}")
    word = corpus.canary(2_000_003).encode()
    octets = (f"From: Jörg <jörg@post.example>\r\nTo: Аліса <аліса@{cell.domain}>\r\n"
              "Subject: Grüße\r\n\r\n").encode() + word + b"\r\n"
    client = postfix.client()
    client.ehlo()
    client.sendmail("jörg@post.example", [f"аліса@{cell.domain}"], octets, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    client.quit()
    letter = rig.letter("alice", word)
    stage.promise(letter.endswith(octets) and b"by mx.ie.example with UTF8SMTPS" in letter,
                  "addresses and fields in UTF-8 (SMTPUTF8) arrive as they were written")


def refused_inward(rig: Rig, postfix: Postfix) -> None:
    stage, cell = rig.stage, rig.cell
    word = corpus.canary(2_000_004).encode()
    client = postfix.client()
    client.sendmail("gray@post.example", [f"alice@{cell.domain}", f"nobody@{cell.domain}"],
                    b"From: gray@post.example\r\nSubject: half\r\n\r\n" + word + b"\r\n")
    client.quit()
    rig.letter("alice", word)
    notice = postfix.letter("gray", b"nobody@ie.example")
    stage.promise(b"5.1.1" in notice and b"alice@ie.example" not in notice,
                  "of two recipients one is refused: Postfix tells its sender of that one alone")


def down_inward(rig: Rig, postfix: Postfix) -> None:
    stage, cell = rig.stage, rig.cell
    cell.stop()
    word = corpus.canary(2_000_005).encode()
    client = postfix.client()
    client.sendmail("bob@example.org", [f"alice@{cell.domain}"],
                    b"From: bob@example.org\r\nSubject: down\r\n\r\n" + word + b"\r\n")
    client.quit()
    stage.until("Postfix defers", lambda: re.search(r"to=<alice@ie\.example>.*status=deferred", postfix.log()))
    cell.start()
    rig.letter("alice", word)
    stage.promise(True, "while the cell is down Postfix waits, and then it delivers")


def submit(rig: Rig, to: list[str], octets: bytes, options: tuple[str, ...] = ()) -> None:
    client = rig.cell.submit(rig.account("alice"), rig.tls)
    client.sendmail(rig.account("alice").address, to, octets, mail_options=options)
    client.quit()


def plain(subject: str, word: bytes, to: str) -> bytes:
    return (f"From: alice@ie.example\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Fri, 2 Jan 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{word.decode()}@ie.example>\r\n\r\n").encode() + word + b"\r\n"


def outward(rig: Rig, postfix: Postfix) -> None:
    stage = rig.stage
    stage.title("the cell's queue sends to Postfix: STARTTLS, 8BITMIME, signatures that others check")
    bob = f"bob@{postfix.peer.domain}"
    batch = [letter for letter in corpus.make([bob], datetime(2026, 2, 2, tzinfo=timezone.utc))
             if letter.octets.startswith(b"From: bob@example.org\r\n") and b"not a field" not in letter.octets]
    client = rig.cell.submit(rig.account("alice"), rig.tls)
    sent = {}
    for letter in batch:
        octets = letter.octets.replace(b"From: bob@example.org\r\n", b"From: alice@ie.example\r\n", 1)
        client.sendmail("alice@ie.example", [bob], octets, mail_options=["BODY=8BITMIME"])
        sent[mark(octets, letter.canary)] = octets
    client.quit()
    stage.until("all of them are there", lambda: len(postfix.box("bob")) > len(sent), 120)
    box = postfix.box("bob")
    arrived = {word: [octets for octets in box if word in octets] for word in sent}
    once = sum(len(found) == 1 for found in arrived.values())
    stage.promise(once == len(sent), f"{once} of {len(sent)} letters arrive, once each")
    exact = sum(arrived[word][0].endswith(octets) for word, octets in sent.items())
    stage.promise(exact == len(sent), f"{exact} of them octet for octet")
    stage.promise(all(b"using TLSv1.3" in found[0] for found in arrived.values()), "each over TLS 1.3, says Postfix")
    signatures(rig, [found[0] for found in arrived.values()])
    many_outward(rig, postfix)
    settled_apart(rig, postfix)
    down_outward(rig, postfix)
    of_old(rig, postfix)
    broken_tls(rig, postfix)
    international_outward(rig, postfix)


def signatures(rig: Rig, letters: list[bytes]) -> None:
    """Both DKIM signatures of each letter, checked by dkimpy with the records that the cell prints."""
    try:
        import dkim
        import nacl  # noqa: F401  (dkimpy needs it for Ed25519)
    except ImportError:
        rig.stage.say("skipped: DKIM with dkimpy (Debian's python3-dkim and python3-nacl)")
        return
    records = {name.rstrip("."): value.strip('"') for name, kind, value in rig.cell.keys["dns"] if kind == "TXT"}

    def text(name, timeout=5):
        return records.get(name.decode().rstrip("."), "").encode()

    good = 0
    for octets in letters:
        checker = dkim.DKIM(octets)
        fields = [value for name, value in checker.headers if name.lower() == b"dkim-signature"]
        kinds = {dkim.parse_tag_value(value)[b"a"] for value in fields}
        checks = all(checker.verify(idx=at, dnsfunc=text) for at in range(len(fields)))
        good += checks and kinds == {b"rsa-sha256", b"ed25519-sha256"}
    rig.stage.promise(good == len(letters),
                      f"dkimpy verifies both signatures, RSA and Ed25519, of {good} of {len(letters)}")


def many_outward(rig: Rig, postfix: Postfix) -> None:
    word = corpus.canary(2_000_011).encode()
    to = [f"r{n}@{postfix.peer.domain}" for n in range(MANY)]
    submit(rig, to, plain("many", word, "list:;"))
    for name in to:
        postfix.letter(name.partition("@")[0], word)
    rig.stage.promise(True, f"one letter to {MANY} recipients reaches each, once")


def settled_apart(rig: Rig, postfix: Postfix) -> None:
    """One accepts, one says 450 and later accepts, one does not exist."""
    stage, domain = rig.stage, postfix.peer.domain
    word = corpus.canary(2_000_012).encode()
    submit(rig, [f"bob@{domain}", f"gray@{domain}", f"nobody@{domain}"], plain("apart", word, f"bob@{domain}"))
    postfix.letter("bob", word)
    stage.until("Postfix greylists", lambda: "Greylisted" in postfix.log())
    notice = email.message_from_bytes(rig.letter("alice", b"report-type=delivery-status"), policy=email.policy.default)
    fields = "".join(str(part) for part in notice.walk() if part.get_content_type() == "message/delivery-status")
    stage.promise("nobody@post.example" in fields and "Status: 5.1.1" in fields and "gray@" not in str(notice),
                  "who does not exist is returned to the sender, with Postfix's 5.1.1, and nobody else is")
    postfix.access("")
    postfix.call("reload")
    postfix.letter("gray", word)
    stage.promise(postfix.letter("bob", word), "who was greylisted gets it at a later try, and the others once")


def down_outward(rig: Rig, postfix: Postfix) -> None:
    stage = rig.stage
    postfix.call("stop")
    before = rig.log().count("an outbound letter is deferred")
    word = corpus.canary(2_000_013).encode()
    submit(rig, [f"bob@{postfix.peer.domain}"], plain("down", word, "bob@post.example"))
    stage.until("the queue defers", lambda: rig.log().count("an outbound letter is deferred") > before)
    # Through a restart too: the queue is on disk.
    rig.cell.stop()
    rig.cell.start()
    postfix.call("start")
    postfix.letter("bob", word)
    stage.promise(True, "while Postfix is down the letter waits, through a restart of the cell, and then it arrives")


def of_old(rig: Rig, postfix: Postfix) -> None:
    """A server without TLS, PIPELINING, 8BITMIME or SMTPUTF8."""
    stage, old = rig.stage, f"bob@{postfix.old.domain}"
    word = corpus.canary(2_000_014).encode()
    submit(rig, [old], plain("seven bits", word, old))
    stage.promise(postfix.letter("old-bob", word), "a server without extensions is sent what it can take, in the clear")
    word = corpus.canary(2_000_015).encode()
    submit(rig, [old], plain("eight bits", word, old) + "Grüße\r\n".encode(), ("BODY=8BITMIME",))
    notice = rig.letter("alice", word)
    stage.promise(b"Status: 5.6.3" in notice, "what it cannot take (8BITMIME) is returned with 5.6.3")


def broken_tls(rig: Rig, postfix: Postfix) -> None:
    word, bob = corpus.canary(2_000_017).encode(), f"bob@{postfix.broken.domain}"
    submit(rig, [bob], plain("handshake", word, bob))
    rig.stage.promise(b"(Postfix) with ESMTP id" in postfix.letter("broken-bob", word)
                      and "SSL_accept error" in postfix.log(),
                      "a server whose TLS does not work gets it in the clear, at a second connection (RFC 7435)")


def international_outward(rig: Rig, postfix: Postfix) -> None:
    word = corpus.canary(2_000_016).encode()
    octets = plain("Grüße", word, "jörg@post.example")
    submit(rig, ["jörg@post.example"], octets, ("SMTPUTF8", "BODY=8BITMIME"))
    letter = postfix.letter("jörg", word)
    rig.stage.promise(letter.endswith(octets) and b"UTF8SMTPS" in letter, "and UTF-8 addresses and fields reach Postfix")
