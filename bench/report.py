"""The table: medians of one run, and Bailiwick beside each peer as a ratio.

Invariant: a ratio above 1 always means that Bailiwick is the quicker or the thriftier one.
`python3 bench/report.py FILE…` prints the tables of earlier runs.
"""

import json
import statistics
import sys

# Title, phase, the peers' phase if it is another, figure, whether more is better.
LINES = [
    *((f"letters delivered a second, SMTP, {n} session{'s'[: n > 1]}", f"smtp-{n}", None, "delivered_per_s", True)
      for n in (1, 8, 64)),
    *((f"the same beside LMTP straight into Dovecot, {n}", f"smtp-{n}", f"lmtp-{n}", "delivered_per_s", True)
      for n in (1, 8, 64)),
    *((f"processor ms for a letter, SMTP, {n}", f"smtp-{n}", None, "cpu_ms_per_letter", False) for n in (1, 64)),
    ("processor ms for a letter, beside LMTP alone, 64", "smtp-64", "lmtp-64", "cpu_ms_per_letter", False),
    ("processor ms for a letter at the next login, after SMTP 64", "smtp-64", None, "login_cpu_ms_per_letter", False),
    ("login, SELECT, FETCH 1:* (FLAGS ENVELOPE), first, s", "list-first", None, "list_s", False),
    ("the same when all of it arrived while nobody was logged in, s", "list-arrived", "list-first", "list_s", False),
    ("the same again, s", "list-after", None, "list_s", False),
    ("  of that, login and SELECT, s", "list-after", None, "open_s", False),
    ("SEARCH BODY, a rare word, first after login, s", "search", None, "rare_s", False),
    ("the same, a frequent word, s", "search", None, "frequent_s", False),
    ("the same, a phrase, s", "search", None, "phrase_s", False),
    ("whole letters in one FETCH, MB/s", "bodies-bulk", None, "mb_per_s", True),
    ("whole letters one by one, MB/s", "bodies-single", None, "mb_per_s", True),
    ("logins with SELECT a second, 8 at once", "logins", None, "logins_per_s", True),
]
QUIET_CORES = 0.3


def figures(result, server, phase, figure):
    """All values measured."""
    rows = [row for row in result["rows"] if row["server"] == server and row["phase"] == phase]
    if figure == "open_s":
        return [row["login_s"] + row["select_s"] for row in rows]
    return [row[figure] for row in rows]


def shown(value):
    """Three digits."""
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def median(result, server, phase, figure):
    """The middle of the values, or nothing."""
    values = figures(result, server, phase, figure)
    return statistics.median(values) if values else None


def spread(result, server, phase, figure):
    """The middle and, if there are several, the smallest and the largest."""
    values = figures(result, server, phase, figure)
    if not values:
        return "–"
    middle = shown(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({shown(min(values))}–{shown(max(values))})"


def ratio(ours, theirs, more_is_better):
    """How many times as good ours is."""
    if ours is None or theirs is None or not ours or not theirs:
        return "–"
    return f"{ours / theirs if more_is_better else theirs / ours:.2f}"


def table(result):
    """Markdown, a line for each figure."""
    peers = [name for name in result["versions"] if name != "bailiwick"]
    head = ["", "bailiwick", *peers, *(f"× {peer}" for peer in peers)]
    lines = [head, ["---"] * len(head)]
    for title, phase, peers_phase, figure, more in LINES:
        ours = median(result, "bailiwick", phase, figure)
        theirs = [median(result, peer, peers_phase or phase, figure) for peer in peers]
        lines.append([title, spread(result, "bailiwick", phase, figure),
                      *(spread(result, peer, peers_phase or phase, figure) for peer in peers),
                      *(ratio(ours, value, more) for value in theirs)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def conditions(result):
    """What the reader must know before believing the table."""
    about, settings = result["machine"], result["settings"]
    lines = [
        f"{result['at']}: {about['cores']} × {about['processor']}, {about['memory_mib']} MiB, {about['disk']}, "
        f"Linux {about['kernel']}, Debian {about['debian']}",
        *(f"{name}: {version}; {result['syncs_per_letter'][name]} syncs a letter, one by one"
          for name, version in result["versions"].items()),
        f"{settings['runs']} run(s): medians (smallest–largest); the large mailbox holds {settings['letters']} "
        f"letters of {settings['large_octets']} octets, the others are of {settings['octets']}",
    ]
    others = [row["other_cores"] for row in result["rows"]]
    middle = statistics.median(others)
    lines.append(f"others kept {middle:.2f} cores busy meanwhile (median; largest {max(others):.2f})")
    if middle > QUIET_CORES:
        lines.append("NOT QUIET: take the ratios with care, and repeat")
    if settings["quick"]:
        lines.append("QUICK: a smoke run, too short to quote")
    return "\n".join(lines)


def text(result):
    """The whole report."""
    return f"\n{conditions(result)}\n\n{table(result)}\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as file:
            print(text(json.load(file)))
