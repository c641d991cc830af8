#!/usr/bin/env bash
# All of riot's checks and tests: formatting, lints, documentation, unit and integration tests on real servers.
#   tests/run.sh           a few minutes
#   tests/run.sh --full    the sizes that riot is promised to handle: a million keys, values of 100 MB, forty of 50 MB
# Installs what it needs and does not find (root, Debian's apt): a C linker, redis-server 7.0, prometheus. Redis 6.0 and 8.0
# and Valkey 8.1 are unpacked into $RIOT_TEST_SERVERS (target/servers when unset) with their own libc; nothing of the system
# changes.
set -euo pipefail
cd "$(dirname "$0")/.."

for word in "$@"; do
  case $word in
  --full) export RIOT_TEST_FULL=1 ;;
  *) echo "usage: tests/run.sh [--full]" >&2; exit 2 ;;
  esac
done

step() { printf '\n== %s\n' "$*"; }

. tests/prepare.sh
need_rust
need_linker
export RIOT_TEST_SERVERS=${RIOT_TEST_SERVERS:-$PWD/target/servers}
need_test_servers "$RIOT_TEST_SERVERS"
need_prometheus

step cargo fmt --check
cargo fmt --check

step cargo clippy --all-targets
cargo clippy --locked --all-targets --profile checked -- -D warnings

step cargo doc
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items --profile checked

step packaging/check.sh
packaging/check.sh

step cargo test
log=${CARGO_TARGET_DIR:-target}/tests.log
status=0
cargo test --locked --profile checked 2>&1 | tee "$log" || status=$?
awk '/^test result: / { passed += $4; failed += $6; ignored += $8 }
  END { printf "\n== %d passed, %d failed, %d ignored\n", passed, failed, ignored }' "$log"
exit "$status"
