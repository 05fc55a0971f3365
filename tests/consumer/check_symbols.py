#!/usr/bin/env python3
"""What the histogram library calls from outside: no thread, no output, no exception; memory only where it is made.

    check_symbols.py LIBRARY.a NM
"""

import collections
import re
import subprocess
import sys

# Where memory is made and dropped. Everything else, above all the kernels, only uses it.
ALLOCATING = {"buffer.cc.o", "mapping.cc.o", "statistics.cc.o", "tables.cc.o"}

NEVER = re.compile(
    r"pthread_|^thrd_|std::thread|std::jthread|std::async|std::mutex"  # Threads
    r"|^v?f?printf|^__v?f?printf|^puts$|^putchar|^fputs|^fwrite|^write$|std::cout|std::cerr|std::ostream|basic_ostream|ios_base"
    r"|^abort$|^_?exit$|^__assert|std::terminate|^raise$"
    r"|^__cxa_throw|^__cxa_allocate_exception|^_Unwind_|^__gxx_personality|std::__throw_"  # Exceptions
    r"|^operator new|^operator delete")
MEMORY = re.compile(r"^(malloc|calloc|realloc|free|aligned_alloc|posix_memalign|mmap)$|AllocateZeros|internal::Allocate\(")
# Sanitizers put their own calls in.
IGNORED = re.compile(r"^__(asan|ubsan|tsan|sanitizer)_|^_GLOBAL_OFFSET_TABLE_$")


def undefined_symbols(library, nm):
    """Object file -> names that it takes from elsewhere."""
    text = subprocess.run([nm, "-C", "-u", library], check=True, capture_output=True, text=True).stdout
    found = collections.defaultdict(set)
    member = None
    for line in text.splitlines():
        if line.endswith(":"):
            member = line[:-1]
        elif " U " in line:
            found[member].add(line.split(" U ", 1)[1].strip())
    return found


def breaches(found):
    for member, names in sorted(found.items()):
        for name in sorted(names):
            if IGNORED.search(name):
                continue
            if NEVER.search(name):
                yield f"{member}: {name}: the library starts no thread, prints nothing, throws nothing"
            elif MEMORY.search(name) and member not in ALLOCATING:
                yield f"{member}: {name}: only {', '.join(sorted(ALLOCATING))} make or drop memory"


def main():
    found = undefined_symbols(sys.argv[1], sys.argv[2])
    kernels = [member for member in found if member.startswith("kernels_")]
    # A test that looks at nothing finds nothing.
    if len(kernels) < 4 or not any("calloc" in names for names in found.values()):
        print(f"{sys.argv[1]}: not the library that this test knows: {sorted(found)}")
        return 1
    wrong = list(breaches(found))
    print("\n".join(wrong) if wrong else f"{len(found)} object files looked at, nothing found")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
