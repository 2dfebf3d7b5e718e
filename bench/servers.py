"""The servers that are measured: set up in a directory of their own, on loopback, on high ports.

Invariant: nothing outside that directory is written; a server is stopped by the identifier of
the process that was started, never by a name. Refs: docs/bench.md.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

DOMAIN = "ie.example"
USERS = 64
# Further users: one with the large mailbox, one to whom as many letters came while nobody was
# logged in, one whose whole letters are fetched, one with a few very large letters, and two whose
# mailboxes are larger still.
LARGE, ARRIVED, WHOLE = f"large@{DOMAIN}", f"arrived@{DOMAIN}", f"whole@{DOMAIN}"
PARTS, HUNDRED, HUGE = f"parts@{DOMAIN}", f"hundred@{DOMAIN}", f"huge@{DOMAIN}"
READERS = [LARGE, ARRIVED, WHOLE, PARTS, HUNDRED, HUGE]
ADDRESSES = [f"u{n}@{DOMAIN}" for n in range(1, USERS + 1)]
ALL_CORES = os.sched_getaffinity(0)
OWNER = "mail"  # a system user that every Debian has


class Failed(Exception):
    """A server did not do what it was told; the text says which and what."""


def call(*command):
    """Runs a command; its output, or an error that holds it."""
    # A file, not a pipe: a daemon that stays would hold the pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                              check=False, timeout=120)
        output.seek(0)
        text = output.read()
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {text.strip()[-2000:]}")
    return text


def wait_for(what, condition, seconds=60):
    """Waits until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"{what} within {seconds} s")
        time.sleep(0.05)


def alive(pid):
    """Whether the process is there (a zombie is not)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    """The process and everything under it."""
    found = [pid]
    for parent in found:
        for path in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in path.read_text().split()]
            except OSError:
                pass
    return found


def sum_of(pids, name, key):
    """The sum of a number that each process and everything under it has in a file of /proc."""
    total = 0
    for pid in {pid for root in pids for pid in children(root)}:
        try:
            text = pathlib.Path(f"/proc/{pid}/{name}").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(key))
    return total


def disk_octets(folder):
    """What the files below take of the disk."""
    return int(call("du", "-s", "--block-size=1", folder).split()[0])


def written_octets(folder):
    """What was written so far to the disk that the folder is on, by anybody; nothing where that cannot be known."""
    # Not a process's `write_bytes`: where the kernel caches in large pieces, one octet counts as a whole piece.
    device = os.stat(folder).st_dev
    os.sync()
    try:
        fields = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    except OSError:
        return None
    return int(fields[6]) * 512


def drop_caches():
    """Empties the kernel's cache of files; whether that can be done here."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def listening(port):
    """Whether somebody listens at this port of loopback."""
    wanted = f"0100007F:{port:04X}"
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            return True
    return False


def write_users(folder, users):
    """The files that mailbench reads: those who are sent letters, and those who read them."""
    lines = [f"{address}:{password}\n" for address, password in users]
    (folder / "users").write_text("".join(lines[:USERS]))
    (folder / "readers").write_text("".join(lines[USERS:]))


class Dns:
    """A resolver that knows the sender's domain and says of all else that it does not exist."""

    port = 24053

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def start(self):
        """Starts dnsmasq; the sender has SPF and DMARC records, as most have."""
        self.folder.mkdir(parents=True, exist_ok=True)
        records = ["example.org,v=spf1 ip4:127.0.0.1 -all", "_dmarc.example.org,v=DMARC1; p=none"]
        self.process = subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root",
             "--pid-file=", "--local=/#/", "--auth-ttl=300", "--local-ttl=300", "--log-facility=-",
             *(f"--txt-record={record}" for record in records)],
            stdout=(self.folder / "dns.log").open("w"), stderr=subprocess.STDOUT)
        wait_for("the resolver did not start", lambda: listening(self.port))

    def stop(self):
        """Stops it."""
        if self.process:
            self.process.terminate()
            self.process.wait()


