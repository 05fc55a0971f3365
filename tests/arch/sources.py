"""The project's own C++ sources, for the checks of this folder."""

import pathlib
import re

PRODUCT_FOLDERS = ("libs", "services", "client")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
_COMMENT_OR_TEXT = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\s\\]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def product_files(root, suffixes=(".cc", ".h")):
    """Files of the folders whose code ships, in a stable order."""
    root = pathlib.Path(root)
    for folder in PRODUCT_FOLDERS:
        yield from sorted(path for path in (root / folder).rglob("*")
                          if path.suffix in suffixes and path.is_file())


def includes(text):
    """(line number, header, whether quoted) of every #include."""
    for match in _INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(2), match.group(1) == '"'


def without_comments(text):
    """The same text, comments blanked, lines kept."""
    def blank(match):
        piece = match.group(0)
        return re.sub(r"[^\n]", " ", piece) if piece.startswith("/") else piece
    return _COMMENT_OR_TEXT.sub(blank, text)


def string_literals(text):
    """(line number, contents) of every plain string literal."""
    code = without_comments(text)
    for match in re.finditer(r'"((?:\\.|[^"\\\n])*)"', code):
        yield code.count("\n", 0, match.start()) + 1, match.group(1)
