#!/usr/bin/env python3
"""The licence texts of all crates that are in the program: packaging/licences.py TARGET

One text stands once, under the names of the crates that come with it. A crate that brings no text is named with the licence that it
declares; of a choice that includes the Apache License, riot's own LICENSE is the text.
"""

import json
import os
import subprocess
import sys


def crates(target):
    """What riot is linked from, build scripts' and tests' own crates left out."""
    words = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, seen = [metadata["resolve"]["root"]], set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for dependency in nodes[one]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    seen.remove(metadata["resolve"]["root"])
    return sorted((packages[one] for one in seen), key=lambda package: (package["name"], package["version"]))


def texts(package):
    """Also those below the crate's folder: of C code that it brings."""
    starts = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT")
    for folder, folders, files in os.walk(os.path.dirname(package["manifest_path"])):
        folders.sort()
        for name in sorted(files):
            if name.upper().startswith(starts):
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                    yield file.read().strip() + "\n"


def main(target):
    owners, bare = {}, []
    for package in crates(target):
        name = f"{package['name']} {package['version']}"
        found = list(texts(package))
        if not found:
            bare.append(f"{name} ({package['license']})")
        for text in found:
            owners.setdefault(text, []).append(name)
    line = "=" * 80
    print("riot holds the code of these crates, under these licences.\n")
    if bare:
        print("Without a text of their own: " + ", ".join(bare) + "\n")
    for text, names in sorted(owners.items(), key=lambda item: item[1]):
        print(f"{line}\n{', '.join(names)}\n{line}\n\n{text}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
