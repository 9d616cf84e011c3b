#!/usr/bin/env python3
"""Draws docs/quickstart.svg and docs/watch.svg from what the programs really show.

usage: scripts/pictures.py

It builds both, starts a redis-server of its own, gives it some locks, and lets `redis-locked watch` run in a
terminal that it keeps in memory. Needs cargo, redis-server and python3, and a Unix.
"""

import fcntl
import html
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 8.4, 19  # of a character, in pixels
COLOURS = {31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 36: "#79c0ff"}
PAPER, INK, FAINT = "#0d1117", "#e6edf3", "#8b949e"


@dataclass(frozen=True)
class Style:
    colour: str = INK
    bold: bool = False
    dim: bool = False
    reverse: bool = False


@dataclass
class Screen:
    """As much of a terminal as the programs use."""

    columns: int
    lines: int
    row: int = 0
    column: int = 0
    style: Style = Style()
    cells: dict = field(default_factory=dict)

    ESCAPE = re.compile(r"\x1b(?:\[([?0-9;]*)([A-Za-z])|[()][A-Z0-9]|[=>78])")

    def write(self, text: str) -> str:
        """Takes in what was written; gives back the beginning of an escape that is not whole yet."""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = self.ESCAPE.match(text, at)
                if not found:
                    return text[at:]
                self.obey(found.group(1) or "", found.group(2) or "")
                at = found.end()
                continue
            self.put(text[at])
            at += 1
        return ""

    def put(self, sign: str) -> None:
        if sign == "\n":
            self.row += 1
        elif sign == "\r":
            self.column = 0
        elif sign >= " ":
            self.cells[self.row, self.column] = (sign, self.style)
            self.column += 1

    def obey(self, arguments: str, command: str) -> None:
        if arguments.startswith("?"):
            return
        numbers = [int(number or 0) for number in arguments.split(";")]
        if command in "Hf":
            numbers += [1, 1]
            self.row, self.column = max(numbers[0], 1) - 1, max(numbers[1], 1) - 1
        elif command == "J":
            self.cells.clear()
        elif command == "K":
            self.cells = {at: cell for at, cell in self.cells.items() if at[0] != self.row or at[1] < self.column}
        elif command in "ABCD":
            step = max(numbers[0], 1)
            self.row += {"A": -step, "B": step}.get(command, 0)
            self.column += {"C": step, "D": -step}.get(command, 0)
        elif command == "m":
            self.dress(numbers)

    def dress(self, numbers: list) -> None:
        # 38;5;N is one of 256 colours, of which the first sixteen are the plain ones.
        while numbers:
            number, *numbers = numbers
            if number == 38 and numbers[:1] == [5]:
                number, numbers = {1: 31, 2: 32, 3: 33, 6: 36}.get(numbers[1], 39), numbers[2:]
            elif number == 48 and numbers[:1] == [5]:
                numbers = numbers[2:]
                continue
            changes = {
                0: lambda _: Style(),
                1: lambda style: replace(style, bold=True),
                2: lambda style: replace(style, dim=True),
                7: lambda style: replace(style, reverse=True),
                22: lambda style: replace(style, bold=False, dim=False),
                27: lambda style: replace(style, reverse=False),
                39: lambda style: replace(style, colour=INK),
            }
            if number in COLOURS:
                self.style = replace(self.style, colour=COLOURS[number])
            elif number in changes:
                self.style = changes[number](self.style)

    def text(self) -> str:
        line = lambda row: "".join(self.cells.get((row, column), (" ",))[0] for column in range(self.columns))
        return "\n".join(line(row).rstrip() for row in range(self.lines))

    def svg(self, label: str) -> str:
        wide, high = self.columns * WIDTH + 24, self.lines * HEIGHT + 24
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}" role="img" '
            f'aria-label="{html.escape(label)}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">',
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
        ]
        for row in range(self.lines):
            parts += self.runs(row)
        return "\n".join([*parts, "</svg>", ""])

    def runs(self, row: int) -> list:
        """The texts of a line, each in one style, without the blanks around them."""
        parts, column = [], 0
        while column < self.columns:
            sign, style = self.cells.get((row, column), (" ", Style()))
            text, start = sign, column
            column += 1
            while column < self.columns and self.cells.get((row, column), (" ", Style()))[1] == style:
                text += self.cells.get((row, column), (" ", style))[0]
                column += 1
            colour = FAINT if style.dim else style.colour
            weight = ' font-weight="bold"' if style.bold else ""
            # Without the blanks between the columns, of which some readers make one.
            for words in re.finditer(r"\S+(?: \S+)*", text):
                x, y = 12 + (start + words.start()) * WIDTH, 12 + row * HEIGHT + 14
                length = len(words.group()) * WIDTH
                parts.append(
                    f'<text x="{x:.1f}" y="{y}" fill="{colour}"{weight} textLength="{length:.1f}">'
                    f"{html.escape(words.group())}</text>"
                )
        return parts


