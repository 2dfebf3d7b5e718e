"""The tables: medians of one run, Bailiwick beside each peer as a ratio, and the targets.

Invariant: a ratio above 1 always means that Bailiwick is the quicker or the thriftier one; a value
with `~` is of a smaller mailbox, times as much.
`python3 bench/report.py FILE…` prints the tables of earlier runs; `--capacity` before a FILE writes its
figures into docs/capacity.md.
"""

import json
import pathlib
import statistics
import sys

import capacity
import targets
from rows import Rows

SESSIONS = (1, 8, 64, 256)
# Title, phase, the peers' phase if it is another, figure, whether more is better (None: no ratio).
LINES = [
    *((f"letters delivered a second, SMTP, {n} session{'s'[: n > 1]}", f"smtp-{n}", None, "delivered_per_s", True)
      for n in SESSIONS),
    *((f"the same beside LMTP straight into Dovecot, {n}", f"smtp-{n}", f"lmtp-{n}", "delivered_per_s", True)
      for n in SESSIONS),
    *((f"letters of {size} delivered a second, SMTP, {n}", f"smtp-{n}-{name}", None, "delivered_per_s", True)
      for size, name in (("100 KiB", "100k"), ("5 MiB", "5m")) for n in SESSIONS),
    *((f"processor ms for a letter, SMTP, {n}", f"smtp-{n}", None, "cpu_ms_per_letter", False) for n in SESSIONS),
    ("processor ms for a letter, beside LMTP alone, 64", "smtp-64", "lmtp-64", "cpu_ms_per_letter", False),
    ("processor ms for a letter at the next login, after SMTP 64", "smtp-64", None, "login_cpu_ms_per_letter", False),
    ("processor ms for a letter, with the next login, SMTP 64", "smtp-64", None, "whole_cpu_ms", False),
    ("processor ms for a letter of 5 MiB, SMTP, 64", "smtp-64-5m", None, "cpu_ms_per_letter", False),
    ("login, SELECT, FETCH 1:* (FLAGS ENVELOPE), first, s", "list-first", None, "list_s", False),
    ("the same when all of it arrived while nobody was logged in, s", "list-arrived", "list-first", "list_s", False),
    ("the same again, s", "list-after", None, "list_s", False),
    ("  of that, login and SELECT, s", "list-after", None, "open_s", False),
    ("the same after a restart, cold cache, s", "list-cold", None, "list_s", False),
    ("500,000: first, s", "list-huge-first", None, "list_s", False),
    ("500,000: again, s", "list-huge-after", None, "list_s", False),
    ("500,000: after a restart, cold cache, s", "list-huge-cold", None, "list_s", False),
    ("SEARCH BODY, a rare word, first after login, s", "search", None, "rare_s", False),
    ("the same, a frequent word, s", "search", None, "frequent_s", False),
    ("the same, a word in no letter, s", "search", None, "none_s", False),
    ("the same, a phrase of rare words, s", "search", None, "phrase_s", False),
    ("the same, a phrase of common words, s", "search", None, "common_phrase_s", False),
    *((f"{many}, {core}: {what}, s", phase, None, figure, False)
      for many, core, phase in (("100,000", "one core", "search-hundred-one-core"), ("500,000", "all cores", "search-huge"))
      for what, figure in (("a rare word", "rare_s"), ("a rare word with the first 50 envelopes", "rare_page_s"),
                           ("a frequent word with the first 50 envelopes", "frequent_page_s"),
                           ("a phrase of rare words", "phrase_s"), ("a phrase of common words", "common_phrase_s"))),
    ("a flag set on a fifth of the mailbox, s", "changes", None, "flag_s", False),
    ("a fifth of the mailbox expunged, s", "changes", None, "expunge_s", False),
    ("  of its space, returned to the disk within 10 s, MB", "changes-space", None, "disk_octets_returned/1e6", None),
    ("  of its space, no longer held by records, MB", "changes-space", None, "kept_octets_returned/1e6", None),
    ("whole letters in one FETCH, MB/s", "bodies-bulk", None, "mb_per_s", True),
    ("whole letters one by one, MB/s", "bodies-single", None, "mb_per_s", True),
    ("whole letters in one FETCH, cold cache, MB/s", "bodies-cold", None, "mb_per_s", True),
    ("1 KiB out of attachments of 5 MiB, a second", "parts", None, "reads_per_s", True),
    ("logins with SELECT a second, 8 at once", "logins", None, "logins_per_s", True),
    ("memory, nobody logged in, MiB", "hold", None, "locked_pss_kib/1024", False),
    ("memory of an account, open in one session, KiB", "hold", None, "unlocked_kib", False),
    ("memory of each further session, waiting, KiB", "hold", None, "session_kib", False),
    ("memory after all have left, MiB", "hold", None, "left_pss_kib/1024", False),
    ("octets on disk for a letter of 4 KiB, appended", "fill-space", None, "disk_octets_per_letter", False),
    ("  of that, in records", "fill-space", None, "kept_octets_per_letter", None),
    ("octets written for each octet, 4 KiB appended", "fill", None, "written_per_octet", False),
    ("the same, 4 KiB over SMTP to somebody who is away", "arrive", None, "written_per_octet", None),
    ("the same, 10 KiB over SMTP, 1", "smtp-1", None, "written_per_octet", False),
    ("the same, 10 KiB over SMTP, 64", "smtp-64", None, "written_per_octet", False),
    ("the same, 5 MiB over SMTP, 64", "smtp-64-5m", None, "written_per_octet", False),
    ("from the start until somebody is logged in, s", "start", None, "opened_s", False),
    ("the same, cold cache, s", "start-cold", None, "opened_s", False),
    ("accounts made a second", "create", None, "accounts_per_s", None),
]
QUIET_CORES = 0.3


