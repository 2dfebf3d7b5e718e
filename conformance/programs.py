"""Mail programs of others beside the demo's: msmtp sends, fetchmail and getmail fetch, Exim does both.

Refs: docs/conformance.md.
"""

import os
import shutil
import subprocess
from pathlib import Path

import corpus
from rig import PEER_PORT, Rig, Skipped, need


def letter(subject: str, number: int, sender: str, to: str) -> tuple[bytes, bytes]:
    word = corpus.canary(number).encode()
    text = (f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Fri, 2 Jan 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{word.decode()}@example.org>\r\n\r\n"
            f".one dot\r\n..two dots\r\nGrüße\r\n{word.decode()}\r\n")
    return word, text.encode()


def msmtp(rig: Rig) -> None:
    stage, cell, alice = rig.stage, rig.cell, rig.account("alice")
    need("msmtp", "msmtp")
    stage.title("msmtp submits")
    config = stage.root / "msmtprc"
    config.write_text(f"account default\nhost {cell.hostname}\nport {cell.submission}\ntls on\ntls_starttls off\n"
                      f"tls_trust_file {stage.root}/ca.crt\nauth plain\nuser {alice.address}\n"
                      f"password {alice.app_password}\nfrom {alice.address}\n")
    config.chmod(0o600)
    word, octets = letter("sent with msmtp", 3_000_001, alice.address, "carol@ie.example")
    stage.run("msmtp", "-C", "msmtprc", "carol@ie.example", stdin=octets.replace(b"\r\n", b"\n"), env=stage.names)
    stage.promise(rig.letter("carol", word).endswith(octets), "msmtp's letter arrives octet for octet")


def readers(rig: Rig) -> None:
    stage, cell, carol = rig.stage, rig.cell, rig.account("carol")
    need("fetchmail", "fetchmail")
    need("getmail", "getmail6")
    stage.title("fetchmail and getmail fetch")
    word, octets = letter("fetched by others", 3_000_002, "bob@example.org", carol.address)
    client = cell.smtp(rig.tls)
    client.sendmail("bob@example.org", [carol.address], octets, mail_options=["BODY=8BITMIME"])
    client.quit()
    (stage.root / "fetchmailrc").write_text(
        f'poll {cell.hostname} service {cell.imaps} protocol IMAP auth password user "{carol.address}" password '
        f'"{carol.app_password}" ssl sslcertck sslcertfile "{stage.root}/ca.crt" keep fetchall '
        f'mda "cat >> {stage.root}/fetched; echo >> {stage.root}/fetched.count"\n')
    (stage.root / "fetchmailrc").chmod(0o600)
    stage.run("fetchmail", "-f", "fetchmailrc", "--nosyslog", "--pidfile", "fetchmail.pid", "--idfile", "fetchids",
              env=stage.names | {"HOME": str(stage.root)})
    rig.letter("carol", word)
    fetched = len((stage.root / "fetched.count").read_text())
    inbox = inbox_count(rig, "carol")
    stage.promise(fetched == inbox and word in (stage.root / "fetched").read_bytes(),
                  f"fetchmail fetches all {fetched} letters of the INBOX")
    box = stage.root / "getmail"
    for part in ["cur", "new", "tmp"]:
        (box / part).mkdir(parents=True)
    owner = ""
    if os.geteuid() == 0:
        # It delivers for nobody but an ordinary user.
        stage.root.chmod(0o711)
        for path in [box, *box.iterdir()]:
            shutil.chown(path, "nobody")
        owner = "user = nobody\n"
    (box / "getmailrc").write_text(
        f"[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = {cell.hostname}\nport = {cell.imaps}\n"
        f"username = {carol.address}\npassword = {carol.app_password}\nca_certs = {stage.root}/ca.crt\n"
        f"[destination]\ntype = Maildir\npath = {box}/\n{owner}"
        "[options]\nread_all = true\ndelivered_to = false\nreceived = false\n")
    stage.run("getmail", "--getmaildir", str(box), "--rcfile", "getmailrc", env=stage.names)
    files = list((box / "new").glob("*"))
    mine = [file for file in files if word in file.read_bytes()]
    # It puts a field of its own at the end of the header.
    body = octets.partition(b"\r\n\r\n")[2]
    stage.promise(len(files) == inbox and len(mine) == 1 and mine[0].read_bytes().replace(b"\n", b"\r\n").endswith(body),
                  f"getmail fetches all {len(files)}, and their octets are right")


def inbox_count(rig: Rig, name: str) -> int:
    client = rig.cell.imap(rig.account(name), rig.tls)
    count = int(client.select("INBOX", readonly=True)[1][0])
    client.logout()
    return count


