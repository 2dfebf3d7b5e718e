"""Programs that look for faults: testssl.sh and sslyze at TLS, and three at SMTP's line ends.

Those that Debian does not have are read from a folder of sources; without it they are skipped.
Refs: docs/conformance.md; RFC 9325; RFC 5321 §4.1.1.4; RFC 3207 §6.
"""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

from rig import Broken, Rig, Skipped, need, plain_text

# What testssl.sh says of a test's own authority, which has no revocation, and of its own host.
EXPECTED = {"cert_revocation", "engine_problem"}
# Debian's 3.0.8 wants the server's order of ciphers, which is no longer asked for where all are
# good; and its check for tickets fails with OpenSSL 3.
EXPECTED_OLD = {"cipher_order", "cipherorder_TLSv1_2", "sessionresumption_ticket"}


def call(rig: Rig, words: list, name: str, cwd: Path | None = None, seconds: int = 600, env: dict | None = None) -> str:
    """Runs a program of others; its output, which is kept in a file too."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, cwd=cwd or rig.stage.root, timeout=seconds, check=False,
                          env={**os.environ, **(env or {})})
    text = plain_text(done.stdout.decode(errors="replace"))
    (rig.stage.root / f"{name}.txt").write_text(text)
    return text


def source(rig: Rig, *places: str) -> Path:
    """A program from the folder of sources."""
    for place in places:
        path = rig.sources / place if rig.sources else None
        if path and path.exists():
            return path
    raise Skipped(f"no {places[0]} under --sources")


def ports(rig: Rig) -> list[tuple[str, int, list[str]]]:
    cell = rig.cell
    return [("smtp", cell.mx, ["-t", "smtp"]), ("submissions", cell.submission, []), ("imaps", cell.imaps, [])]


def testssl(rig: Rig) -> None:
    """The newest at hand: the one under --sources grades, Debian's does not."""
    stage, cell = rig.stage, rig.cell
    need("socat", "socat")
    usual = EXPECTED
    try:
        program = source(rig, "testssl.sh/testssl.sh")
    except Skipped:
        program = Path(need("testssl", "testssl.sh"))
        usual = EXPECTED | EXPECTED_OLD
    stage.title(f"testssl.sh at each port: {program}")
    for name, port, options in ports(rig):
        found = stage.root / f"testssl-{name}.csv"
        call(rig, [program, "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--openssl",
                   need("openssl", "openssl"), "--add-ca", stage.root / "ca.crt", "--ip", cell.host, "--csvfile", found,
                   *options, f"{cell.hostname}:{port}"], f"testssl-{name}")
        rows = list(csv.DictReader(found.open()))
        stage.promise(len(rows) > 50, f"{name}: testssl.sh looked at {len(rows)} things")
        grades = {row["finding"] for row in rows if row["id"] == "overall_grade"}
        # STARTTLS alone is a T: nobody can force it on the other side (RFC 8314).
        expected = usual | ({"overall_grade"} if options and grades == {"T"} else set())
        bad = [f"{row['id']}: {row['severity']}: {row['finding']}" for row in rows
               if row["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN") and row["id"] not in expected]
        for line in bad:
            stage.say(line)
        grade = ", ".join(grades) or "not given by this version"
        stage.promise(not bad, f"{name}: nothing found beyond what is expected of a test's authority; grade {grade}")


def sslyze(rig: Rig) -> None:
    stage, cell = rig.stage, rig.cell
    program = source(rig, "venv/bin/sslyze")
    stage.title("sslyze: Mozilla's intermediate settings")
    for name, port, options in ports(rig):
        starttls = ["--starttls", "smtp"] if options else []
        text = call(rig, [program, "--mozilla_config=intermediate", "--certinfo_ca_file", stage.root / "ca.crt", *starttls,
                          "--sni", cell.hostname, f"{cell.host}:{port}"], f"sslyze-{name}")
        verdict = text.partition("COMPLIANCE AGAINST")[2]
        for line in verdict.splitlines():
            if "*" in line or "FAILED" in line:
                stage.say(line.strip())
        stage.promise("OK - Compliant" in verdict, f"{name}: complies with Mozilla's intermediate settings")


def settled(rig: Rig, name: str, before: int) -> list[bytes]:
    return rig.letters(name)[before:]


