"""Two cells on loopback, with a local certificate authority and a local DNS zone."""

import imaplib
import secrets
import smtplib
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from stage import Stage

OFFSET = 10000
DNS_PORT = 15353


@dataclass
class Account:
    address: str
    custody: str
    recovery_code: str
    app_password: str
    id: str


@dataclass
class Cell:
    """One cell, as its administrator and its people reach it."""

    stage: Stage
    name: str
    host: str
    dns: str
    domain: str = ""
    process: subprocess.Popen | None = None
    keys: dict = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)

    def __post_init__(self):
        self.domain = f"{self.name}.example"
        self.mx, self.submission = 25 + OFFSET, 465 + OFFSET
        self.imaps, self.relay, self.http = 993 + OFFSET, 26 + OFFSET, 80 + OFFSET
        self.hostname = f"mx.{self.domain}"

    @property
    def config(self) -> str:
        return f"{self.name}/bailiwick.toml"

    @property
    def folder(self) -> Path:
        return self.stage.root / self.name

    def init(self) -> None:
        self.stage.run("bailiwick", "init", "--cell", self.name, "--domain", self.domain,
                       "--entity", f"Bailiwick {self.name.upper()}", "--dir", self.name,
                       "--listen", self.host, "--port-offset", str(OFFSET),
                       "--dns", f"{self.dns}:{DNS_PORT}")
        self.keys = self.stage.json("bailiwick", "check", "--config", self.config, "--json")

    def edit(self, old: str, new: str) -> None:
        """A change as an administrator makes it with an editor."""
        path = self.stage.root / self.config
        text = path.read_text()
        assert old in text, old
        path.write_text(text.replace(old, new, 1))

    def append(self, text: str) -> None:
        with open(self.stage.root / self.config, "a") as file:
            file.write(text)

    def start(self) -> None:
        self.process = self.stage.start("bailiwick", "serve", "--config", self.config, name=self.name)
        self.stage.wait_for_port(self.host, self.imaps, self.process)

    def stop(self) -> None:
        self.stage.stop(self.process)

    def admin(self, *words: str, **options) -> dict:
        return self.stage.json("bailiwick", "admin", "--config", self.config, "--json", *words, **options)

    def create(self, local: str, custody: str) -> Account:
        address = f"{local}@{self.domain}"
        made = self.admin("account", "create", address, "--custody", custody)
        account = Account(address, custody, made["recovery_code"], made["app_password"], made["account"])
        self.accounts[address] = account
        return account

    def smtp(self, tls: ssl.SSLContext) -> smtplib.SMTP:
        client = smtplib.SMTP(self.host, self.mx, local_hostname="mail.example.org", timeout=60)
        client.starttls(context=tls)
        return client

    def submit(self, account: Account, tls: ssl.SSLContext) -> smtplib.SMTP_SSL:
        client = smtplib.SMTP_SSL(self.host, self.submission, local_hostname="laptop.example.org",
                                  timeout=60, context=tls)
        client.login(account.address, account.app_password)
        return client

    def imap(self, account: Account, tls: ssl.SSLContext) -> imaplib.IMAP4_SSL:
        client = imaplib.IMAP4_SSL(self.host, self.imaps, ssl_context=tls, timeout=60)
        client.login(account.address, account.app_password)
        return client


def certificates(stage: Stage, cells: list[Cell]) -> ssl.SSLContext:
    """A certificate authority for the demo, and a certificate for each cell's host."""
    stage.title("a certificate authority and a DNS zone, both local")
    stage.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
              "-nodes", "-days", "90", "-subj", "/CN=demo authority", "-addext", "keyUsage=critical,keyCertSign",
              "-keyout", "ca.key", "-out", "ca.crt")
    for cell in cells:
        request = stage.run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-subj", f"/CN={cell.hostname}", "-keyout", f"{cell.name}.key")
        extensions = stage.root / f"{cell.name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{cell.hostname},IP:{cell.host}\n"
                              "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
                              "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        stage.run("openssl", "x509", "-req", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                  "-days", "90", "-extfile", extensions.name, "-out", f"{cell.name}.crt", stdin=request)
    context = ssl.create_default_context(cafile=str(stage.root / "ca.crt"))
    context.check_hostname = True
    return context


def zone(stage: Stage, cells: list[Cell]) -> None:
    """The names the demo uses, and nothing else: no question leaves this machine."""
    lines = ["no-resolv", "no-hosts", "local=/example/", "local=/org/", "local=/#/",
             f"listen-address={cells[0].dns}", f"port={DNS_PORT}", "bind-interfaces", "no-daemon", "cache-size=0",
             "txt-record=example.org,v=spf1 ip4:127.0.0.0/8 -all", "mx-host=example.org,mail.example.org,10",
             "address=/mail.example.org/127.0.0.13",
             "txt-record=_dmarc.example.org,v=DMARC1; p=none",
             "txt-record=forged.example,v=spf1 -all", "txt-record=_dmarc.forged.example,v=DMARC1; p=reject"]
    for cell in cells:
        lines.append(f"address=/{cell.hostname}/{cell.host}")
        for name, kind, value in cell.keys["dns"]:
            name = name.rstrip(".")
            if kind == "MX":
                lines.append(f"mx-host={name},{value.split()[1].rstrip('.')},10")
            else:
                text = value.strip('"')
                parts = [text[at : at + 250] for at in range(0, len(text), 250)]
                lines.append(f"txt-record={name}," + ",".join(f'"{part}"' for part in parts))
    (stage.root / "dnsmasq.conf").write_text("\n".join(lines) + "\n")
    stage.start("dnsmasq", "--conf-file=dnsmasq.conf", "--keep-in-foreground", name="dns")
    hosts = "".join(f"{cell.host} {cell.hostname}\n" for cell in cells)
    (stage.root / "hosts").write_text("127.0.0.1 localhost\n" + hosts)


def holders(stage: Stage, names: list[str]) -> list[dict]:
    """Keys of people outside the server: each is made by its holder, with the outside program."""
    made = []
    for name in names:
        public = stage.run("bailiwick-verify", "holder", "new", "--out", f"{name}.key").strip()
        made.append({"name": name, "id": secrets.token_hex(16), "public": public})
    return made


def group(section: str, threshold: int, members: list[dict]) -> str:
    listed = ",\n".join(
        f'  {{ id = "{m["id"]}", name = "{m["name"]}", key = "{m["public"]}" }}' for m in members)
    return f"\n[custody.{section}]\nthreshold = {threshold}\nholders = [\n{listed}\n]\n"


def peer(cell: Cell) -> str:
    return (f'\n[[peer]]\nname = "{cell.name}"\ndomains = ["{cell.domain}"]\n'
            f'relay = "{cell.host}:{cell.relay}"\nrelay_name = "{cell.hostname}"\n'
            f'log_url = "http://{cell.host}:{cell.http}"\n'
            f'log_key = "{cell.keys["log_key"]}"\nwitness_key = "{cell.keys["witness_key"]}"\n')
