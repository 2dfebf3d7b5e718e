"""Real mail in and out: the corpus over SMTP, other people's programs, ordinary readers."""

import email
import email.policy
import imaplib
import smtplib
import ssl
from pathlib import Path

import corpus
from cells import Account, Cell
from stage import Stage


def deliver(stage: Stage, cell: Cell, tls: ssl.SSLContext, letters: list[corpus.Letter]) -> None:
    stage.say(f"{len(letters)} letters to {cell.hostname} over SMTP with STARTTLS")
    client = cell.smtp(tls)
    for letter in letters:
        refused = client.sendmail("bob@example.org", [letter.recipient], letter.octets,
                                  mail_options=["BODY=8BITMIME"])
        assert not refused
    client.quit()
    stage.promise(True, f"each of the {len(letters)} was acknowledged after it was sealed and on disk")


def refusals(stage: Stage, cell: Cell, tls: ssl.SSLContext, account: Account) -> None:
    """What must not get in."""
    client = cell.smtp(tls)
    client.ehlo()

    def code(sender: str, recipient: str, octets: bytes = b"Subject: x\r\n\r\nx\r\n") -> int:
        try:
            client.sendmail(sender, [recipient], octets)
            return 250
        except smtplib.SMTPRecipientsRefused as refused:
            return refused.recipients[recipient][0]
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code

    stage.promise(code("bob@example.org", f"nobody@{cell.domain}") == 550, "an unknown address is refused")
    stage.promise(code("bob@example.org", "someone@example.net") == 550, "a stranger cannot relay through the cell")
    forged = b"From: chief@forged.example\r\nTo: x\r\nSubject: wire money\r\n\r\nnow\r\n"
    stage.promise(code("chief@forged.example", account.address, forged) == 550,
                  "a letter that its domain's DMARC policy disowns is refused")
    client.close()
    smuggle(stage, cell, account)


def smuggle(stage: Stage, cell: Cell, account: Account) -> None:
    """Ends of data that are not CRLF.CRLF must end nothing."""
    accepted = 0
    ends = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r", b"\r.\r\n", b"\0\r\n.\n"]
    for end in ends:
        client = smtplib.SMTP(cell.host, cell.mx, local_hostname="mail.example.org", timeout=60)
        client.ehlo()
        client.mail("bob@example.org")
        client.rcpt(account.address)
        client.docmd("DATA")
        second = b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\nsmuggled\r\n.\r\n" % account.address.encode()
        client.sock.sendall(b"Subject: outer\r\n\r\nouter" + end + second)
        code, _ = client.getreply()
        accepted += code == 250
        client.close()
    stage.promise(accepted == 0, f"none of {len(ends)} smuggled ends of data is taken for one")


def others(stage: Stage, cells: dict[str, Cell], tls: ssl.SSLContext) -> list[tuple[Account, str]]:
    """Letters sent by programs nobody here wrote; the (account, subject) each must arrive under."""
    ie, us = cells["ie"], cells["us"]
    alice, carol = ie.accounts["alice@ie.example"], ie.accounts["carol@ie.example"]
    erin = us.accounts["erin@us.example"]
    expected = []
    stage.run("swaks", "--server", ie.host, "--port", str(ie.mx), "--from", "bob@example.org", "--to", alice.address,
              "-tls", "--ehlo", "mail.example.org", "--header", "Subject: sent with swaks", "--silent", "2")
    expected.append((alice, "sent with swaks"))
    letter = stage.root / "curl.eml"
    letter.write_bytes(b"From: alice@ie.example\r\nTo: carol@ie.example\r\nSubject: sent with curl\r\n\r\nhello\r\n")
    stage.run("curl", "--silent", "--show-error", "--cacert", "ca.crt", "--resolve",
              f"{ie.hostname}:{ie.submission}:{ie.host}", f"smtps://{ie.hostname}:{ie.submission}",
              "--mail-from", alice.address, "--mail-rcpt", carol.address, "--upload-file", letter.name,
              "--user", f"{alice.address}:{alice.app_password}")
    expected.append((carol, "sent with curl"))
    home = mutt_home(stage, ie, alice)
    stage.run("mutt", "-F", "muttrc", "-s", "sent with mutt", "-a", "curl.eml", "--", erin.address,
              stdin="over the border\n", env=stage.names | {"HOME": str(home)})
    expected.append((erin, "sent with mutt"))
    git_letter(stage, us, erin, alice)
    expected.append((alice, "[PATCH] sent with git send-email"))
    return expected


