#!/usr/bin/env python3
"""Which crates are in the program for a target, and under which licences.

packaging/crates.py licences TARGET      their licence texts
packaging/crates.py sbom TARGET          CycloneDX, by cargo-cyclonedx; $SOURCE_DATE_EPOCH is its time

One text stands once, under the names of the crates that come with it. A crate that brings no text is named with the licence that it
declares; of a choice that includes the Apache License, riot's own LICENSE is the text.
"""

import json
import os
import subprocess
import sys


def output(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(target, kinds):
    """Names and versions, riot's among them. `cargo metadata`, which cargo-cyclonedx reads, has those of the tests' features too."""
    lines = output("cargo", "tree", "--locked", "--target", target, "--edges", kinds, "--prefix", "none", "--format", "{p}").splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, filter(None, lines))}


def texts(package):
    """Also those below the crate's folder: of C code that it brings."""
    starts = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT")
    for folder, folders, files in os.walk(os.path.dirname(package["manifest_path"])):
        folders.sort()
        for name in sorted(files):
            if name.upper().startswith(starts):
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                    yield file.read().strip() + "\n"


def licences(target):
    """Of what riot is linked from, without what only build scripts use."""
    wanted = tree(target, "normal")
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    root = metadata["resolve"]["root"]
    packages = [one for one in metadata["packages"] if (one["name"], one["version"]) in wanted and one["id"] != root]
    owners, bare = {}, []
    for package in sorted(packages, key=lambda one: (one["name"], one["version"])):
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


def sbom(target):
    """Without the crates that come with the tests' features, and without this machine's path."""
    name = f"sbom-{target}"
    output("cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--target", target, "--override-filename", name)
    with open(f"{name}.json", encoding="utf-8") as file:
        document = json.loads(file.read().replace(f"path+file://{os.getcwd()}#", "path+file:///riot#"))
    os.remove(f"{name}.json")
    wanted = tree(target, "normal,build")
    components = [one for one in document["components"] if (one["name"], one["version"]) in wanted]
    missing = wanted - {(one["name"], one["version"]) for one in [*components, document["metadata"]["component"]]}
    if missing:
        sys.exit(f"cargo-cyclonedx has not seen {sorted(missing)}")
    references = {one["bom-ref"] for one in [*components, document["metadata"]["component"]]}
    document["components"] = components
    document["dependencies"] = [
        {**one, **({"dependsOn": [other for other in one["dependsOn"] if other in references]} if "dependsOn" in one else {})}
        for one in document["dependencies"]
        if one["ref"] in references
    ]
    print(json.dumps(document, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    commands = {"licences": licences, "sbom": sbom}
    if len(sys.argv) != 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](sys.argv[2])
