#!/usr/bin/env python3
"""The README's example is the program that is compiled and run.

    check_readme.py README.md example.cc
"""

import pathlib
import re
import sys

readme, example = (pathlib.Path(name).read_text(encoding="utf-8") for name in sys.argv[1:3])
blocks = re.findall(r"```cpp\n(.*?)```", readme, re.DOTALL)
if example not in blocks:
    print(f"{sys.argv[1]}: no cpp block equals {sys.argv[2]}")
    sys.exit(1)
print("the README's example is the compiled one")
