#!/usr/bin/env bash
# Tries what packaging/build.sh has put into dist/: the static binaries in an empty root folder and between two real servers, that of
# the other architecture under qemu; the SBOM against what the binary names; the .deb installed, its unit, man pages and completions
# asked for, and purged again; the image as the user that it names.
#   packaging/try.sh
# Root, on Debian: it installs what it needs and does not find (redis-server, qemu-user-static, skopeo, lintian,
# systemd, man-db, zsh, fish).
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/prepare.sh

step() { printf '\n== %s\n' "$*"; }
fail() { echo "failed: $*" >&2; exit 1; }

need() { # COMMAND PACKAGE
  if ! command -v "$1" >/dev/null; then apt_install "$2"; fi
}
need redis-server redis-server
need readelf binutils
need qemu-aarch64-static qemu-user-static
need skopeo skopeo
need lintian lintian
need man man-db
need systemd-analyze systemd
need zsh zsh
need fish fish

dist=$PWD/dist
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
folder=$(mktemp -d)
servers=()
clean_up() {
  local status=$? pid
  trap - EXIT
  for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  if [[ -e $folder/installed ]]; then dpkg --purge riot >/dev/null 2>&1 || true; fi
  rm -rf "$folder"
  exit "$status"
}
trap clean_up EXIT

step checksums
(cd "$dist" && sha256sum --check SHA256SUMS)

free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}
server() { # PORT: a server without persistence, in a folder of its own
  mkdir "$folder/$1"
  redis-server --port "$1" --save '' --dir "$folder/$1" --logfile log >/dev/null &
  servers+=($!)
  until redis-cli -p "$1" ping >/dev/null 2>&1; do kill -0 $!; done
}

step "two servers"
source=$(free_port 7301)
server "$source"
target=$(free_port $((source + 1)))
server "$target"
{
  printf '%s\n' 'SET greeting hello' 'SET passing x PX 3600000' 'HSET user name ann age 7' 'RPUSH queue a b c' 'ZADD ranks 1 a 2 b' \
    'SADD set a b' 'XADD events * field value'
  for number in $(seq 2000); do echo "SET key:$number value:$number"; done
} | redis-cli -p "$source" >/dev/null
keys=$(redis-cli -p "$source" DBSIZE)
[[ $keys == 2007 ]] || fail "the source has $keys keys"

# copies CHROOT WORDS...: riot copies everything there, names being looked up in a hosts file, and a whole comparison finds nothing.
copies() {
  local root=$1
  shift
  mkdir -p "$root/etc"
  echo '127.0.0.1 source.test target.test' >"$root/etc/hosts"
  redis-cli -p "$target" FLUSHALL >/dev/null
  chroot --userspec=65532:65532 "$root" "$@" replicate --no-verify "source.test:$source" "target.test:$target"
  chroot --userspec=65532:65532 "$root" "$@" compare "source.test:$source" "target.test:$target"
  [[ $(redis-cli -p "$target" DBSIZE) == "$keys" ]] || fail "the target has not the source's $keys keys"
}

for target_name in x86_64 aarch64; do
  name=riot-$version-$target_name-unknown-linux-musl
  step "$name.tar.gz in an empty root"
  tar -C "$folder" -xzf "$dist/$name.tar.gz"
  if readelf --dynamic --wide "$folder/$name/riot" | grep NEEDED; then fail "$name needs shared libraries"; fi
  root=$folder/root-$target_name
  mkdir "$root"
  install -m 755 "$folder/$name/riot" "$root/riot"
  words=(/riot)
  if [[ $target_name != "$(uname -m)" ]]; then
    install -m 755 "$(command -v "qemu-$target_name-static")" "$root/qemu"
    words=(/qemu /riot)
  fi
  chroot --userspec=65532:65532 "$root" "${words[@]}" --version
  copies "$root" "${words[@]}"
  step "the SBOM of $target_name"
  # A panic names its file, so the binary names most of its crates.
  grep --text --only-matching --extended-regexp '/registry/src/[^/]+/[^/]+/' "$folder/$name/riot" | cut -d / -f 5 | sort -u >"$folder/named"
  python3 - "$dist/riot-$target_name-unknown-linux-musl.cdx.json" "$folder/named" <<'END' || fail "the SBOM"