def smuggling(rig: Rig) -> None:
    """The three programs say what they saw; what counts is what is in the mailbox."""
    stage, cell = rig.stage, rig.cell
    carol = f"carol@{cell.domain}"
    stage.title("SMTP smuggling: smtpsmug (hannob), SMTP Smuggling Scanner (SEC Consult)")
    smug = source(rig, "smtpsmug/smtpsmug")
    listed = call(rig, [sys.executable, smug, "--list-tests"], "smtpsmug-list")
    tests = [line.split('"')[1].rstrip(":") for line in listed.splitlines() if line.startswith('"')]
    taken = []
    for test in tests:
        text = call(rig, [sys.executable, smug, "--port", cell.mx, "--mailfrom", "bob@example.org", "--to", carol,
                          "--test", test, cell.host], f"smtpsmug-{test}")
        stage.say(f"{test}: {text.strip().splitlines()[-1]}")
        if "was accepted (bad!)" in text or "Successfully sent a mail with" in text or "Traceback" in text:
            taken.append(test)
    stage.promise(len(tests) >= 10 and not taken, f"smtpsmug: {len(taken)} of {len(tests)} sequences taken")
    python = sys.executable
    scanner = source(rig, "SMTP-Smuggling-Tools/smtp_smuggling_scanner.py")
    venv = rig.sources / "venv/bin/python"
    if venv.exists():
        python = venv
    before = len(rig.letters("carol"))
    check = [python, scanner, carol, "--inbound-smtp-server", cell.host, "--port", cell.mx, "--sender-domain", "example.org"]
    text = call(rig, [*check, "--setup-check"], "scanner-setup", seconds=120)
    stage.promise("Sent setup e-mail" in text and len(settled(rig, "carol", before)) == 1, "the scanner can send")
    text = call(rig, [*check, "--debug"], "scanner", seconds=300)
    came, refused = settled(rig, "carol", before + 1), text.count("retcode (550); Msg: b'5.6.0 ")
    stage.promise(refused == 7 and not came, f"the scanner's false ends of data are refused, {refused} of 7")
    outward_smuggling(rig, [python, scanner])


def outward_smuggling(rig: Rig, scanner: list) -> None:
    """What our people submit must not leave with such a sequence in it."""
    cell, alice, carol = rig.cell, rig.account("alice"), rig.account("carol")
    before = len(rig.letters("carol"))
    check = [*scanner, carol.address, "--outbound-smtp-server", cell.hostname, "--port", cell.submission, "--tls",
             "--sender-address", alice.address, "--username", alice.address, "--password", alice.app_password]
    text = call(rig, [*check, "--setup-check"], "scanner-outbound-setup", env=rig.stage.names)
    rig.stage.promise("Sent setup e-mail" in text and len(settled(rig, "carol", before)) == 1, "the scanner can submit")
    text = call(rig, [*check, "--debug"], "scanner-outbound", env=rig.stage.names)
    came, refused = settled(rig, "carol", before + 1), text.count("retcode (550); Msg: b'5.6.0 ")
    rig.stage.promise(refused == 9 and not came, f"what our people submit with such sequences is refused, {refused} of 9")


def injection(rig: Rig) -> None:
    stage, cell = rig.stage, rig.cell
    program = source(rig, "command-injection-tester/command-injection-tester")
    stage.title("command-injection-tester (Email-Analysis-Toolkit): commands injected before STARTTLS")
    text = call(rig, [sys.executable, program, "--smtp", "--smtp-port", cell.mx, "--nocolor", "--logdir",
                      stage.root / "injection", cell.host], "injection", seconds=120)
    stage.promise("Sanity test done" in text and "Probably no command injection here!" in text
                  and "ossible command injection" not in text and "Command injection here" not in text,
                  "nothing said before STARTTLS is answered under it")


def spf(rig: Rig) -> None:
    """The suite's clients have addresses of their own: it runs where every address is ours."""
    suite = source(rig, "pyspf/test/rfc7208-tests.yml")
    need("unshare", "util-linux")
    need("ip", "iproute2")
    try:
        import dns
        import yaml
    except ImportError as missing:
        raise Skipped(f"no Python {missing.name}; Debian's python3-dnspython and python3-yaml") from None
    if os.geteuid() != 0:
        raise Skipped("a network namespace is only for root")
    rig.stage.title("SPF: the project's own suite for RFC 7208")
    inner = Path(__file__).parent / "spf.py"
    setting = ("ip link set lo up && ip route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo"
               ' && exec "$@"')
    text = call(rig, ["unshare", "--net", "sh", "-c", setting, "spf", sys.executable, inner, rig.stage.binaries,
                      rig.stage.root / "spf", suite], "spf")
    found = re.search(r"^SPF: .*$", text, re.M)
    if not found:
        raise Broken(f"the suite ended early: {text[-1000:]}")
    strange = [line.strip() for line in text.splitlines() if "wrong: " in line]
    for line in strange:
        rig.stage.say(line[:180])
    rig.stage.promise(not strange, f"{found[0]}")