def mutt_home(stage: Stage, cell: Cell, account: Account) -> Path:
    user = account.address.replace("@", "%40")
    (stage.root / "muttrc").write_text(
        f'set from = "{account.address}"\nset realname = ""\nset use_from = yes\nset copy = no\n'
        f'set smtp_url = "smtps://{user}@{cell.hostname}:{cell.submission}/"\n'
        f'set smtp_pass = "{account.app_password}"\nset smtp_authenticators = "plain"\n'
        f'set folder = "imaps://{user}@{cell.hostname}:{cell.imaps}/"\nset spoolfile = "+INBOX"\n'
        f'set imap_pass = "{account.app_password}"\nset ssl_ca_certificates_file = "{stage.root}/ca.crt"\n'
        f'set certificate_file = "{stage.root}/ca.crt"\nset ssl_usesystemcerts = no\n'
        'set header_cache = ""\nset sleep_time = 0\nset tmpdir = "."\nset ssl_verify_host = yes\n')
    return stage.root


def git_letter(stage: Stage, cell: Cell, sender: Account, recipient: Account) -> None:
    repository = stage.root / "patches"
    git = ["git", "-C", str(repository), "-c", "user.name=erin", "-c", f"user.email={sender.address}"]
    stage.run("git", "init", "--quiet", str(repository), show=False)
    (repository / "file").write_text("one\n")
    stage.run(*git, "add", "file", show=False)
    stage.run(*git, "commit", "--quiet", "-m", "sent with git send-email", show=False)
    stage.run(*git, "send-email", "--quiet", "--to", recipient.address, "--from", sender.address, "--smtp-server",
              cell.hostname, "--smtp-server-port", str(cell.submission), "--smtp-encryption", "ssl",
              "--smtp-ssl-cert-path", str(stage.root / "ca.crt"), "--smtp-user", sender.address,
              "--smtp-pass", sender.app_password, "--confirm", "never", "-1", "HEAD", env=stage.names)


def read_back(stage: Stage, cell: Cell, tls: ssl.SSLContext, letters: list[corpus.Letter]) -> None:
    """Each letter is in its owner's INBOX, octet for octet under the trace fields."""
    for account in cell.accounts.values():
        mine = [letter for letter in letters if letter.recipient == account.address]
        if not mine:
            continue
        client = cell.imap(account, tls)
        assert client.select("INBOX", readonly=True)[0] == "OK"
        status, found = client.uid("SEARCH", "ALL")
        stored = {}
        for uid in found[0].split():
            status, parts = client.uid("FETCH", uid, "(BODY.PEEK[])")
            octets = parts[0][1]
            word = next((l.canary for l in mine if l.octets in octets), None)
            if word:
                stored[word] = octets
        missing = [letter.canary for letter in mine if letter.canary not in stored]
        stage.promise(not missing, f"{account.address} reads {len(mine)} letters over IMAP, octet for octet")
        trace = email.message_from_bytes(stored[mine[0].canary], policy=email.policy.default)
        results = str(trace["Authentication-Results"])
        stage.promise(cell.hostname in results and "spf=pass" in results and "dmarc=" in results,
                      "and each says what SPF, DKIM and DMARC found")
        client.logout()


def two_sessions(stage: Stage, cell: Cell, account: Account, tls: ssl.SSLContext) -> None:
    first, second = cell.imap(account, tls), cell.imap(account, tls)
    first.select("INBOX")
    second.select("INBOX")
    first.uid("STORE", "1", "+FLAGS", r"(\Flagged)")
    second.noop()
    stage.promise(any(b"Flagged" in (line or b"") for line in second.untagged_responses.get("FETCH", [])),
                  "two programs on one account see each other's changes")
    arrived(stage, second, "idle", lambda: deliver_one(cell, account, tls))
    first.create("Archive/2026")
    status, copied = first.uid("COPY", "1", '"Archive/2026"')
    stage.promise(status == "OK", "a letter is copied to another mailbox")
    first.logout()
    second.logout()