def build(*arguments: str) -> str:
    """Builds a program, and says where it is."""
    command = ["cargo", "build", "--message-format", "json", *arguments]
    built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    programs = re.findall(r'"executable":"([^"]+)"', built.stdout)
    return programs[-1]


class Redis:
    """A server of the picture's own."""

    def __init__(self, place: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", place]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port))
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("pictures.py: redis-server does not start")

    def ask(self, *words: str) -> bytes:
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words))
        answer = self.socket.recv(4096)
        if answer.startswith(b"-"):
            sys.exit(f"pictures.py: {words}: {answer.decode()}")
        return answer

    def hold(self, key: str, owner: str, seconds: int, fence: int = 0, token: str = "abcdefghij-_ABCDEFGHIJ") -> None:
        self.ask("SET", key, f"{token};{owner}", "EX", str(seconds))
        if fence:
            self.ask("SET", f"{{{key}}}:fence", str(fence), "EX", "86400")


def show(screen: Screen, command: list, events: list) -> None:
    """Runs a command in a terminal, and does each of the events after so many seconds."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm-256color", NO_COLOR="")
        os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", screen.lines, screen.columns, 0, 0))
    rest, started = "", time.monotonic()
    for after, event in events:
        while (left := started + after - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                try:
                    written = os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    break
                rest = screen.write(rest + written)
        event(terminal)
    os.close(terminal)
    os.waitpid(process, 0)


def watch(tool: str) -> Screen:
    screen = Screen(columns=92, lines=13)
    with tempfile.TemporaryDirectory() as place:
        redis = Redis(place)
        try:
            redis.hold("nightly:2026-11-28", "cron-1:4711", 58, 1795399824940345)
            redis.hold("invoice:1", "web-1:812", 27)
            redis.hold("invoice:7", "web-2:90", 9)
            redis.hold("report:acme", "web-3:77", 12, 1795399824940999)
            redis.hold("consumer:orders", "orders-1:31", 8)

            def change(_terminal):
                redis.hold("invoice:9", "web-1:812", 30)
                redis.hold("report:acme", "web-1:812", 20, 1795399825150001, "ABCDEFGHIJ-_abcdefghij")
                redis.hold("consumer:orders", "orders-1:31", 10)
                redis.ask("DEL", "invoice:7")

            keep = []
            events = [(1.5, change), (2.6, lambda _: keep.append(Screen(**vars(screen) | {"cells": dict(screen.cells)})))]
            events += [(2.7, lambda terminal: os.write(terminal, b"q")), (3.2, lambda _: None)]
            url = f"redis://127.0.0.1:{redis.port}"
            show(screen, [tool, "watch", "--interval", "100ms", "--url", url], events)
        finally:
            redis.process.terminate()
            redis.process.wait()
    return keep[0]


def quickstart(program: str) -> Screen:
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    shown = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    # The chart alone: what is above it, the log, says the same.
    lines = shown.rstrip().split("\n")
    start = next(at for at, line in enumerate(lines) if re.match(r" {17}0 +\d+ ms", line))
    lines = lines[start:]
    screen = Screen(columns=max(map(len, lines)) + 1, lines=len(lines))
    screen.write("\r\n".join(lines))
    return screen


def draw(name: str, screen: Screen, label: str, parts: list) -> None:
    missing = [part for part in parts if part not in screen.text()]
    if missing:
        sys.exit(f"pictures.py: {name} shows no {missing}:\n{screen.text()}")
    (ROOT / "docs" / name).write_text(screen.svg(label))
    print(f"docs/{name}")


def main() -> None:
    tool = build("--package", "redis-locked-cli", "--all-features")
    program = build("--example", "quickstart", "--all-features")
    label = "Six workers, two reports, a lock for each: one runs at a time, others try again or give up"
    draw("quickstart.svg", quickstart(program), label, ["anna", "ran at once", "gave up", "█", "·"])
    label = "redis-locked watch: locks with owner, time left and number; changes are marked"
    draw("watch.svg", watch(tool), label, ["5 held", "+ invoice:9", "~ report:acme", "- invoice:7", "gone", "q quit"])


if __name__ == "__main__":
    main()
