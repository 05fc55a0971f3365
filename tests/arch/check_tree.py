#!/usr/bin/env python3
"""Checks who includes whom, and what product code may not contain. Prints each breach; exit code 1 when there is one.

    check_tree.py ROOT
"""

import pathlib
import re
import sys

import sources

# Which folders a folder may include from. Arrows point down only (ARCHITECTURE.md).
ALLOWED = {
    "libs/base": {"libs/base"},
    "libs/histeq": {"libs/histeq"},
    "libs/codec": {"libs/codec", "libs/base"},
    "libs/store": {"libs/store", "libs/base"},
    "libs/resize": {"libs/resize", "libs/base"},
    "libs/engine": {"libs/engine", "libs/codec", "libs/resize", "libs/histeq", "libs/base"},
    "libs/rpc": {"libs/rpc", "libs/engine", "libs/codec", "libs/histeq", "libs/base"},
}
LIBRARIES = ("base", "histeq", "codec", "resize", "store", "engine", "rpc")
ABOVE_LIBRARIES = {f"libs/{name}" for name in LIBRARIES}

GRPC_HEADER = re.compile(r"^(grpcpp/|grpc/|google/protobuf/|google/rpc/|histeq/v1/)")
GRPC_PLACES = re.compile(r"^(libs/rpc/|client/|services/[a-z]+/grpc_[^/]*$|services/[a-z]+/main\.cc$)")
HIGHWAY_HEADER = re.compile(r"^hwy/")

BANNED_FOLDERS = {"util", "utils", "common", "helper", "helpers", "misc", "manager", "managers", "shared", "stuff"}
BANNED_CODE = (
    (re.compile(r"\b(sleep_for|sleep_until|SleepFor|usleep|nanosleep)\s*\(|(?<![\w.>])sleep\s*\("),
     "sleeps: wait on an event with a deadline"),
    (re.compile(r"#\s*include\s*<(coroutine|format|expected|source_location)>"),
     "a header that Debian 12's compilers do not agree on"),
    (re.compile(r"using\s+namespace\s+(?!.*literals)"), "imports a whole namespace"),
)
BANNED_TEXT = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def component(path):
    """libs/codec, services/worker or client: the unit that the rules speak of."""
    parts = pathlib.PurePosixPath(path).parts
    return parts[0] if parts[0] == "client" else "/".join(parts[:2])


def allowed_components(own):
    return ALLOWED.get(own) or ABOVE_LIBRARIES | {own}


def included_component(root, path, header, quoted):
    """The component that a header belongs to; None for a system header or one that is generated."""
    if header.startswith("histeq/v1/"):
        return None
    first = header.split("/")[0]
    if "/" in header and first in LIBRARIES and (root / "libs" / first / "include" / header).is_file():
        return f"libs/{first}"
    if not quoted:
        return None
    own = component(path)
    places = [root / pathlib.PurePosixPath(path).parent, root / own, root / own / "src", root]
    for place in places:
        candidate = place / header
        if candidate.is_file():
            return component(candidate.resolve().relative_to(root).as_posix())
    # A header of another component's inside, reached by its include path, has no right to be here at all.
    for other in sorted(root.glob("services/*")) + sorted(root.glob("libs/*/src")) + [root / "client"]:
        if (other / header).is_file():
            return component(other.relative_to(root).as_posix())
    return None


def breaches(root):
    for file in sources.product_files(root):
        path = file.relative_to(root).as_posix()
        own = component(path)
        text = file.read_text(encoding="utf-8")
        for line, header, quoted in sources.includes(text):
            where = f"{path}:{line}"
            if GRPC_HEADER.match(header) and not GRPC_PLACES.match(path):
                yield f"{where}: {header}: gRPC and generated headers belong to libs/rpc, services/*/grpc_*, " \
                      "services/*/main.cc and client"
            if HIGHWAY_HEADER.match(header) and own != "libs/histeq":
                yield f"{where}: {header}: Highway belongs to libs/histeq"
            other = included_component(root, path, header, quoted)
            if other and other not in allowed_components(own):
                yield f"{where}: {header}: {own} may not include from {other}"
        code = sources.without_comments(text)
        for pattern, why in BANNED_CODE:
            for match in pattern.finditer(code):
                yield f"{path}:{code.count(chr(10), 0, match.start()) + 1}: {match.group(0).strip()}: {why}"
        for match in BANNED_TEXT.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(0)}: finish it or file it"
    for top in ("libs", "services", "client", "tests", "proto"):
        for folder in sorted((root / top).rglob("*")):
            if "node_modules" in folder.parts:
                continue
            if folder.is_dir() and folder.name.lower() in BANNED_FOLDERS:
                yield f"{folder.relative_to(root).as_posix()}: a folder is named after what is in it"
    for file in [root / "CMakeLists.txt", *root.glob("cmake/*.cmake"), *root.glob("*/**/CMakeLists.txt")]:
        if "build" not in file.relative_to(root).parts and "-march=native" in file.read_text(encoding="utf-8"):
            yield f"{file.relative_to(root).as_posix()}: -march=native"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    found = list(breaches(root))
    print("\n".join(found) if found else "nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