def deliver_one(cell: Cell, account: Account, tls: ssl.SSLContext) -> None:
    client = cell.smtp(tls)
    client.sendmail("bob@example.org", [account.address],
                    b"From: bob@example.org\r\nTo: you\r\nSubject: while idle\r\n\r\nnow\r\n")
    client.quit()


def arrived(stage: Stage, client: imaplib.IMAP4, what: str, sending) -> None:
    client.send(b"idle1 IDLE\r\n")
    assert client.readline().startswith(b"+")
    sending()
    client.sock.settimeout(30)
    told = False
    for _ in range(20):
        line = client.readline()
        if b"EXISTS" in line:
            told = True
            break
    client.send(b"DONE\r\n")
    while not client.readline().startswith(b"idle1"):
        pass
    stage.promise(told, "a waiting program is told of a new letter at once (IDLE)")


def ordinary_readers(stage: Stage, cell: Cell, account: Account) -> None:
    """mbsync, mutt and curl read the same account."""
    (stage.root / "mbsyncrc").write_text(
        f"IMAPAccount a\nHost {cell.hostname}\nPort {cell.imaps}\nUser {account.address}\nPass {account.app_password}\n"
        f"SSLType IMAPS\nCertificateFile {stage.root}/ca.crt\nAuthMechs PLAIN\n\n"
        "IMAPStore far\nAccount a\n\nMaildirStore near\nPath near/\nInbox near/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nSyncState *\n")
    (stage.root / "near").mkdir()
    stage.run("mbsync", "-c", "mbsyncrc", "all", env=stage.names)
    mirrored = len(list((stage.root / "near/INBOX").glob("*/*")))
    stage.run("mbsync", "-c", "mbsyncrc", "all", env=stage.names)
    again = len(list((stage.root / "near/INBOX").glob("*/*")))
    stage.promise(mirrored > 20 and mirrored == again, f"mbsync mirrors {mirrored} letters, and nothing twice")
    listed = stage.run("curl", "--silent", "--show-error", "--cacert", "ca.crt", "--resolve",
                       f"{cell.hostname}:{cell.imaps}:{cell.host}", f"imaps://{cell.hostname}:{cell.imaps}/",
                       "--user", f"{account.address}:{account.app_password}")
    stage.promise("INBOX" in listed, "curl lists the mailboxes")
    keys = "<first-entry><copy-message>./by-mutt<enter><exit>"
    mutt_home(stage, cell, account)
    (stage.root / "muttrc").open("a").write(f'set copy_decode_weed = no\nset confirmcreate = no\npush "{keys}"\n')
    stage.run("script", "--quiet", "--command", "mutt -F muttrc", "/dev/null",
              env=stage.names | {"HOME": str(stage.root), "TERM": "xterm"})
    stage.promise((stage.root / "by-mutt").stat().st_size > 100, "mutt opens the mailbox and saves a letter")


def arrived_under(cell: Cell, account: Account, subject: str, tls: ssl.SSLContext) -> bool:
    client = cell.imap(account, tls)
    try:
        client.select("INBOX", readonly=True)
        status, found = client.uid("SEARCH", "SUBJECT", f'"{subject}"')
        return bool(found[0].split())
    finally:
        client.logout()


def second_batch(stage: Stage, cell: Cell, tls: ssl.SSLContext) -> str:
    """One letter that arrives after the time that the order will name; its canary."""
    word = corpus.canary(1_000_000)
    client = cell.smtp(tls)
    client.sendmail("bob@example.org", ["alice@ie.example"],
                    f"From: bob@example.org\r\nTo: alice@ie.example\r\nSubject: later {word}\r\n\r\n{word}\r\n".encode())
    client.quit()
    stage.say("and one more, which arrives after the period that will be asked for")
    return word
