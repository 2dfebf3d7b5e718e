"""What the disk and the cipher allow, measured beside the servers: nothing of any server is in it.

Invariant: what is written is overwritten in place, where the file system has nothing to note but
data; a server that does as much for each sync cannot be quicker. Refs: docs/bench.md.
"""

import mmap
import os
import random
import re
import subprocess
import time

OCTETS = 10240
BLOCK = 4096
FILE_OCTETS = 384 << 20
SECONDS = 1.0


def rate(step, seconds=SECONDS):
    """How often a step is done in a second."""
    count, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        step(count)
        count += 1
    return count / passed


def syncs(file, octets):
    """Writes of so many octets a second, each synced before the next."""
    data, places = os.urandom(octets), FILE_OCTETS // octets

    def step(count):
        os.pwrite(file, data, count % places * octets)
        os.fdatasync(file)

    return rate(step)


def reads(path):
    """Blocks a second from random places, one at a time, past the cache; nothing where that cannot be."""
    block = mmap.mmap(-1, BLOCK)
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return None
    try:
        return rate(lambda _: os.preadv(file, [block], random.randrange(FILE_OCTETS // BLOCK) * BLOCK))
    finally:
        os.close(file)


def disk(folder):
    """Syncs, letters in groups for each sync, octets in a row, and reads."""
    path = folder / "disk"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for at in range(0, FILE_OCTETS, 1 << 20):
            os.pwrite(file, bytes(1 << 20), at)
        os.fsync(file)
        return {
            "syncs_per_s": round(syncs(file, BLOCK)),
            # As many letters as there are sessions, then one sync: each session waits for its letter.
            "letters_per_s": {str(sessions): round(sessions * syncs(file, sessions * OCTETS))
                              for sessions in (1, 8, 64, 256)},
            "letters_100k_per_s": round(64 * syncs(file, 64 * OCTETS * 10)),
            "letters_5m_per_s": round(64 * syncs(file, 64 * (5 << 20)), 1),
            "mb_per_s": round(syncs(file, 64 << 20) * (64 << 20) / 1e6),
            "reads_per_s": (found := reads(path)) and round(found),
        }
    finally:
        os.close(file)
        path.unlink()


def cipher():
    """Megaoctets a second that one core seals, in pieces of 16 KiB."""
    done = subprocess.run(["openssl", "speed", "-evp", "aes-256-gcm", "-bytes", "16384", "-seconds", "1"],
                          capture_output=True, text=True, check=False)
    found = re.search(r"^AES-256-GCM\s+([0-9.]+)k", done.stdout, re.MULTILINE | re.IGNORECASE)
    return {"aes_256_gcm_mb_per_s": round(float(found[1]) / 1e3) if found else None}


def all_limits(folder):
    """One value, for the row."""
    return {"disk": disk(folder), **cipher()}
