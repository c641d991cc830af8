#!/usr/bin/env bash
# One .deb of the folder that the .tar.gz is made of: packaging/deb.sh FOLDER VERSION DIST. The folder's name ends with the target.
# $SOURCE_DATE_EPOCH is the time of everything in it; $DEBFULLNAME and $DEBEMAIL are who publishes it.
set -euo pipefail
folder=$1 version=$2 dist=$3
here=$(dirname "$0")
case $folder in
*-x86_64-*) architecture=amd64 ;;
*-aarch64-*) architecture=arm64 ;;
*) echo "deb.sh: of which target is $folder?" >&2; exit 2 ;;
esac

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"
file() { install -D -m 644 "$1" "$root/$2"; }
packed() { mkdir -p "$root/$(dirname "$2")" && gzip -9nc "$1" >"$root/$2"; }

install -D -m 755 "$folder/riot" "$root/usr/bin/riot"
ln -s riot "$root/usr/bin/riot-redis"
for page in "$folder"/man/*.1; do packed "$page" "usr/share/man/man1/${page##*/}.gz"; done
ln -s riot.1.gz "$root/usr/share/man/man1/riot-redis.1.gz"
# bash and fish look for a script by the command's name, zsh reads them all
completions=$folder/completions
file "$completions/riot.bash" usr/share/bash-completion/completions/riot
ln -s riot "$root/usr/share/bash-completion/completions/riot-redis"
file "$completions/riot.fish" usr/share/fish/vendor_completions.d/riot.fish
ln -s riot.fish "$root/usr/share/fish/vendor_completions.d/riot-redis.fish"
file "$completions/_riot" usr/share/zsh/vendor-completions/_riot
file "$folder/systemd/riot@.service" lib/systemd/system/riot@.service
file "$folder/systemd/riot.env" usr/share/doc/riot/examples/riot.env
# passwords lie in it
install -d -m 700 "$root/etc/riot"
file "$here/debian/copyright" usr/share/doc/riot/copyright
packed "$folder/LICENSES-OF-CRATES" usr/share/doc/riot/LICENSES-OF-CRATES.gz
packed "$folder/CHANGELOG.md" usr/share/doc/riot/CHANGELOG.md.gz
packed "$folder/README.md" usr/share/doc/riot/README.md.gz

# Of a package that nobody publishes the address is one that cannot exist.
maintainer="${DEBFULLNAME:-riot maintainers} <${DEBEMAIL:-maintainers@riot.invalid}>"
gzip -9nc >"$root/usr/share/doc/riot/changelog.gz" <<END
riot ($version) stable; urgency=medium

  * What changed is in CHANGELOG.md.gz.

 -- $maintainer  $(LC_ALL=C date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
END

install -d "$root/DEBIAN"
install -m 755 "$here"/debian/{postinst,prerm,postrm} "$root/DEBIAN"
(cd "$root" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<END
Package: riot
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -k -s --apparent-size "$root" | cut -f 1)
Recommends: ca-certificates
Section: database
Priority: optional
Description: replicates and compares Redis and Valkey databases
 riot copies a Redis or Valkey database to another server or cluster, once or
 live while applications go on writing, and checks that both hold the same. It
 reads the source like any other client, so that it needs no replication
 rights, no module and no setting on either server.
 .
 The unit riot@.service keeps a live replication running.
END
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$dist/riot_${version}_$architecture.deb"
