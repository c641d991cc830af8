#!/usr/bin/env bash
# Unpacks programs of another Debian suite, with that suite's own libc, into a folder; the system stays as it is.
#   debroot.sh SUITE update
#   debroot.sh SUITE unpack DIR PACKAGE...     then DIR/run/redis-server, DIR/run/valkey-server, ...
# The mirrors are those of the system's own apt sources, Debian's where it names none. State: $DEBROOT_STATE, or debroot under the temp folder.
set -euo pipefail
suite=$1 op=$2; shift 2
state=${DEBROOT_STATE:-${TMPDIR:-/tmp}/debroot}/$suite
mkdir -p "$state"/{lists/partial,cache/archives/partial,parts,prefs}
: >"$state/status"
mirror() { # the system's mirror whose address ends so
  local uris # a file that is not there is no error here, and must not add a second answer
  uris=$({ sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources; sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list; } \
    2>/dev/null | tr ' ' '\n' | sed 's#/$##') || true
  grep -m1 "/$1\$" <<<"$uris" || echo "http://deb.debian.org/$1"
}
key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
{ echo "deb $key $(mirror debian) $suite main"
  case $suite in sid|*-backports) ;; *) echo "deb $key $(mirror debian-security) $suite-security main";; esac
} >"$state/sources.list"
apt=(apt-get -q -y -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::Etc::preferencesparts=$state/prefs" -o Dir::Etc::preferences=/dev/null -o "Dir::State=$state"
  -o "Dir::State::status=$state/status" -o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o "Dir::Log=$state"
  -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o APT::Update::Post-Invoke::=)
case $op in
update) "${apt[@]}" update ;;
unpack)
  dir=$1; shift
  rm -rf "$dir" "$dir.debs"; mkdir -p "$dir/run" "$dir.debs/partial"
  # an empty dpkg status fetches the whole closure, libc6 included
  "${apt[@]}" -o "Dir::Cache::archives=$dir.debs" --download-only install "$@" </dev/null
  for deb in "$dir.debs"/*.deb; do dpkg -x "$deb" "$dir"; done
  rm -rf "$dir.debs"
  lib=$dir/usr/lib/x86_64-linux-gnu
  for loader in "$lib/ld-linux-x86-64.so.2" "$dir"/lib/x86_64-linux-gnu/ld-2.??.so "$dir/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"; do
    [[ -x $loader ]] && break
  done
  for program in "$dir"/usr/bin/{redis,valkey}-*; do
    [[ -x $program ]] || continue
    printf '#!/bin/sh\nexport LUA_CPATH="%s/lua/5.1/?.so"\nexec %s --library-path %s:%s:%s %s "$@"\n' \
      "$lib" "$loader" "$lib" "$dir/lib/x86_64-linux-gnu" "$lib/systemd" "$program" >"$dir/run/${program##*/}"
    chmod +x "$dir/run/${program##*/}"
  done ;;
*) echo "debroot.sh: update or unpack" >&2; exit 2 ;;
esac
