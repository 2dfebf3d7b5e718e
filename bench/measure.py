"""One run: every server set up, every phase on each of them in turn, one table, one JSON file.

Invariant: the servers take turns within each repetition, so that whatever else the machine does
falls on all of them; a phase that fails stops the run, and everything started is stopped.
Refs: docs/bench.md.
"""

import argparse
import datetime
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import time

import limits
import report
import servers
from phases import GROUPS, LARGE_OCTETS, OCTETS, Phases

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The servers that are slowest by far: their large mailbox is smaller, unless the run may be long.
SMALLER = {"dovecot-crypt": 5}
WRITING = ("deliver", "fill")


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench/run", add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--letters", type=int, default=0)
    parser.add_argument("--accounts", type=int, default=0)
    parser.add_argument("--servers", default="bailiwick,dovecot,dovecot-crypt")
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target/release")
    # Not below a home directory: the servers' own users must reach it.
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("/var/tmp/bailiwick-bench"))
    chosen = parser.parse_args()
    quick, long = chosen.quick, chosen.long
    chosen.runs = chosen.runs or (1 if quick else 3)
    chosen.letters = chosen.letters or (2000 if quick else 50000)
    chosen.hundred = 4000 if quick else 100000
    chosen.huge = 8000 if quick else 500000
    chosen.accounts = chosen.accounts or (50 if quick else 10000 if long else 1000)
    chosen.bodies, chosen.reads = (200, 50) if quick else (1000, 500)
    chosen.logins = 80 if quick else 400
    chosen.held = 128 if quick else 1000
    chosen.messages = ({1: 30, 8: 160, 64: 320} if quick else {1: 150, 8: 800, 64: 1600, 256: 2560})
    chosen.messages_100k = {8: 16} if quick else {1: 50, 8: 200, 64: 400, 256: 512}
    chosen.messages_5m = {8: 8} if quick else {1: 4, 8: 16, 64: 64, 256: 256}
    groups = [name for name in GROUPS if name != "huge" or long]
    chosen.only = chosen.only.split(",") if chosen.only else groups
    if unknown := set(chosen.only) - set(GROUPS):
        parser.error(f"--only takes {', '.join(GROUPS)}, not {', '.join(unknown)}")
    return chosen


def first_line(path, key=""):
    """The first line of a file that begins so, without the key."""
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.removeprefix(key).strip(" \t:")
    return ""