import json, sys
components = {f"{one['name']}-{one['version']}" for one in json.load(open(sys.argv[1]))["components"]}
named = set(open(sys.argv[2]).read().split())
print(f"{len(components)} crates, among them all {len(named)} that the binary names")
assert named and named <= components, named - components
END
done

step "the .deb"
if dpkg --status riot >/dev/null 2>&1; then fail "riot is installed here, and would be removed"; fi
for deb in "$dist"/riot_*.deb; do
  dpkg-deb --info "$deb" | sed -n 's/^ \(Package\|Version\|Architecture\|Installed-Size\): /&/p'
  lintian --fail-on error --suppress-tags statically-linked-binary,embedded-library "$deb"
done
touch "$folder/installed"
dpkg -i "$dist/riot_${version}_$(dpkg --print-architecture).deb"
riot --version
riot-redis replicate --no-verify "127.0.0.1:$source" "127.0.0.1:$target" >/dev/null
[[ $(stat -c %a /etc/riot) == 700 ]] || fail "/etc/riot"
install -m 600 /usr/share/doc/riot/examples/riot.env /etc/riot/example.env
systemd-analyze verify riot@example.service
systemd-analyze security --offline=yes --threshold=20 --no-pager riot@example.service | tail -n 1
for name in riot riot-redis; do
  bash -c '. "/usr/share/bash-completion/completions/$1"; complete -p "$1"; COMP_WORDS=("$1" rep) COMP_CWORD=1
    _riot "$1" rep "$1"; [[ ${COMPREPLY[*]} == replicate ]]' bash "$name" || fail "bash does not complete $name"
  zsh -fc "autoload -U compinit; compinit -D; print zsh: $name \$_comps[$name]; (( \$+_comps[$name] ))" || fail "zsh does not complete $name"
  HOME=$folder fish --command "complete -C '$name rep'" | grep replicate || fail "fish does not complete $name"
done
for page in docs/man/*.1 riot-redis.1; do
  page=$(basename "$page" .1)
  man --where "$page" && continue
  # a container's dpkg may be told to leave manuals out
  grep -rq 'path-exclude.*/man' /etc/dpkg || fail "no man page $page"
done
dpkg --listfiles riot | grep -v '^/[.]$' >"$folder/files"
dpkg --purge riot
rm "$folder/installed"
while read -r path; do
  # what is left are folders that other packages have, too
  [[ ! -e $path && ! -L $path ]] || dpkg --search "$path" >/dev/null || fail "$path is still there"
done <"$folder/files"

step "the image"
archive=oci-archive:$dist/riot-$version-image.tar
for architecture in amd64 arm64; do
  skopeo --override-arch "$architecture" inspect --config "$archive" |
    python3 -c 'import json, sys; one = json.load(sys.stdin); print(one["architecture"], one["config"]["User"], one["config"]["Entrypoint"])'
  skopeo --override-arch "$architecture" copy --quiet "$archive" "dir:$folder/image-$architecture"
  root=$folder/image-root-$architecture
  mkdir "$root"
  layer=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["layers"][0]["digest"].split(":")[1])' \
    <"$folder/image-$architecture/manifest.json")
  tar -C "$root" -xzf "$folder/image-$architecture/$layer"
  words=(/usr/bin/riot)
  if [[ $architecture == arm64 && $(uname -m) != aarch64 ]]; then
    install -m 755 "$(command -v qemu-aarch64-static)" "$root/qemu"
    words=(/qemu "${words[@]}")
  fi
  copies "$root" "${words[@]}"
  # The authorities are found: what is missing is only the server.
  refused=$(chroot --userspec=65532:65532 "$root" "${words[@]}" replicate rediss://127.0.0.1:1 127.0.0.1:2 2>&1) && fail "port 1"
  [[ $refused != *authorities* ]] || fail "$refused"
done

step "all of it works"
