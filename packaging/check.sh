#!/usr/bin/env bash
# What can be said of packages and workflows without building anything: the scripts, the man pages' form, the systemd unit,
# the workflows, the licences and versions of the crates.
#   packaging/check.sh             with the tools that are there; the others are named
#   packaging/check.sh --install   installs what is missing first (root, apt; Go and cargo for the rest)
# cargo-deny's database of advisories comes from GitHub: it is asked with --install alone.
set -euo pipefail
cd "$(dirname "$0")/.."

install=
case "$*" in
'') ;;
--install) install=1 ;;
*) echo "usage: packaging/check.sh [--install]" >&2; exit 2 ;;
esac

. tests/prepare.sh
. packaging/tools.sh
tools=${CARGO_TARGET_DIR:-$PWD/target}/packaging/tools
PATH=$PATH:$tools/bin
if [[ -n $install ]]; then
  need_cargo
  need_linker
  if ! command -v mandoc >/dev/null; then apt_install mandoc; fi
  if ! command -v shellcheck >/dev/null; then apt_install shellcheck; fi
  if ! command -v systemd-analyze >/dev/null; then apt_install systemd; fi
  if ! command -v python3 >/dev/null; then apt_install python3; fi
  need_actionlint
  need_cargo_tool cargo-deny "$deny_version"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
there() {
  if command -v "$1" >/dev/null; then return; fi
  echo "not there: $1 (packaging/check.sh --install)"
  return 1
}

echo "scripts"
for script in packaging/*.sh tests/*.sh docs/*.sh; do bash -n "$script"; done
for script in .ci/run packaging/debian/p*; do sh -n "$script"; done
if there shellcheck; then shellcheck --external-sources packaging/*.sh tests/*.sh docs/*.sh .ci/run packaging/debian/p*; fi
if there python3; then
  for script in packaging/*.py; do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$script"
  done
fi

if there mandoc; then
  echo "man pages"
  # They have no date: it would be another at each build.
  mandoc -T lint -W warning docs/man/*.1 | grep -v 'missing date, using ""' >"$folder/lint" || true
  if [[ -s $folder/lint ]]; then cat "$folder/lint"; exit 1; fi
fi

if there systemd-analyze; then
  echo "systemd unit"
  # It is looked at as an instance, with a program that is there.
  sed 's#^ExecStart=/usr/bin/riot #ExecStart=/bin/true #' packaging/riot@.service >"$folder/riot@.service"
  ln -s riot@.service "$folder/riot@example.service"
  SYSTEMD_UNIT_PATH=$folder: systemd-analyze verify --man=no "$folder/riot@example.service" 2>"$folder/verify" || true
  if grep 'riot@' "$folder/verify"; then exit 1; fi
  systemd-analyze security --offline=yes --threshold=20 --no-pager "$folder/riot@example.service" >"$folder/security" ||
    { cat "$folder/security"; exit 1; }
  tail -n 1 "$folder/security"
fi

echo "actions"
if grep -nE '^ *(- )?uses: ' .github/workflows/*.yml | grep -vE '@[0-9a-f]{40} # v[0-9.]+$'; then
  echo "not pinned by a commit, with the version beside it" >&2
  exit 1
fi

if there actionlint; then
  echo "workflows"
  actionlint .github/workflows/*.yml
fi

if there cargo-deny; then
  echo "crates"
  cargo deny --log-level error check licenses bans sources
  if [[ -n $install ]]; then cargo deny --log-level error check advisories; fi
fi
