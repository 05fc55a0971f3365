#!/usr/bin/env python3
"""Runs the commands of the README's walk-through, and looks in the output of each block of commands for the lines
that are shown below it.

  walkthrough_test.py README FOLDER_OF_PROGRAMS
"""
import collections
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

readme, programs = sys.argv[1], os.path.abspath(sys.argv[2])
text = open(readme, encoding="utf-8").read()
section = text.split("\n## A walk-through\n", 1)[1].split("\n## ", 1)[0]
blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", section, re.M | re.S)
# After each block of commands a line that says so.
commands = ""
shown = []  # By number of its commands' block: the lines.
for kind, body in blocks:
    if kind == "sh":
        commands += body + f"echo '=== block {len(shown)}'\n"
        shown.append([])
    elif shown:
        shown[-1] += [line for line in body.splitlines() if line]
silent = [number for number, lines in enumerate(shown) if not lines]
if len(shown) < 8 or len(silent) > 1:
    sys.exit("the walk-through was not found in the README, or blocks of commands have no output there")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


for port, free in zip(("7070", "7071", "7072"), free_ports(3)):
    commands = commands.replace(port, str(free))


def form(line):
    """What a line is apart from numbers, ids and spaces."""
    line = re.sub(r"\b(job|img)-[0-9a-f]{32}", r"\1-ID", line)
    line = re.sub(r"blob:[0-9a-f]{32}(@[0-9.]+)?", "blob:LOCATION", line)
    line = re.sub(r"(?<![A-Za-z_/])[0-9]+(\.[0-9]+)?", "N", line)
    return re.sub(r"\s+", " ", line).strip()


with tempfile.TemporaryDirectory(prefix="histeq-walk-") as folder:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HISTEQ_")}
    environment["PATH"] = programs + os.pathsep + environment["PATH"]
    # A group of its own, so that the services end with it.
    shell = subprocess.Popen(["bash", "-euo", "pipefail", "-c", commands], cwd=folder, env=environment,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True)
    try:
        output, _ = shell.communicate(timeout=300)
        status = shell.returncode
    except subprocess.TimeoutExpired:
        status = "none: it took too long"
        output = ""
    finally:
        try:
            os.killpg(shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    print(output)
    if status != 0:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".log"):
                print("---", name)
                print(open(os.path.join(folder, name), encoding="utf-8").read())
        sys.exit(f"the commands ended with {status}")
    parts = re.split(r"^=== block \d+\n", output, flags=re.M)
    missing = []
    for lines, part in zip(shown, parts):
        seen = collections.Counter(form(line) for line in part.splitlines())
        wanted = collections.Counter(form(line) for line in lines)
        missing += [line for line in wanted if seen[line] < wanted[line]]
    if len(parts) != len(shown) + 1 or missing:
        sys.exit("not printed: " + "; ".join(missing))
    left = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if ".part" in name]
    if left:
        sys.exit("left behind: " + ", ".join(left))
print(f"{sum(map(len, shown))} lines as shown")