def shown(value):
    """Three digits."""
    return "–" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(rows, server, phase, figure):
    """The middle and, if there are several, the smallest and the largest."""
    values = rows.values(server, phase, figure)
    if not values:
        return "–"
    mark = "~" if rows.is_scaled(server, phase) else ""
    middle = mark + shown(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({shown(min(values))}–{shown(max(values))})"


def ratio(ours, theirs, more_is_better):
    """How many times as good ours is."""
    if more_is_better is None or not ours or not theirs:
        return "–"
    return f"{ours / theirs if more_is_better else theirs / ours:.2f}"


def markdown(lines):
    """A table; the first line is its head."""
    head, *body = lines
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *body])


def table(rows):
    """A line for each figure that was measured."""
    peers = [name for name in rows.result["versions"] if name != "bailiwick"]
    lines = [["", "bailiwick", *peers, *(f"× {peer}" for peer in peers)]]
    for title, phase, peers_phase, figure, more in LINES:
        ours = rows.median("bailiwick", phase, figure)
        theirs = [rows.median(peer, peers_phase or phase, figure) for peer in peers]
        if ours is None and not any(theirs):
            continue
        lines.append([rows.sized(title), spread(rows, "bailiwick", phase, figure),
                      *(spread(rows, peer, peers_phase or phase, figure) for peer in peers),
                      *(ratio(ours, value, more) for value in theirs)])
    return markdown(lines)


def bounds(rows):
    """What the disk and the cipher allow."""
    lines = [["what the machine allows", ""]]
    disk = [
        ("blocks of 4 KiB written and synced, one by one, a second", "syncs_per_s"),
        ("letters of 100 KiB, 64 for each sync, a second", "letters_100k_per_s"),
        ("letters of 5 MiB, 64 for each sync, a second", "letters_5m_per_s"),
        ("64 MiB for each sync, MB/s", "mb_per_s"),
        ("blocks of 4 KiB read from random places, one by one, a second", "reads_per_s"),
    ]
    lines += [[f"letters of 10 KiB, {n} for each sync, a second", shown(rows.disk("letters_per_s", str(n)))]
              for n in SESSIONS]
    lines += [[title, shown(rows.disk(name))] for title, name in disk]
    lines.append(["AES-256-GCM, one core, pieces of 16 KiB, MB/s", shown(rows.limit("aes_256_gcm_mb_per_s"))])
    return markdown(lines)


def conditions(rows):
    """What the reader must know before believing the table."""
    result = rows.result
    about, settings = result["machine"], result["settings"]
    lines = [
        f"{result['at']}: {about['cores']} × {about['processor']}, {about['memory_mib']} MiB, {about['disk']}, "
        f"Linux {about['kernel']}, Debian {about['debian']}; {settings.get('seconds', 0) // 60} minutes",
        *(f"{name}: {version}; {result['syncs_per_letter'][name]} syncs a letter, one by one"
          for name, version in result["versions"].items()),
        f"{settings['runs']} run(s): medians (smallest–largest); the large mailbox holds {settings['letters']} "
        f"letters of {settings['large_octets']} octets, the others are of {settings['octets']} where nothing is said",
    ]
    scaled = {row["server"]: row["letters"] for row in result["rows"]
              if row["phase"] == "list-first" and row.get("letters", settings["letters"]) != settings["letters"]}
    lines += [f"~ {name}: its large mailbox holds {letters}; the values are multiplied" for name, letters in scaled.items()]
    others = [row["other_cores"] for row in result["rows"] if "other_cores" in row]
    middle = statistics.median(others)
    lines.append(f"others kept {middle:.2f} cores busy meanwhile (median; largest {max(others):.2f})")
    if middle > QUIET_CORES:
        lines.append("NOT QUIET: take the ratios with care, and repeat")
    if settings["quick"]:
        lines.append("QUICK: a smoke run, too short to quote")
    return "\n".join(lines)


def text(result):
    """The whole report."""
    rows = Rows(result)
    ratios = [(rows.sized(title), rows.median("bailiwick", phase, figure), rows.median("dovecot", peers_phase or phase, figure), more)
              for title, phase, peers_phase, figure, more in LINES if more is not None]
    parts = [conditions(rows), table(rows)]
    if "limits" in result:
        parts += [bounds(rows), markdown(targets.lines(rows, ratios))]
    return "\n" + "\n\n".join(parts) + "\n"


def main():
    """The command line."""
    words = sys.argv[1:]
    writes = "--capacity" in words
    for name in words:
        if name.startswith("--"):
            continue
        result = json.loads(pathlib.Path(name).read_text())
        if writes:
            capacity.write(Rows(result))
        else:
            print(text(result))


if __name__ == "__main__":
    main()
