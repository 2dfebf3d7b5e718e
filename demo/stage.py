"""Where the demo runs: its folder, its commands, its promises.

Every command is printed before it is run, so that a person can type it. Every promise is checked
by looking at what came out, and a broken one ends the demo with exit status 1.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


class Broken(Exception):
    """A promise did not hold."""


class Stage:
    def __init__(self, root: Path, binaries: Path, quiet: bool):
        self.root, self.binaries, self.quiet = root, binaries, quiet
        self.running: list[tuple[str, subprocess.Popen]] = []
        self.promises = 0
        # Other people's programs find the cells' names here; the machine's own files stay as they are.
        self.names = {"LD_PRELOAD": "libnss_wrapper.so", "NSS_WRAPPER_HOSTS": str(root / "hosts")}
        if root.exists():
            shutil.rmtree(root)
        root.mkdir(parents=True, mode=0o700)

    def title(self, text: str) -> None:
        print(f"\n== {text}", flush=True)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def promise(self, held: object, text: str) -> None:
        """Ends the demo if the promise did not hold."""
        if not held:
            raise Broken(text)
        self.promises += 1
        print(f"   ok  {text}", flush=True)

    def program(self, name: str) -> str:
        """One of ours from the build, anyone else's from the path."""
        ours = self.binaries / name
        return str(ours) if ours.exists() else name

    def run(self, *words: str, stdin: str | bytes = b"", fails: str = "", show: bool = True,
            env: dict[str, str] | None = None) -> str:
        """Prints and runs a command in the demo's folder; its standard output.

        With `fails` it must fail, and say so in these words: a failure for another reason shows nothing.
        """
        if show:
            print(f"   $ {shlex.join(words)}", flush=True)
        octets = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([self.program(words[0]), *words[1:]], input=octets, cwd=self.root,
                              capture_output=True, timeout=120, env={**os.environ, **(env or {})})
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if (done.returncode != 0) != bool(fails) or fails not in out + err:
            wanted = f"fail with `{fails}`" if fails else "succeed"
            raise Broken(f"`{shlex.join(words)}` did not {wanted}:\n{out}{err}")
        if show and not self.quiet:
            for line in (out + err).splitlines()[:40]:
                print(f"     {line[:200]}")
        return out + err if fails else out

    def json(self, *words: str, **options) -> dict:
        return json.loads(self.run(*words, **options))

    def start(self, *words: str, name: str) -> subprocess.Popen:
        print(f"   $ {shlex.join(words)} &", flush=True)
        log = open(self.root / f"{name}.log", "ab")
        process = subprocess.Popen([self.program(words[0]), *words[1:]], cwd=self.root,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append((name, process))
        return process

    def stop(self, process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGTERM)
        self.promise(process.wait(timeout=60) == 0, "it stopped cleanly")
        self.running = [(name, other) for name, other in self.running if other is not process]

    def stop_all(self) -> None:
        for _, process in self.running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for _, process in self.running:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()

    def wait_for_port(self, host: str, port: int, process: subprocess.Popen) -> None:
        for _ in range(600):
            if process.poll() is not None:
                raise Broken(f"a server stopped at its start; see the logs in {self.root}")
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
                return
            time.sleep(0.1)
        raise Broken(f"nothing answers at {host}:{port}")

    def until(self, what: str, condition, seconds: int = 60):
        """Asks again until the condition gives something true."""
        for _ in range(seconds * 10):
            answer = condition()
            if answer:
                return answer
            time.sleep(0.1)
        raise Broken(f"it did not come to be: {what}")


def fail(text: str) -> None:
    print(f"\nBROKEN: {text}", file=sys.stderr, flush=True)
