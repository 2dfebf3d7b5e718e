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

import report
import servers

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAILBENCH = ROOT / "target/release/mailbench"
OCTETS, LARGE_OCTETS = 10240, 4096
SESSIONS = [1, 8, 64]
# A server without an index takes so long each time, and is not waited for longer.
SETTLE_SECONDS = 120


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench/run", add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--letters", type=int, default=0)
    parser.add_argument("--servers", default="bailiwick,dovecot,dovecot-crypt")
    parser.add_argument("--keep", action="store_true")
    # Not below a home directory: the servers' own users must reach it.
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("/var/tmp/bailiwick-bench"))
    chosen = parser.parse_args()
    chosen.runs = chosen.runs or (1 if chosen.quick else 3)
    chosen.letters = chosen.letters or (2000 if chosen.quick else 50000)
    chosen.bodies = 200 if chosen.quick else 1000
    chosen.logins = 80 if chosen.quick else 400
    chosen.messages = dict(zip(SESSIONS, [30, 160, 320] if chosen.quick else [150, 800, 1600]))
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


class Bench:
    """The servers that run, and the rows measured so far."""

    def __init__(self, options):
        self.options = options
        known = servers.all_servers(options.folder, ROOT / "target")
        names = options.servers.split(",")
        self.servers = [server for server in known if server.name in names]
        if len(self.servers) != len(names):
            raise servers.Failed(f"--servers takes {', '.join(server.name for server in known)}")
        self.rows = []
        self.began = time.monotonic()

    def say(self, text):
        """Progress, with the seconds since the start."""
        print(f"  {time.monotonic() - self.began:5.0f} s  {text}", flush=True)

    def measure(self, phase, server, command, *arguments):
        """Runs mailbench on one server and keeps the row."""
        row = json.loads(self.mailbench(command, server, *arguments))
        self.rows.append({"phase": phase, "server": server.name, **row})
        return row

    def mailbench(self, command, server, *arguments):
        """One line of figures."""
        pids = ",".join(map(str, server.pids()))
        users = server.folder / ("readers" if "--user" in arguments else "users")
        done = subprocess.run(
            [MAILBENCH, command, "--imap", f"127.0.0.1:{server.imap}", "--users", users, "--pids", pids,
             *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise servers.Failed(f"{server.name}: {done.stderr.strip()}")
        return done.stdout

    def smtp(self, server):
        """Through the door other servers use; behind Postfix there is a queue to wait for."""
        return ["--protocol", "smtp", "--to", f"127.0.0.1:{server.smtp}", *(["--queued"] if server.queued else [])]

    def lmtp(self, server):
        """Past Postfix, straight into Dovecot."""
        return ["--protocol", "lmtp", "--to", f"127.0.0.1:{server.lmtp}"]

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

    def deliveries(self, run):
        """10 KiB letters to 64 users."""
        for sessions in SESSIONS:
            load = ["--sessions", sessions, "--messages", self.options.messages[sessions], "--octets", OCTETS,
                    "--seed", run * 100 + sessions]
            for server in self.servers:
                self.measure(f"smtp-{sessions}", server, "deliver", *self.smtp(server), *load)
                if server.lmtp:
                    self.measure(f"lmtp-{sessions}", server, "deliver", *self.lmtp(server), *load)

    def fill(self, server):
        """Makes the large mailboxes: appended over IMAP, and arrived while nobody was logged in."""
        options = self.options
        large = ["--messages", options.letters, "--octets", LARGE_OCTETS]
        # One session for a server that takes a hundred letters a command, several for others.
        sessions = ["--sessions", 1 if server.multiappend else 8]
        self.measure("fill", server, "fill", "--user", servers.LARGE, *sessions, *large)
        self.measure("fill-whole", server, "fill", "--user", servers.WHOLE, *sessions,
                     "--messages", options.bodies, "--octets", OCTETS)
        # To Dovecot an arrived letter is an appended letter; only a sealed store has to open it.
        if server.name == "bailiwick":
            self.measure("arrive", server, "deliver", *self.smtp(server), "--sessions", 64, "--unopened",
                         "--user", servers.ARRIVED, *large)
        self.say(f"{server.name}: {options.letters} letters in one mailbox")

    def listings(self, run):
        """Login, SELECT, FETCH 1:* of the large mailbox: first, then again."""
        for server in self.servers:
            self.listing("list-first" if run == 0 else "list-after", server, servers.LARGE)
            if server.name == "bailiwick" and run == 0:
                self.listing("list-arrived", server, servers.ARRIVED)

    def listing(self, phase, server, user):
        """One of them."""
        row = self.measure(phase, server, "list", "--user", user)
        if row["messages"] != self.options.letters:
            raise servers.Failed(f"{server.name}: {row['messages']} messages, not {self.options.letters}")
        self.say(f"{server.name}: {phase}, {row['messages']} messages in {row['list_s']} s")

    def searches(self):
        """BODY of the large mailbox, after a new login; whoever indexes has had the time for it."""
        for server in self.servers:
            row = self.measure("search", server, "search", "--user", servers.LARGE, "--settle", SETTLE_SECONDS)
            self.say(f"{server.name}: searched, first answer in {row['rare_s']} s")

    def readings(self):
        """Whole letters, and logins."""
        load = ["--user", servers.WHOLE, "--messages", self.options.bodies]
        for server in self.servers:
            self.measure("bodies-bulk", server, "bodies", *load)
            self.measure("bodies-single", server, "bodies", "--single", *load)
            self.measure("logins", server, "logins", "--messages", self.options.logins)

    def run(self):
        """Everything; the result as one value."""
        options = self.options
        about = machine(options.folder)
        for server in self.servers:
            server.set_up()
            self.say(f"{server.name} runs: {server.version()}")
        syncs = self.durability()
        for run in range(options.runs):
            self.deliveries(run)
            self.say(f"deliveries, {run + 1} of {options.runs}")
        for server in self.servers:
            self.fill(server)
        for run in range(options.runs + 1):
            self.listings(run)
        for run in range(options.runs):
            self.searches()
            self.readings()
            self.say(f"searches, bodies and logins, {run + 1} of {options.runs}")
        return {
            "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "machine": about,
            "settings": {"runs": options.runs, "letters": options.letters, "bodies": options.bodies,
                         "quick": options.quick, "octets": OCTETS, "large_octets": LARGE_OCTETS},
            "versions": {server.name: server.version() for server in self.servers},
            "syncs_per_letter": syncs,
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