def machine(folder):
    """What the figures were made on; a ratio travels, a figure does not."""
    disk = servers.call("df", "--output=source,fstype", folder).splitlines()[-1].split()
    return {
        "processor": first_line("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_mib": int(first_line("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "kernel": os.uname().release,
        "debian": first_line("/etc/debian_version"),
        "disk": " ".join(disk),
        "load_before": round(os.getloadavg()[0], 2),
    }


class Bench(Phases):
    """The servers that run, and the rows measured so far."""

    def __init__(self, options):
        self.options = options
        known = servers.all_servers(options.folder, options.programs)
        names = options.servers.split(",")
        self.servers = [server for server in known if server.name in names]
        if len(self.servers) != len(names):
            raise servers.Failed(f"--servers takes {', '.join(server.name for server in known)}")
        self.rows = []
        self.began = time.monotonic()

    def letters(self, server):
        """How many letters this server's large mailbox holds."""
        smaller = 1 if self.options.long or self.options.quick else SMALLER.get(server.name, 1)
        return self.options.letters // smaller

    def say(self, text):
        """Progress, with the seconds since the start."""
        print(f"  {time.monotonic() - self.began:5.0f} s  {text}", flush=True)

    def measure(self, phase, server, command, *arguments, **further):
        """Runs mailbench on one server and keeps the row; of letters that come, also what was written for them."""
        before = servers.written_octets(server.folder) if command in WRITING else None
        row = json.loads(self.mailbench(command, server, *arguments))
        if before is not None:
            octets = row["messages"] * int(arguments[arguments.index("--octets") + 1])
            further["written_per_octet"] = round((servers.written_octets(server.folder) - before) / octets, 3)
        return self.note(phase, server, **row, **further)

    def note(self, phase, server, **figures):
        """Keeps a row."""
        self.rows.append({"phase": phase, "server": server.name, **figures})
        return figures

    def mailbench(self, command, server, *arguments):
        """One line of figures."""
        pids = ",".join(map(str, server.pids()))
        users = server.folder / ("readers" if "--user" in arguments else "users")
        done = subprocess.run(
            [self.options.programs / "mailbench", command, "--imap", f"127.0.0.1:{server.imap}", "--users", users, "--pids", pids,
             *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise servers.Failed(f"{server.name}: {done.stderr.strip()}")
        return done.stdout

    def durability(self):
        """Counts syncs, so that nobody is quick by forgetting."""
        counts = {}
        for server in self.servers:
            route = self.lmtp(server) if server.lmtp else self.smtp(server)
            # No login before or after: opening what arrived is not part of the arrival.
            deliver = lambda n, server=server, route=route: self.mailbench(
                "deliver", server, *route, "--unopened", "--messages", n)
            deliver(64)  # the first letter of an account is not like the next
            counts[server.name] = servers.syncs_per_letter(server, deliver)
            self.say(f"{server.name}: {counts[server.name]} syncs for each letter, one by one")
            if counts[server.name] == 0:
                raise servers.Failed(f"{server.name} acknowledges letters that are not on disk")
        return counts

    def run(self):
        """Everything; the result as one value."""
        options = self.options
        about = machine(options.folder)
        bounds = [limits.all_limits(options.folder)]
        self.say("what the disk and the cipher allow, before")
        for server in self.servers:
            began = time.monotonic()
            server.set_up()
            self.say(f"{server.name} runs: {server.version()}")
            self.note("set-up", server, set_up_s=round(time.monotonic() - began, 3))
        syncs = self.durability()
        for name in GROUPS:
            if name in options.only:
                getattr(self, name)()
        bounds.append(limits.all_limits(options.folder))
        self.say("what the disk and the cipher allow, after")
        return {
            "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": about,
            "settings": {"runs": options.runs, "letters": options.letters, "bodies": options.bodies,
                         "hundred": options.hundred, "huge": options.huge, "only": options.only,
                         "quick": options.quick, "octets": OCTETS, "large_octets": LARGE_OCTETS,
                         "seconds": round(time.monotonic() - self.began)},
            "versions": {server.name: server.version() for server in self.servers},
            "syncs_per_letter": syncs,
            "limits": bounds,
            "rows": self.rows,
        }

    def stop(self):
        """Stops whatever runs; says so if something does not."""
        for server in self.servers:
            try:
                server.stop()
            except (servers.Failed, OSError) as error:
                print(f"bench/run: {error}", file=sys.stderr)


def main():
    """Runs, prints, writes."""
    options = parse()
    lock = pathlib.Path(f"{options.folder}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("bench/run: another run is under way")
    servers.remove(options.folder)
    options.folder.mkdir(parents=True, mode=0o755)
    dns = servers.Dns(options.folder / "dns")
    bench = None
    try:
        bench = Bench(options)
        print("measure")
        dns.start()
        keep(bench.run())
    except servers.Failed as error:
        sys.exit(f"bench/run: {error}")
    finally:
        if bench:
            bench.stop()
        dns.stop()
        if not options.keep:
            print("  removes the servers' files", flush=True)
            servers.remove(options.folder)


def keep(result):
    """Writes every row and prints the table."""
    path = ROOT / "bench/results" / (result["at"].replace(":", "").replace("+0000", "Z") + ".json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(report.text(result))
    print(f"every row: {path.relative_to(ROOT)}", flush=True)


if __name__ == "__main__":
    main()
