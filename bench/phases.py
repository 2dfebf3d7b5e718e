"""The phases, in groups that can be chosen by name: what is asked of each server, in which order.

Invariant: nothing here knows how a server is set up; every figure of a phase is a row.
Refs: docs/bench.md.
"""

import time

import servers

OCTETS, LARGE_OCTETS = 10240, 4096
HUNDRED_K, FIVE_M = 102400, 5 << 20
# In this order; the last only in a long run.
GROUPS = ["deliveries", "bodies", "mailbox", "search", "memory", "accounts", "huge"]
# How long a server that has an index is waited for until it is made.
SETTLE_SECONDS = 120
# A server may write behind what it has acknowledged, and give space back later.
BEHIND_SECONDS = 6
SPACE_SECONDS = 10
PARTS = 8


class Phases:
    """What a run is made of; needs `servers`, `options`, `measure`, `note`, `letters` and `say`."""

    def smtp(self, server):
        """Through the door other servers use; behind Postfix there is a queue to wait for."""
        return ["--protocol", "smtp", "--to", f"127.0.0.1:{server.smtp}", *(["--queued"] if server.queued else [])]

    def lmtp(self, server):
        """Past Postfix, straight into Dovecot."""
        return ["--protocol", "lmtp", "--to", f"127.0.0.1:{server.lmtp}"]

    def taking_part(self, run):
        """The servers of this repetition: all in the first, and in every one of a long run."""
        return [server for server in self.servers
                if run == 0 or self.options.long or server.name != "dovecot-crypt"]

    # Deliveries.

    def deliveries(self):
        """Letters of three sizes to 64 users; the two larger sizes once."""
        for run in range(self.options.runs):
            for sessions, messages in self.options.messages.items():
                for server in self.taking_part(run):
                    load = ["--sessions", sessions, "--messages", messages, "--octets", OCTETS,
                            "--seed", run * 1000 + sessions]
                    self.measure(f"smtp-{sessions}", server, "deliver", *self.smtp(server), *load)
                    if server.lmtp:
                        self.measure(f"lmtp-{sessions}", server, "deliver", *self.lmtp(server), *load)
            self.say(f"deliveries, {run + 1} of {self.options.runs}")
        for name, octets, plan in [("100k", HUNDRED_K, self.options.messages_100k),
                                   ("5m", FIVE_M, self.options.messages_5m)]:
            for sessions, messages in plan.items():
                for server in self.servers:
                    self.measure(f"smtp-{sessions}-{name}", server, "deliver", *self.smtp(server),
                                 "--sessions", sessions, "--messages", messages, "--octets", octets)
            self.say(f"deliveries of {octets} octets")

    # Whole letters, parts of letters, logins.

    def bodies(self):
        """Whole letters, warm and cold; a thousand octets of very large ones; logins."""
        options = self.options
        whole = ["--user", servers.WHOLE, "--messages", options.bodies]
        parts = ["--user", servers.PARTS, "--messages", options.reads, "--octets", FIVE_M]
        for server in self.servers:
            self.measure("fill-whole", server, "fill", *self.appending(server), *whole, "--octets", OCTETS)
            self.measure("fill-parts", server, "fill", *self.appending(server), "--user", servers.PARTS,
                         "--messages", PARTS, "--octets", FIVE_M)
        for run in range(options.runs):
            for server in self.taking_part(run):
                self.measure("bodies-bulk", server, "bodies", *whole)
                self.measure("bodies-single", server, "bodies", "--single", *whole)
                self.measure("parts", server, "parts", *parts)
                self.measure("logins", server, "logins", "--messages", options.logins)
            self.say(f"bodies, parts and logins, {run + 1} of {options.runs}")
        for server in self.servers:
            if self.make_cold(server):
                self.measure("bodies-cold", server, "bodies", *whole)
        self.say("bodies with a cold cache")

    def appending(self, server):
        """One session for a server that takes a hundred letters a command, several for others."""
        return ["--sessions", 1 if server.multiappend else 8]

    def make_cold(self, *chosen):
        """Starts servers anew and empties the kernel's cache of files; whether it can be emptied."""
        for server in chosen:
            servers.restart(server)
        return servers.drop_caches()

    # The large mailbox.

    def mailbox(self):
        """Filled, listed first, again and cold, searched, and in part deleted."""
        for server in self.servers:
            self.fill(server)
        for server in self.servers:
            self.listing("list-first", server, servers.LARGE, self.letters(server))
        for _ in range(self.options.runs):
            for server in self.servers:
                self.listing("list-after", server, servers.LARGE, self.letters(server))
        if self.make_cold(*self.servers):
            for server in self.servers:
                self.listing("list-cold", server, servers.LARGE, self.letters(server))
        for run in range(self.options.runs):
            for server in self.servers:
                # Without an index every search is like the first.
                if run == 0 or server.has_index:
                    self.searching("search", server, servers.LARGE, self.letters(server))
        for server in self.servers:
            self.arrived(server)
        for server in self.servers:
            self.changes(server)

    def fill(self, server):
        """Appends the letters, and says what they take of the disk."""
        letters, before = self.letters(server), self.space(server)
        self.measure("fill", server, "fill", "--user", servers.LARGE, *self.appending(server),
                     "--messages", letters, "--octets", LARGE_OCTETS, letters=letters)
        self.taken("fill-space", server, letters, before)
        self.say(f"{server.name}: {letters} letters in one mailbox")

    def taken(self, phase, server, letters, before):
        """What each letter takes of the disk, when the server has tidied up."""
        time.sleep(BEHIND_SECONDS)
        after = self.space(server)
        self.note(phase, server, letters=letters,
                  **{f"{name}_per_letter": round((after[name] - before[name]) / letters) for name in after})

    def space(self, server):
        """What the letters take of the disk; from Bailiwick also what its records hold."""
        sizes = {"disk_octets": servers.disk_octets(server.data)}
        if server.name == "bailiwick":
            sizes["kept_octets"] = server.kept_octets()
        return sizes

    def listing(self, phase, server, user, letters):
        """Login, SELECT, FETCH 1:*."""
        row = self.measure(phase, server, "list", "--user", user, letters=letters)
        if row["messages"] != letters:
            raise servers.Failed(f"{server.name}: {row['messages']} messages, not {letters}")
        self.say(f"{server.name}: {phase}, {row['messages']} messages in {row['list_s']} s")

    def searching(self, phase, server, user, letters):
        """BODY, after a new login; whoever indexes has had the time for it."""
        patience = ["--settle", SETTLE_SECONDS] if server.has_index else []
        few = ["--few"] if server.name == "dovecot-crypt" else []
        row = self.measure(phase, server, "search", "--user", user, *patience, *few, letters=letters)
        self.say(f"{server.name}: {phase}, {letters} messages, first answer in {row['rare_s']} s")

    def arrived(self, server):
        """As many letters that came while nobody was logged in: only a sealed store has to open them."""
        if server.name != "bailiwick":
            return
        letters = self.letters(server)
        self.arrive(server, servers.ARRIVED, letters)
        self.listing("list-arrived", server, servers.ARRIVED, letters)

    def arrive(self, server, user, letters):
        """Over SMTP, to somebody who is not there."""
        before = self.space(server)
        self.measure("arrive", server, "deliver", *self.smtp(server), "--sessions", 64, "--unopened",
                     "--user", user, "--messages", letters, "--octets", LARGE_OCTETS)
        self.taken("arrive-space", server, letters, before)

    def changes(self, server):
        """A fifth of the letters flagged, then expunged; what space comes back."""
        letters = self.options.letters // 5
        before = self.space(server)
        row = self.measure("changes", server, "changes", "--user", servers.LARGE, "--messages", letters)
        # What Bailiwick keeps for two weeks, the peers do not keep.
        if server.name == "bailiwick":
            server.purge(servers.LARGE)
        end = time.monotonic() + SPACE_SECONDS
        while (after := self.space(server)) == before and time.monotonic() < end:
            time.sleep(1)
        self.note("changes-space", server, letters=letters,
                  **{f"{name}_returned": before[name] - after[name] for name in after})
        self.say(f"{server.name}: {letters} flagged in {row['flag_s']} s, expunged in {row['expunge_s']} s")

    # The mailbox that the limit for searches names.

    def search(self):
        """100,000 letters, the server on one core: only for servers that have an index."""
        for server in self.servers:
            if not server.has_index:
                continue
            letters = self.options.hundred
            self.arrive(server, servers.HUNDRED, letters)
            # The index is made with both cores; asked is one.
            self.searching("search-hundred", server, servers.HUNDRED, letters)
            servers.pin(server, {0})
            try:
                for _ in range(self.options.runs):
                    self.listing("list-hundred-one-core", server, servers.HUNDRED, letters)
                    self.searching("search-hundred-one-core", server, servers.HUNDRED, letters)
            finally:
                servers.pin(server, servers.ALL_CORES)

    # Memory.

    def memory(self):
        """A thousand sessions that wait; the server was started just before."""
        for server in self.servers:
            servers.restart(server)
            row = self.measure("hold", server, "hold", "--sessions", self.options.held)
            self.say(f"{server.name}: {row['sessions']} sessions hold {row['held_pss_kib'] >> 10} MiB")
            if server.name == "bailiwick" and "mailbox" in self.options.only:
                servers.restart(server)
                self.measure("hold-large", server, "hold", "--user", servers.LARGE, "--sessions", 1, "--seconds", 1,
                             letters=self.letters(server) - self.options.letters // 5)

    # Many accounts.

    def accounts(self):
        """How a start takes with what there is, and with many accounts more."""
        for server in self.servers:
            self.starting(server, "")
            if server.name != "bailiwick":
                continue
            seconds = server.create_many(self.options.accounts)
            self.note("create", server, accounts=self.options.accounts,
                      accounts_per_s=round(self.options.accounts / seconds, 1))
            self.say(f"{server.name}: {self.options.accounts} accounts made in {seconds:.0f} s")
            time.sleep(BEHIND_SECONDS)
            self.starting(server, "-further")

    def starting(self, server, suffix):
        """From the first command until somebody is logged in; warm, then with an empty cache."""
        for phase, cold in [("start", False), ("start-cold", True)]:
            servers.halt(server)
            if cold and not servers.drop_caches():
                server.start()
                return
            began = time.monotonic()
            server.start()
            started = time.monotonic() - began
            self.mailbench("logins", server, "--messages", 1, "--sessions", 1)
            opened = time.monotonic() - began
            self.note(phase + suffix, server, started_s=round(started, 3),
                      opened_s=round(opened, 3), data_octets=servers.disk_octets(server.data),
                      pss_kib=servers.sum_of(server.pids(), "smaps_rollup", "Pss:"))
            self.say(f"{server.name}: {phase}{suffix}, {opened:.2f} s until one is logged in")

    # A mailbox ten times as large.

    def huge(self):
        """500,000 letters in one mailbox; without mail_crypt, which would take an hour."""
        chosen = [server for server in self.servers if server.name != "dovecot-crypt"]
        letters = self.options.huge
        for server in chosen:
            self.measure("fill-huge", server, "fill", "--user", servers.HUGE, *self.appending(server),
                         "--messages", letters, "--octets", LARGE_OCTETS, letters=letters)
            self.listing("list-huge-first", server, servers.HUGE, letters)
        for server in chosen:
            self.listing("list-huge-after", server, servers.HUGE, letters)
        if self.make_cold(*chosen):
            for server in chosen:
                self.listing("list-huge-cold", server, servers.HUGE, letters)
        for server in chosen:
            if server.has_index:
                self.searching("search-huge", server, servers.HUGE, letters)