class Bailiwick:
    """The release build, one cell, every account `sealed`, read with an app password."""

    queued, multiappend = False, False
    offset = 24300
    smtp, imap, lmtp = 25 + offset, 993 + offset, None
    has_index = True

    def __init__(self, name, folder, binary):
        self.name, self.folder, self.binary = name, folder, binary
        self.data = folder / "cell/data"
        self.process = None
        self.recovery = {}

    def config(self):
        """The cell's configuration file."""
        return self.folder / "cell" / "bailiwick.toml"

    def set_up(self):
        """Makes the cell and its accounts, through the commands an administrator has."""
        self.folder.mkdir(parents=True)
        call(self.binary, "init", "--cell", "ie", "--domain", DOMAIN, "--dir", self.folder / "cell",
             "--listen", "127.0.0.1", "--port-offset", str(self.offset), "--dns", f"127.0.0.1:{Dns.port}")
        self.make_room()
        self.start()
        write_users(self.folder, [(address, self.create(address)) for address in [*ADDRESSES, *READERS]])

    def make_room(self):
        """All load comes from one address, which the defaults would hold for one sender."""
        text = self.config().read_text()
        for door in ["mx", "imap"]:
            text = text.replace(f"[{door}]\n", f"[{door}]\nconnections_max = 5000\nconnections_per_source_max = 5000\n")
        text, count = re.subn(r"(?m)^arrival_octets_max = .*$", f"arrival_octets_max = {16 << 30}", text)
        if count != 1:
            raise Failed("the configuration has no arrival_octets_max")
        self.config().write_text(text)

    def create(self, address):
        """Makes an account; the password that opens it."""
        made = json.loads(call(self.binary, "admin", "--config", self.config(), "--json",
                               "account", "create", address))
        self.recovery[address] = made["recovery_code"]
        return made["app_password"]

    def purge(self, address):
        """Gives up what was expunged and could still be put back."""
        command = [self.binary, "admin", "--config", self.config(), "account", "undelete", address, "--now"]
        done = subprocess.run(command, input=f"{self.recovery[address]}\n", capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"undelete --now: {done.stderr.strip()}")

    def kept_octets(self):
        """What the accounts hold, without what the store makes ready ahead."""
        accounts = json.loads(call(self.binary, "admin", "--config", self.config(), "--json", "account", "list"))
        return sum(line["octets"] for line in accounts["accounts"])

    def create_many(self, count):
        """Makes accounts that nobody opens; seconds."""
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.create, [f"a{number}@{DOMAIN}" for number in range(count)]))
        return time.monotonic() - began

    def start(self):
        """Runs `bailiwick serve`."""
        self.process = subprocess.Popen([self.binary, "serve", "--config", self.config()],
                                        stderr=(self.folder / "log").open("a"))
        wait_for("bailiwick did not start; see its log",
                 lambda: listening(self.smtp) and listening(self.imap) or not alive(self.process.pid))
        if not alive(self.process.pid):
            raise Failed(f"bailiwick ended: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self):
        """Stops it as an administrator would; a server that does not stop is an error."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise Failed("bailiwick did not stop within 60 s of SIGTERM") from None
            self.process = None

    def pids(self):
        """The processes whose time is the server's."""
        return [self.process.pid]

    def version(self):
        """What is measured."""
        return call(self.binary, "--version").strip()


class Dovecot:
    """Postfix, which hands to Dovecot over LMTP; mailboxes are sdbox, plain or with mail_crypt."""

    queued, multiappend = True, True
    has_index = False

    def __init__(self, name, folder, base, crypt):
        self.name, self.folder, self.crypt = name, folder, crypt
        self.data = folder / "mail"
        self.smtp, self.lmtp, self.imap = base + 25, base + 24, base + 93

    def set_up(self):
        """Writes both configurations, starts both, and makes a key pair per user for mail_crypt."""
        for part in ["dovecot", "mail", "spool/pid", "postfix/etc", "postfix/data", "log"]:
            (self.folder / part).mkdir(parents=True)
        shutil.chown(self.folder / "mail", OWNER, OWNER)
        shutil.chown(self.folder / "postfix/data", "postfix")
        call("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "3650", "-subj", f"/CN=mx.{DOMAIN}", "-keyout", self.folder / "key.pem",
             "-out", self.folder / "cert.pem")
        users = [(address, f"secret-of-{address}") for address in [*ADDRESSES, *READERS]]
        write_users(self.folder, users)
        # The user's key is sealed by the user's password, which unlocks it at login.
        extra = "userdb_mail_crypt_private_password={0} userdb_mail_crypt_save_version=2" if self.crypt else ""
        (self.folder / "passwd").write_text("".join(
            f"{address}:{{PLAIN}}{password}::::::{extra.format(password)}\n" for address, password in users))
        here = pathlib.Path(__file__).parent / "peers"
        crypt = (here / "mail-crypt.conf").read_text() if self.crypt else ""
        self.fill(here / "dovecot.conf", self.folder / "dovecot.conf", crypt=crypt)
        self.fill(here / "postfix-main.cf", self.folder / "postfix/etc/main.cf")
        master = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text()
        (self.folder / "postfix/etc/master.cf").write_text(self.master(master))
        self.start()
        if self.crypt:
            for address, password in users:
                call("doveadm", "-c", self.folder / "dovecot.conf", "-o",
                     f"plugin/mail_crypt_private_password={password}", "mailbox", "cryptokey",
                     "generate", "-u", address, "-U")

    def fill(self, source, target, **further):
        """Writes a configuration with our paths and ports in it."""
        text = source.read_text()
        values = {"folder": self.folder, "smtp": self.smtp, "lmtp": self.lmtp, "imap": self.imap,
                  "domain": DOMAIN, "owner": OWNER, **further}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        target.write_text(text)

    def master(self, text):
        """Postfix's own master.cf: one port of ours, no other, and no chroot."""
        lines = []
        for line in text.splitlines():
            fields = line.split()
            if len(fields) > 7 and not line.startswith(("#", " ", "\t")):
                if fields[1] == "inet":
                    if fields[0] != "smtp":
                        continue
                    fields[0], fields[6] = f"127.0.0.1:{self.smtp}", "400"
                fields[4] = "n"
                line = " ".join(fields)
            lines.append(line)
        return "\n".join(lines) + "\n"

    def start(self):
        """Starts both; each leaves the identifier of its first process in a file."""
        call("dovecot", "-c", self.folder / "dovecot.conf")
        call("postfix", "-c", self.folder / "postfix/etc", "start")
        for port in [self.smtp, self.lmtp, self.imap]:
            wait_for(f"{self.name} did not start: no one at port {port}", lambda port=port: listening(port))

    def stop(self):
        """Stops both, by their own commands."""
        if (self.folder / "dovecot/master.pid").exists():
            call("doveadm", "-c", self.folder / "dovecot.conf", "stop")
        if any(alive(pid) for pid in self.pids()):
            call("postfix", "-c", self.folder / "postfix/etc", "stop")

    def pids(self):
        """The two first processes."""
        files = [self.folder / "dovecot/master.pid", self.folder / "spool/pid/master.pid"]
        return [int(file.read_text()) for file in files if file.exists()]

    def version(self):
        """What is measured."""
        packages = ["postfix", "dovecot-core"]
        return " ".join(call("dpkg-query", "-W", "-f", "${Package} ${Version} ", *packages).split())


def halt(server):
    """Stops a server and waits until nothing of it is left."""
    pids = {pid for root in server.pids() for pid in children(root)}
    server.stop()
    wait_for(f"{server.name} did not stop", lambda: not any(alive(pid) for pid in pids))


def restart(server):
    """Stops a server wholly, and starts it."""
    halt(server)
    server.start()


def pin(server, cores):
    """Lets every thread of a server run on these cores only."""
    for root in server.pids():
        for pid in children(root):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)


