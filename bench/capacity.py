"""Writes the figures of one run into docs/capacity.md, between its two marks.

Invariant: a figure is a row of the run, named beside it, or arithmetic on such and on what is
supposed of people, which is listed in the same place; where a row is missing, so is the figure.
"""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs/capacity.md"
BEGIN, END = "<!-- figures: python3 bench/report.py --capacity FILE -->", "<!-- end of figures -->"
SIZES = (10_000, 1_000_000)
DAY_SECONDS = 86400
KIB, GB = 1024, 1e9
QUIET_CORES = 0.3

# What is supposed of people: name, value, what it is. Change them to yours.
SUPPOSED = {
    "letters_10k": (32, "letters of 10 KiB that an account receives a day"),
    "letters_100k": (7.6, "letters of 100 KiB"),
    "letters_5m": (0.4, "letters of 5 MiB"),
    "kept": (20_000, "letters that an account keeps, in the same proportions"),
    "openings": (5, "times a day that an account is opened which was closed, and all of it listed"),
    "logins": (20, "logins with SELECT a day"),
    "fetches": (80, "whole letters fetched a day: each by two devices"),
    "searches": (1, "searches a day"),
    "open_part": (0.2, "of the accounts are open at the busiest time"),
    "sessions": (2, "sessions that an open account has"),
    "peak": (3, "times the mean of the day in its busiest hour"),
    "busy": (0.5, "of each core may be in use then"),
}


def supposed(name):
    """The number alone."""
    return SUPPOSED[name][0]


class Missing(Exception):
    """A row that this run does not have."""


class Figures:
    """Bailiwick's medians; remembers which rows were used."""

    def __init__(self, rows):
        self.rows = rows
        self.used = []

    def value(self, phase, figure, scale=1, unit="", digits=3):
        """A figure of a phase, which is also noted."""
        found = self.rows.median("bailiwick", phase, figure)
        if found is None:
            raise Missing(f"{phase}, {figure}")
        self.used.append((f"`{phase}`, `{figure}`", f"{found:.{digits}g}{unit}"))
        return found * scale

    def per(self, phase, figure, over):
        """A figure of a phase, divided by another."""
        return self.value(phase, figure) / self.value(phase, over, digits=9)


def letters_a_day():
    """Of all sizes."""
    return sum(supposed(f"letters_{size}") for size in ("10k", "100k", "5m"))


def octets_a_day():
    """Of all sizes, as they come."""
    return supposed("letters_10k") * 10 * KIB + supposed("letters_100k") * 100 * KIB + supposed("letters_5m") * 5 * KIB**2


def processor(figures):
    """Seconds of one core that an account needs a day, by cause."""
    milli = 1e-3
    return {
        "letters of 10 KiB, arrived and opened": supposed("letters_10k") * figures.value("smtp-64", "whole_cpu_ms", milli),
        "letters of 100 KiB": supposed("letters_100k") * figures.value("smtp-64-100k", "whole_cpu_ms", milli),
        "letters of 5 MiB": supposed("letters_5m") * figures.value("smtp-64-5m", "whole_cpu_ms", milli),
        "accounts opened and listed": supposed("openings") * supposed("kept")
                                      * figures.per("list-after", "server_cpu_s", "messages"),
        "logins": supposed("logins") * figures.per("logins", "server_cpu_s", "logins"),
        "letters fetched": supposed("fetches") * figures.per("bodies-single", "server_cpu_s", "messages"),
        "searches (as of 100,000 letters)": supposed("searches") * figures.value("search-hundred-one-core", "rare_s"),
    }


def memory(figures):
    """Octets that an account needs at the busiest time, by cause, and those of no account."""
    opened, held = supposed("open_part"), supposed("open_part") * (supposed("sessions") - 1)
    # A small account has so much; a large one so much more for each letter.
    letter = (figures.value("hold-large", "unlocked_kib") - figures.value("hold", "unlocked_kib"))
    letter = max(letter, 0) / figures.value("hold-large", "letters", digits=9)
    closed = figures.value("start-further", "pss_kib") - figures.value("start", "pss_kib")
    return figures.value("hold", "locked_pss_kib") * KIB, {
        "closed": max(closed, 0) * KIB / figures.value("create", "accounts", digits=9),
        "open, with one session": opened * figures.value("hold", "unlocked_kib") * KIB,
        "its letters' rows": opened * supposed("kept") * letter * KIB,
        "further sessions": held * figures.value("hold", "session_kib") * KIB,
    }


