#!/usr/bin/env python3
"""Puts two files of timings side by side: `compare.py OURS.json PEER.json`. Both have the form of `meanshift-gpu bench --json`.

Lines compare the same case in the same precision; ours on rounded operands (bf16-operands) stands beside the peer's bf16.
"""

import json
import sys

WANTED = "Give a file that 'bench --json' or 'pytorch_layers.py --json' wrote."


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            records = json.load(file)
    except OSError as error:
        sys.exit(f"compare.py: {path}: {error.strerror}. {WANTED}")
    except (ValueError, RecursionError) as error:
        sys.exit(f"compare.py: {path}: {error}. {WANTED}")
    if not isinstance(records, list) or not all(map(is_timing, records)):
        sys.exit(f"compare.py: {path}: holds no timings. {WANTED}")
    return records


def is_timing(record):
    return (
        isinstance(record, dict)
        and all(isinstance(record.get(key), str) for key in ("name", "size", "variant", "precision"))
        and isinstance(record.get("medianMs"), (int, float))
        and record["medianMs"] > 0)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: compare.py OURS.json PEER.json")
    ours_path, peer_path = sys.argv[1:]
    timings = load(ours_path)
    peers = {}
    for record in load(peer_path):
        peers.setdefault((record["name"], record["size"]), []).append(record)
    rows = []
    for ours in timings:
        for peer in peers.get((ours["name"], ours["size"]), []):
            if peer["precision"] != ours["precision"].removesuffix("-operands"):
                continue
            rows.append(
                f"| {ours['name']} | {ours['size']} | {ours['variant']} {ours['precision']} | {ours['medianMs']:.3f} "
                f"| {peer['variant']} {peer['precision']} | {peer['medianMs']:.3f} | {ours['medianMs'] / peer['medianMs']:.2f} |")
    if not rows:
        sys.exit(f"compare.py: {ours_path} and {peer_path} have no case in common: the same name, size and precision. "
                 "Time the same cases.")
    print("| what | size | ours | ms | peer | ms | ours / peer |\n|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
