# Sourced by the scripts: installs what is missing, and only that.
# shellcheck shell=bash

apt_updated=
apt_install() {
  if [[ $(id -u) != 0 ]]; then
    echo "missing: $* (run as root, or install with: apt-get install $*)" >&2
    exit 1
  fi
  if [[ -z $apt_updated ]]; then
    apt-get -q update >&2
    apt_updated=1
  fi
  # Debian's packages ask at policy-rc.d whether a service that they bring may start: none may.
  local policy=/usr/sbin/policy-rc.d made=
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=1
  fi
  local status=0
  DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" >&2 </dev/null || status=$?
  if [[ -n $made ]]; then rm -f "$policy"; fi
  return "$status"
}

need_cargo() {
  if ! command -v cargo >/dev/null && [[ -r ${CARGO_HOME:-$HOME/.cargo}/env ]]; then
    # shellcheck source=/dev/null
    . "${CARGO_HOME:-$HOME/.cargo}/env"
  fi
  if ! command -v cargo >/dev/null; then
    echo "missing: Rust's toolchain (https://rustup.rs)" >&2
    exit 1
  fi
}

need_rust() {
  need_cargo
  cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
  cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
}

# The linker that rustc calls, and the C compiler of the ring crate and of the tests' clocks.
need_linker() {
  if ! command -v cc >/dev/null; then apt_install gcc libc6-dev; fi
  if [[ ! -e /etc/ssl/certs/ca-certificates.crt ]]; then apt_install ca-certificates; fi
}

# The servers that the tests run against, under folder $1.
need_test_servers() {
  local folder=$1
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  local system=/usr/bin/redis-server
  if [[ ! -x $system ]] && grep -q '^VERSION_ID="12"' /etc/os-release; then apt_install redis-server; fi
  if [[ -x $system && $("$system" --version) == *' v=7.0.'* ]]; then
    rm -rf "$folder/redis70"
  else
    unpack "$folder" redis70 bookworm redis
  fi
  unpack "$folder" redis60 bullseye redis
  unpack "$folder" redis80 trixie redis
  unpack "$folder" valkey81 trixie valkey
}

# What the metrics are held against: a real Prometheus, and promtool, which comes with it.
need_prometheus() {
  if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then apt_install prometheus; fi
}

# unpack FOLDER NAME SUITE KIND: once; an unpacked server that no longer starts is unpacked again.
unpack() {
  local program=$1/$2/run/$4-server
  if [[ -x $program ]] && "$program" --version >/dev/null 2>&1; then return; fi
  echo "unpacking $4-server of Debian's $3 into $1/$2"
  export DEBROOT_STATE=$1/debroot
  if [[ ! -e $DEBROOT_STATE/$3/updated ]]; then
    tests/debroot.sh "$3" update >&2
    touch "$DEBROOT_STATE/$3/updated"
  fi
  tests/debroot.sh "$3" unpack "$1/$2" "$4-server" "$4-tools" >&2
  "$program" --version
}
