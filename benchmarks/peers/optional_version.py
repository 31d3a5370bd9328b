#!/usr/bin/env python3
"""Makes a version that a shared library (ELF, 64 bits) asks for optional: `optional_version.py LIBRARY VERSION`.

The loader then takes another library without that version, and looks for the functions of that version anywhere.
"""

import struct
import sys

NEEDED_VERSIONS = 0x6FFFFFFE
WEAK = 2


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: optional_version.py LIBRARY VERSION")
    path, version = sys.argv[1:]
    with open(path, "rb") as file:
        data = bytearray(file.read())
    if data[:6] != b"\x7fELF\x02\x01":
        sys.exit(f"error: {path}: is no shared library of 64 bits.")
    start, = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, start + i * size) for i in range(count)]
    for _, kind, _, _, need, _, link, _, _, _ in sections:
        if kind != NEEDED_VERSIONS:
            continue
        names = sections[link][4]
        while True:
            _, entries, _, first, following = struct.unpack_from("<HHIII", data, need)
            entry = need + first
            for _ in range(entries):
                _, flags, _, name, step = struct.unpack_from("<IHHII", data, entry)
                if data[names + name:data.index(0, names + name)].decode() == version:
                    struct.pack_into("<H", data, entry + 4, flags | WEAK)
                entry += step
            if following == 0:
                break
            need += following
    with open(path, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()