def all_servers(folder, programs):
    """Every server that can be measured, in the order of the table."""
    return [
        Bailiwick("bailiwick", folder / "bailiwick", programs / "bailiwick"),
        Dovecot("dovecot", folder / "dovecot", 24100, crypt=False),
        Dovecot("dovecot-crypt", folder / "dovecot-crypt", 24200, crypt=True),
    ]


def syncs_per_letter(server, deliver, letters=20):
    """How often the server called fsync or fdatasync for each of some letters, sent one by one."""
    pids = [str(pid) for root in server.pids() for pid in children(root)]
    trace = server.folder / "syncs"
    command = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o", trace]
    tracer = subprocess.Popen([*command, *(word for pid in pids for word in ("-p", pid))],
                              stderr=subprocess.PIPE, text=True)
    attached = lambda: pathlib.Path(f"/proc/{pids[-1]}/status").read_text().find(f"TracerPid:\t{tracer.pid}\n") > 0
    try:
        wait_for("strace did not attach", lambda: attached() or not alive(tracer.pid), 10)
        deliver(letters)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    if tracer.returncode not in (0, 130, -signal.SIGINT):
        print(f"  strace: {tracer.stderr.read().strip()[-300:]}", file=sys.stderr)
        return None
    lines = [line for line in trace.read_text().splitlines() if "sync(" in line]
    return round(len(lines) / letters, 1)


def remove(folder):
    """Removes what the servers wrote."""
    if os.path.lexists(folder):
        shutil.rmtree(folder)