def space(figures):
    """Octets on disk that an account needs."""
    mean = octets_a_day() / letters_a_day()
    beside = figures.value("fill-space", "kept_octets_per_letter", digits=4) - figures.rows.result["settings"]["large_octets"]
    return supposed("kept") * (mean + beside)


def amplified(figures):
    """Octets written for each octet that comes, by the sizes' shares."""
    small, large = figures.value("arrive", "written_per_octet"), figures.value("smtp-64-5m", "written_per_octet")
    ten = supposed("letters_10k") * 10 * KIB / octets_a_day()
    # For 100 KiB the worse of the two is taken.
    return ten * small + supposed("letters_100k") * 100 * KIB / octets_a_day() * max(small, large) \
        + supposed("letters_5m") * 5 * KIB**2 / octets_a_day() * large


def number(value):
    """Readable at any size."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def needs(figures):
    """Lines: what, for one account, for each size of cell."""
    peak = supposed("peak") / DAY_SECONDS
    causes = processor(figures)
    core = sum(causes.values())
    base, octets = memory(figures)
    lines = [[f"processor, {cause}, s a day", number(value), *("" for _ in SIZES)] for cause, value in causes.items()]

    def line(title, one, scale, fixed=0):
        lines.append([title, number(one), *(number((one * size + fixed) * scale) for size in SIZES)])

    line("**processor, all, s a day; cores in the busiest hour**", core, peak / supposed("busy"))
    for cause, value in octets.items():
        line(f"memory, {cause}, KiB; GB", value / KIB, KIB / GB)
    line("**memory, all, with that of nobody, KiB; GB**", sum(octets.values()) / KIB, KIB / GB, base / KIB)
    kept = space(figures)
    line("**disk, GB**", kept / GB, 1)
    line("the same where half of each segment may be dead, GB", 2 * kept / GB, 1)
    arrivals = letters_a_day() * peak
    line("letters a second in the busiest hour", arrivals, 1)
    line("**syncs a second then, at most: one for each letter**",
         arrivals * figures.rows.result["syncs_per_letter"]["bailiwick"], 1)
    line("**written a second then, KB; MB**", octets_a_day() * peak * amplified(figures) / 1e3, 1e-3)
    line("**reads of the disk then, if nothing is cached: one for each letter fetched**", supposed("fetches") * peak, 1)
    return lines


def starting(figures):
    """How long a start takes, as a sentence."""
    near = figures.value("start-cold", "opened_s")
    far = figures.value("start-cold-further", "opened_s")
    count = figures.value("create", "accounts", digits=9)
    octets = figures.value("start-cold", "data_octets", digits=4)
    each = max(far - near, 0) / count
    guess = lambda accounts: number(near + each * accounts)
    return (f"A start with a cold cache, until somebody is logged in: {near:.2f} s with {octets / GB:.1f} GB, {far:.2f} s with "
            f"{count:.0f} accounts more. **Extrapolated**, by the difference of the two: {guess(10_000)} s with 10,000 accounts, "
            f"{guess(100_000)} s with 100,000, {guess(1_000_000)} s with 1,000,000.")


def table(lines):
    """Markdown; the first line is the head."""
    head, *body = lines
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *body])


def figures_text(rows):
    """What stands between the marks."""
    figures, about = Figures(rows), rows.result["machine"]
    main = table([["", "one account", *(f"{size:,} accounts" for size in SIZES)], *needs(figures)])
    start = starting(figures)
    used = list(dict.fromkeys(figures.used))
    suppositions = [[number(value), text] for value, text in SUPPOSED.values()]
    at = f"Run of {rows.result['at']}: {about['cores']} × {about['processor']}, {about['disk']}."
    busy = sorted(row["other_cores"] for row in rows.result["rows"] if "other_cores" in row)
    middle = busy[len(busy) // 2]
    others = f"Others kept {middle:.2f} cores busy meanwhile (median)."
    if middle > QUIET_CORES:
        others += " **Not quiet**: take these figures for too large, and make them again."
    return "\n\n".join([
        f"{at} {others}", "### Supposed of people", table([["", ""], *suppositions]),
        "### Needed", main, start, "### Measured", table([["row", "median"], *used])])


def write(rows):
    """Puts the figures where the page has its marks."""
    page = PAGE.read_text()
    try:
        text = figures_text(rows)
    except Missing as missing:
        raise SystemExit(f"this run has no {missing}; run all groups with bailiwick") from missing
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE.name} has lost its marks")
    PAGE.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", page))