EXIM = """
primary_hostname = mx.exim.example
exim_path = @program@
exim_user = mail
exim_group = mail
never_users =
spool_directory = @folder@/spool
log_file_path = @folder@/log/%slog
pid_file_path = @folder@/exim.pid
local_interfaces = <; [@host@]:@port@
tls_advertise_hosts = *
tls_certificate = @root@/exim.crt
tls_privatekey = @folder@/exim.key
tls_on_connect_ports =
smtputf8_advertise_hosts = *
acl_smtp_rcpt = accept_ours
acl_smtp_data = take
keep_environment =
log_selector = +tls_cipher +tls_certificate_verified
begin acl
accept_ours:
  deny message = no TLS
       !encrypted = *
  accept domains = exim.example
         local_parts = bob
  deny message = no such user here
take:
  accept
begin routers
here:
  driver = accept
  domains = exim.example
  transport = box
cell:
  driver = manualroute
  domains = ie.example
  route_list = ie.example @cell@ byname
  transport = out
  self = send
begin transports
box:
  driver = appendfile
  directory = @folder@/mail
  maildir_format
  user = mail
  group = mail
out:
  driver = smtp
  port = @cellport@
  interface = @host@
  allow_localhost
  hosts_require_tls = *
  tls_sni = mx.ie.example
  tls_verify_certificates = @root@/ca.crt
  tls_verify_hosts = *
  tls_verify_cert_hostnames = :
begin retry
* * F,2h,2s
"""


def exim(rig: Rig) -> None:
    """Exim speaks TLS with GnuTLS, as its Debian package is built. It cannot be installed beside
    Postfix: `apt-get download exim4-daemon-light`, and unpack it into SOURCES/exim with dpkg -x."""
    stage, cell, peer = rig.stage, rig.cell, rig.peers["exim"]
    program = rig.sources / "exim/usr/sbin/exim4" if rig.sources else None
    if not program or not program.exists():
        raise Skipped("no exim/usr/sbin/exim4 under --sources")
    if os.geteuid() != 0:
        raise Skipped("Exim runs only for root")
    stage.title("Exim as a peer")
    stage.root.chmod(0o711)
    folder = stage.root / "exim"
    for part in ["spool", "log", "mail"]:
        (folder / part).mkdir(parents=True)
        os.chown(folder / part, 8, 8)
    os.chown(folder, 8, 8)
    shutil.copy(stage.root / "exim.key", folder / "exim.key")
    os.chown(folder / "exim.key", 8, 8)
    text = EXIM
    values = {"folder": folder, "root": stage.root, "program": program, "host": peer.host, "port": PEER_PORT,
              "cell": cell.host, "cellport": cell.mx}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    config = folder / "exim.conf"
    config.write_text(text)
    # The package's user is not here: in a mount namespace of its own, Exim reads that it is `mail`.
    (folder / "passwd").write_text(Path("/etc/passwd").read_text() + "Debian-exim:x:8:8::/var/mail:/bin/false\n")
    (folder / "group").write_text(Path("/etc/group").read_text() + "Debian-exim:x:8:\n")
    setting = 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", setting, str(folder), str(program), "-C", str(config)]
    alice = rig.account("alice")
    for number in range(5):
        word, octets = letter("sent with Exim", 3_000_010 + number, "bob@exim.example", alice.address)
        stage.run(*command, "-odf", "-i", "-f", "bob@exim.example", alice.address,
                  stdin=octets.replace(b"\r\n", b"\n"), show=number == 0)
        body = octets.partition(b"\r\n\r\n")[2]
        stage.promise(rig.letter("alice", word).endswith(body), "Exim's letter arrives with its octets")
    stage.promise("CV=yes" in (folder / "log/mainlog").read_text(), "over TLS, with the certificate verified")
    log = open(stage.root / "exim.out", "ab")
    daemon = subprocess.Popen([*command, "-bdf"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=stage.root)
    stage.running.append(("exim", daemon))
    stage.wait_for_port(peer.host, PEER_PORT, daemon)
    word, octets = letter("sent to Exim", 3_000_020, alice.address, "bob@exim.example")
    client = cell.submit(alice, rig.tls)
    client.sendmail(alice.address, ["bob@exim.example", "nobody@exim.example"], octets, mail_options=["BODY=8BITMIME"])
    client.quit()

    def there():
        return [file for file in (folder / "mail/new").glob("*") if word in file.read_bytes()]

    found = stage.until("Exim has the letter", there)
    stage.promise(found[0].read_bytes().replace(b"\n", b"\r\n").rstrip(b"\r\n").endswith(octets.rstrip(b"\r\n")),
                  "the queue's letter reaches Exim octet for octet")
    notice = rig.letter("alice", word)
    stage.promise(b"no such user here" in notice, "who is not there is returned, with Exim's words")
    daemon.terminate()
    daemon.wait(30)
    stage.running = [(name, other) for name, other in stage.running if other is not daemon]
