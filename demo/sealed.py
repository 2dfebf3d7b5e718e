"""Looks for what must not be there: known words of known letters, in files and in memory."""

import os
import re
from pathlib import Path

from stage import Stage

CHUNK = 1 << 24


def words_in(octets: bytes, words: list[bytes]) -> set[bytes]:
    pattern = re.compile(b"|".join(map(re.escape, words)))
    return set(pattern.findall(octets))


def in_files(folder: Path, words: list[bytes]) -> dict[str, set[bytes]]:
    """The words found, by file. A word may lie across two reads."""
    overlap = max(map(len, words))
    found: dict[str, set[bytes]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        with open(path, "rb") as file:
            tail = b""
            while block := file.read(CHUNK):
                hits = words_in(tail + block, words)
                if hits:
                    found.setdefault(str(path), set()).update(hits)
                tail = block[-overlap:]
    return found


def in_memory(pid: int, words: list[bytes]) -> set[bytes]:
    """The words found in what a process holds; needs to be root, as a thief of a host would be."""
    found: set[bytes] = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in place.split("-"))
            while start < end:
                size = min(CHUNK, end - start)
                try:
                    memory.seek(start)
                    found |= words_in(memory.read(size), words)
                except (OSError, ValueError, OverflowError):
                    pass
                start += size
    return found


def promise_absent(stage: Stage, folders: list[Path], words: list[str]) -> None:
    """Checks first that looking finds: a check that cannot fail is none."""
    probe = stage.root / "probe"
    probe.write_bytes(b"x" * (CHUNK - 5) + words[0].encode() + b"y")
    sought = [word.encode() for word in words]
    stage.promise(in_files(stage.root, sought).get(str(probe)), "a known word in a file is found when it is there")
    probe.unlink()
    for folder in folders:
        found = in_files(folder, sought)
        stage.promise(not found, f"none of {len(words)} known words is in any file of {folder.name}/" +
                      (f" but {found}" if found else ""))


def promise_forgotten(stage: Stage, pid: int, words: list[str]) -> None:
    if os.geteuid() != 0:
        stage.say("not root: memory is not looked at")
        return
    found = in_memory(pid, [word.encode() for word in words])
    stage.promise(not found, f"after logout none of {len(words)} known words is in the server's memory" +
                  (f" but {sorted(found)[:3]}" if found else ""))
