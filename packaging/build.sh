#!/usr/bin/env bash
# What a release consists of, in dist/: for x86_64 and aarch64 a static binary in a .tar.gz, a .deb and an SBOM; a container image
# for both; checksums. docs/packaging.md says more.
#   packaging/build.sh
# Installs what it needs and does not find (root, Debian's apt): a C linker, make, Python. Rust's targets come from rustup; cargo-zigbuild,
# zig and cargo-cyclonedx go into a folder below target/. Of the same commit the same files come out.
set -euo pipefail
cd "$(dirname "$0")/.."

case $# in
0) ;;
*) echo "usage: packaging/build.sh" >&2; exit 2 ;;
esac

step() { printf '\n== %s\n' "$*"; }

. tests/prepare.sh
. packaging/tools.sh
need_cargo
need_linker
if ! command -v make >/dev/null; then apt_install make; fi
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
work=$target_dir/packaging
tools=$work/tools
dist=$PWD/dist
mkdir -p "$tools"
need_zigbuild
need_cargo_tool cargo-cyclonedx "$cyclonedx_version"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
# All times in what is built are the commit's.
if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct); fi
export SOURCE_DATE_EPOCH
rm -rf "$dist" "$work/stage"
mkdir -p "$dist" "$work/stage"

step "cargo zigbuild"
rustup -q target add "${targets[@]}"
# No path of this machine stands in the binary: of the sources, and of the crates with C code.
registry=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$PWD=/riot --remap-path-prefix=$registry=/cargo"
export CFLAGS="-ffile-prefix-map=$registry=/cargo -ffile-prefix-map=$target_dir=/target"
# Without debug information, and linked by zig without symbols: a panic still names its file and line.
export CARGO_PROFILE_RELEASE_STRIP=debuginfo
for target in "${targets[@]}"; do
  # Kernels of aarch64 have pages of 4, 16 or 64 KB: the allocator is built for the largest.
  case $target in
  aarch64-*) page=16 ;;
  *) page=12 ;;
  esac
  CARGO_TARGET_DIR=$target_dir JEMALLOC_SYS_WITH_LG_PAGE=$page \
    cargo zigbuild --release --locked --bin riot --target "$target"
done
unset RUSTFLAGS CFLAGS

step "man pages and completions"
# made by the binary of this machine's own kind
riot=$target_dir/$(uname -m)-unknown-linux-musl/release/riot
shared=$work/stage/shared
mkdir -p "$shared/man" "$shared/completions"
install -m 644 docs/man/*.1 "$shared/man"
"$riot" generate-completion bash >"$shared/completions/riot.bash"
"$riot" generate-completion zsh >"$shared/completions/_riot"
"$riot" generate-completion fish >"$shared/completions/riot.fish"
"$riot" generate-completion elvish >"$shared/completions/riot.elv"
"$riot" generate-completion powershell >"$shared/completions/riot.ps1"
for target in "${targets[@]}"; do
  packaging/crates.py licences "$target" >"$shared/$target.licences"
done

for target in "${targets[@]}"; do
  step "riot-$version-$target.tar.gz"
  folder=$work/stage/riot-$version-$target
  mkdir -p "$folder/systemd"
  install -m 755 "$target_dir/$target/release/riot" "$folder/riot"
  ln -s riot "$folder/riot-redis"
  install -m 644 README.md CHANGELOG.md LICENSE "$folder"
  install -m 644 "$shared/$target.licences" "$folder/LICENSES-OF-CRATES"
  install -m 644 packaging/riot@.service packaging/riot.env "$folder/systemd"
  cp -r "$shared/man" "$shared/completions" "$folder"
  tar --create --directory "$work/stage" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
    --mode=go-w --mtime="@$SOURCE_DATE_EPOCH" "riot-$version-$target" | gzip -9n >"$dist/riot-$version-$target.tar.gz"
  step "riot-$version-$target.deb"
  packaging/deb.sh "$folder" "$version" "$dist"
  step "riot-$target.cdx.json"
  packaging/crates.py sbom "$target" >"$dist/riot-$target.cdx.json"
done

step "riot-$version-image.tar"
packaging/image.py "$version" "$dist/riot-$version-image.tar" \
  amd64="$work/stage/riot-$version-x86_64-unknown-linux-musl" \
  arm64="$work/stage/riot-$version-aarch64-unknown-linux-musl"

step SHA256SUMS
(cd "$dist" && sha256sum -- riot* >SHA256SUMS && cat SHA256SUMS)
