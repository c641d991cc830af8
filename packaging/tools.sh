# Sourced by the scripts here: the tools that packages are built and checked with, each in the version that is written here, in
# the folder $tools. tests/prepare.sh is sourced before.
# shellcheck shell=bash disable=SC2034,SC2154 # of what is set here and there, the other is the scripts'

zigbuild_version=0.24.0
ziglang_version=0.17.1
cyclonedx_version=0.5.9
deny_version=0.20.2
actionlint_version=1.7.12

# cargo-zigbuild and zig, which is its linker and C compiler: both from PyPI.
need_zigbuild() {
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3-venv; fi
  local mark=$tools/zigbuild-$zigbuild_version-$ziglang_version
  if [[ ! -e $mark ]]; then
    python3 -m venv --clear "$tools/python"
    "$tools/python/bin/pip" install --quiet "cargo-zigbuild==$zigbuild_version" "ziglang==$ziglang_version"
    touch "$mark"
  fi
  PATH=$tools/python/bin:$PATH
}

# need_cargo_tool NAME VERSION: built once. It serves from the command line, so it need not be fast.
need_cargo_tool() {
  if [[ $("$tools/bin/$1" "${1#cargo-}" --version 2>/dev/null) != *" $2" ]]; then
    CARGO_TARGET_DIR=$tools/target RUSTFLAGS='' \
      cargo install --quiet --locked --debug --root "$tools" --version "$2" "$1"
  fi
  PATH=$tools/bin:$PATH
}

need_actionlint() {
  if [[ -x $tools/bin/actionlint ]]; then return; fi
  if ! command -v go >/dev/null; then
    echo "missing: Go (https://go.dev/dl)" >&2
    exit 1
  fi
  GOBIN=$tools/bin go install "github.com/rhysd/actionlint/cmd/actionlint@v$actionlint_version"
}
