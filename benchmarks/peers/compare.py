#!/usr/bin/env python3
"""Puts two files of timings side by side: `compare.py OURS.json PEER.json`. Both have the form of `meanshift-gpu bench --json`.

Lines compare the same case in the same precision; ours on rounded operands (bf16-operands) stands beside the peer's bf16.
"""

import json
import sys


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"compare.py: {path}: {error}. Give a file that 'bench --json' or 'pytorch_layers.py --json' wrote.")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: compare.py OURS.json PEER.json")
    peers = {}
    for record in load(sys.argv[2]):
        peers.setdefault((record["name"], record["size"]), []).append(record)
    print("| what | size | ours | ms | peer | ms | ours / peer |\n|---|---|---|---|---|---|---|")
    for ours in load(sys.argv[1]):
        for peer in peers.get((ours["name"], ours["size"]), []):
            if peer["precision"] != ours["precision"].removesuffix("-operands"):
                continue
            print(
                f"| {ours['name']} | {ours['size']} | {ours['variant']} {ours['precision']} | {ours['medianMs']:.3f} "
                f"| {peer['variant']} {peer['precision']} | {peer['medianMs']:.3f} | {ours['medianMs'] / peer['medianMs']:.2f} |")


if __name__ == "__main__":
    main()
