#!/usr/bin/env python3
"""Checks that the documents name what the code has: flags, limits, reasons, RPCs. Exit code 1 when something is missing.

    check_docs.py ROOT FOLDER_OF_PROGRAMS
"""

import pathlib
import re
import subprocess
import sys

import sources

PROGRAMS = ("histeq-frontend", "histeq-coordinator", "histeq-worker", "histeq")
# Said once for all programs, or explained by every --help.
FLAGS_OF_EVERY_PROGRAM = {"--help", "--version"}

REASON = re.compile(r"^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$")
# UPPER_SNAKE literals that are no reasons: environment variables, gRPC's code names, enum prefixes, SQL and the like.
NOT_A_REASON = re.compile(
    r"^(HISTEQ_.*|NO_COLOR|LD_LIBRARY_PATH|[A-Z]+SAN_OPTIONS|LC_.*|NOT_SERVING|JOB_STATE_.*|JOB_STAGE_.*|IMAGE_FORMAT_.*|CHANNEL_.*|METHOD_.*|COLOR_.*"
    r"|INVALID_ARGUMENT|NOT_FOUND|ALREADY_EXISTS|PERMISSION_DENIED|RESOURCE_EXHAUSTED|FAILED_PRECONDITION|OUT_OF_RANGE"
    r"|DATA_LOSS|DEADLINE_EXCEEDED)$")
ROW = re.compile(r"^\|\s*`([A-Z][A-Z0-9_]*)`\s*\|", re.MULTILINE)


def reasons_in_code(root):
    """reason -> where it stands first."""
    found = {}
    for file in sources.product_files(root):
        for line, value in sources.string_literals(file.read_text(encoding="utf-8")):
            if REASON.match(value) and not NOT_A_REASON.match(value):
                found.setdefault(value, f"{file.relative_to(root).as_posix()}:{line}")
    return found


def flags(help_text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", help_text))


def help_of(program, *subcommand):
    run = subprocess.run([program, *subcommand, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=60, check=False)
    if run.returncode != 0:
        raise SystemExit(f"{program} {' '.join(subcommand)} --help ended with {run.returncode}:\n{run.stdout}")
    return run.stdout


def subcommands(help_text):
    """Names below a "Subcommands:" heading."""
    match = re.search(r"^Subcommands:\n((?:[ \t]+.*\n|\n)+)", help_text, re.MULTILINE)
    return re.findall(r"^  ([a-z][a-z-]*)\b", match.group(1), re.MULTILINE) if match else []


def missing_reasons(root):
    documented = set(ROW.findall((root / "docs/errors.md").read_text(encoding="utf-8")))
    in_code = reasons_in_code(root)
    for reason, where in sorted(in_code.items()):
        if reason not in documented:
            yield f"{where}: {reason} has no row in docs/errors.md"
    for reason in sorted(documented - set(in_code)):
        yield f"docs/errors.md: {reason} is not in the code"


def missing_flags(root, programs):
    limits = (root / "docs/limits.md").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    known = flags(limits) | flags(readme)
    for name in PROGRAMS:
        text = help_of(programs / name)
        texts = [text] + [help_of(programs / name, command) for command in subcommands(text)]
        for flag in sorted(set().union(*map(flags, texts)) - known - FLAGS_OF_EVERY_PROGRAM):
            yield f"{name} {flag}: neither in docs/limits.md nor in README.md"


def missing_recipes(root):
    contract = (root / "proto/histeq/v1/frontend.proto").read_text(encoding="utf-8")
    service = contract[contract.index("service Frontend"):]
    service = service[:service.index("\n}")]
    readme = (root / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"^\s+rpc\s+(\w+)\s*\(", service, re.MULTILINE):
        if f"histeq.v1.Frontend/{name}" not in readme:
            yield f"README.md: no recipe for {name}"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    programs = pathlib.Path(sys.argv[2]).resolve()
    found = [*missing_reasons(root), *missing_flags(root, programs), *missing_recipes(root)]
    print("\n".join(found) if found else "nothing missing")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
