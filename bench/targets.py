"""What the project asks of itself, and whether one run meets it, line by line.

Invariant: a target whose figures are missing is "not measured", never met. Refs: docs/bench.md.
"""

# First and later listings differ by chance: so much is not held against the first.
NOISE = 1.1
# Lines that are another's line once more, or beside what is no peer's counterpart.
ELSEWHERE = ("the same beside LMTP", "processor ms for a letter, beside LMTP")


def verdict(is_met):
    """One word, or three."""
    return "not measured" if is_met is None else "met" if is_met else "NOT MET"


def short(value):
    """Three digits."""
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def at_least(title, ours, theirs, times, cap):
    """So many times a peer's, or 70 % of what the disk allows, whichever is less."""
    if not ours or not theirs:
        return [title, short(ours), "–", verdict(None)]
    wanted = times * theirs
    if cap:
        wanted = min(wanted, 0.7 * cap)
    return [title, short(ours), f"at least {short(wanted)}", verdict(ours >= wanted)]


def at_most(title, ours, wanted):
    """Not more than a value."""
    known = ours is not None and wanted is not None
    return [title, short(ours), f"at most {short(wanted)}" if known else "–", verdict(ours <= wanted if known else None)]


def named(rows):
    """The targets that have numbers of their own."""
    ours = lambda phase, figure: rows.median("bailiwick", phase, figure)
    plain = lambda phase, figure: rows.median("dovecot", phase, figure)
    crypt = lambda phase, figure: rows.median("dovecot-crypt", phase, figure)
    times = lambda value, factor: value and value * factor
    delivered, cap = ours("smtp-64", "delivered_per_s"), rows.disk("letters_per_s", "64")
    hundred = "search-hundred-one-core"
    return [
        at_least("delivered a second at 64 sessions: 5 times plain, or 70 % of the disk", delivered,
                 plain("smtp-64", "delivered_per_s"), 5, cap),
        at_least("the same: 10 times mail_crypt, or 70 % of the disk", delivered,
                 crypt("smtp-64", "delivered_per_s"), 10, cap),
        at_most("processor ms a letter, with the next login: half of plain", ours("smtp-64", "whole_cpu_ms"),
                times(plain("smtp-64", "cpu_ms_per_letter"), 0.5)),
        at_most("the same beside plain Dovecot without Postfix (LMTP)", ours("smtp-64", "whole_cpu_ms"),
                times(plain("lmtp-64", "cpu_ms_per_letter"), 0.5)),
        at_most("the large mailbox listed, s: half of plain", ours("list-after", "list_s"),
                times(plain("list-after", "list_s"), 0.5)),
        at_most("first time, s: no slower than later (within a tenth)", ours("list-first", "list_s"),
                times(ours("list-after", "list_s"), NOISE)),
        at_most("first time, all arrived meanwhile, s: no slower than plain's first", ours("list-arrived", "list_s"),
                plain("list-first", "list_s")),
        at_most(rows.sized("100,000 letters, one core, a rare word and its first 50 envelopes, s"), ours(hundred, "rare_page_s"), 0.05),
        at_most("the same, a frequent word", ours(hundred, "frequent_page_s"), 0.05),
    ]


def lines(rows, ratios):
    """A table; the last lines are of every measure where plain Dovecot is ahead."""
    table = [["target", "bailiwick", "wanted", ""], *named(rows)]
    compared = [(title.strip(), ours, theirs, more) for title, ours, theirs, more in ratios
                if ours and theirs and not title.startswith(ELSEWHERE)]
    ahead = [one for one in compared if (one[1] > one[2]) == one[3] or one[1] == one[2]]
    if not compared:
        return [*table, ["ahead of plain Dovecot on every other measure", "–", "–", verdict(None)]]
    table.append(["ahead of plain Dovecot on every other measure", f"{len(ahead)} of {len(compared)}",
                  f"{len(compared)}", verdict(len(ahead) == len(compared))])
    for one in compared:
        if one not in ahead:
            table.append([f"  behind: {one[0]}", short(one[1]), short(one[2]), verdict(False)])
    return table
