"""The values of one run, by server, phase and figure; and the figures that are made of others.

Invariant: a value is a number that was measured, a quotient of such, or, where a server's large
mailbox was smaller, as many times the value; the last is said.
"""

import statistics

# A value of the large mailbox grows with it; what is done to a fifth of the whole does not.
GROWING = {"list-first", "list-after", "list-cold", "search"}


def made(row, figure):
    """A figure, or nothing; some are made of what the row has."""
    if "/" in figure:
        name, divisor = figure.split("/")
        return row[name] / float(divisor) if name in row else None
    if figure == "open_s":
        return row["login_s"] + row["select_s"]
    if figure == "whole_cpu_ms":
        return row["cpu_ms_per_letter"] + row["login_cpu_ms_per_letter"]
    if figure == "unlocked_kib":
        return (row["unlocked_pss_kib"] - row["locked_pss_kib"]) / row["users"]
    if figure == "session_kib":
        further = row["sessions"] - row["users"]
        return (row["held_pss_kib"] - row["unlocked_pss_kib"]) / further if further else None
    return row.get(figure)


class Rows:
    """All of them."""

    def __init__(self, result):
        self.result = result

    def sized(self, title):
        """A title with the sizes of mailboxes that this run had."""
        settings = self.result["settings"]
        for usual, name in (("100,000", "hundred"), ("500,000", "huge")):
            title = title.replace(usual, f"{settings.get(name, 0):,}")
        return title

    def of(self, server, phase):
        """The rows of a phase."""
        return [row for row in self.result["rows"] if row["server"] == server and row["phase"] == phase]

    def scale(self, row):
        """How many times as large the mailbox of the others was."""
        wanted = self.result["settings"]["letters"]
        return wanted / row.get("letters", wanted) if row["phase"] in GROWING else 1

    def is_scaled(self, server, phase):
        """Whether values are multiplied."""
        return any(self.scale(row) != 1 for row in self.of(server, phase))

    def values(self, server, phase, figure):
        """All values measured."""
        found = [(made(row, figure), self.scale(row)) for row in self.of(server, phase)]
        return [value * scale for value, scale in found if value is not None]

    def median(self, server, phase, figure):
        """The middle of the values, or nothing."""
        values = self.values(server, phase, figure)
        return statistics.median(values) if values else None

    def limit(self, *path):
        """The better of what was measured before and after."""
        found = []
        for value in self.result["limits"]:
            for name in path:
                value = value.get(name) if value else None
            found.append(value)
        return max((value for value in found if value is not None), default=None)

    def disk(self, *path):
        """The same, of the disk."""
        return self.limit("disk", *path)
