#!/usr/bin/env bash
# riot's main job, from nothing: builds it, starts two throw-away servers on loopback, fills one with every data type and
# many small keys, replicates, compares, replicates live while clients write, and cleans up. Each step is printed as the command
# that you could type.
#   docs/demo.sh            1,000,000 small keys
#   KEYS=5000000 docs/demo.sh
# Installs Debian's redis-server where there is neither redis-server nor valkey-server, and a C linker where there is none
# (root, apt).
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/prepare.sh

keys=${KEYS:-1000000}
changes=100000

need_rust
need_linker
if ! command -v redis-server >/dev/null && ! command -v valkey-server >/dev/null; then apt_install redis-server; fi
if command -v redis-server >/dev/null; then server=redis-server cli=redis-cli; else server=valkey-server cli=valkey-cli; fi
if ! command -v "$cli" >/dev/null; then apt_install "${server%-server}-tools"; fi

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi
title() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# Prints a command as a reader would type it.
exec 3>&1
show() {
  local word line=''
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then line+=" $word"; else line+=" '${word//\'/\'\\\'\'}'"; fi
  done
  printf '%s$%s%s\n' "$bold" "$line" "$plain" >&3
}
# And runs it.
run() {
  show "$@"
  "$@"
}

# A signal before the first scan is done would leave keys out. A log line says when it is: then the run only listens.
wait_for_scan() {
  until grep -q ' listening: ' "$folder/live.err"; do
    if ! kill -0 "$live" 2>/dev/null; then return; fi
    sleep 0.05
  done
}

# A port of 127.0.0.1 that nothing listens on, from $1 upwards.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

folder=$(mktemp -d "${TMPDIR:-/tmp}/riot-demo.XXXXXX")
clean_up() {
  local status=$? pid
  trap - EXIT INT TERM
  for pid in "$folder"/*.pid; do
    if [[ -e $pid ]]; then kill "$(<"$pid")" 2>/dev/null || true; fi
  done
  rm -rf "$folder"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

title 'Build riot'
run cargo build --release --locked
riot=${CARGO_TARGET_DIR:-target}/release/riot

title 'Start two servers that keep nothing'
source=$(free_port 7379)
target=$(free_port $((source + 1)))
options=(--bind 127.0.0.1 --save '' --daemonize yes --loglevel warning --dir "$folder")
version=$("$server" --version)
# DEBUG POPULATE must be allowed from Redis 7.0 on.
if [[ ! $version =~ v=[0-6]\. ]]; then options+=(--enable-debug-command local); fi
for side in source target; do
  run "$server" --port "${!side}" "${options[@]}" --pidfile "$folder/$side.pid" --logfile "$folder/$side.log"
done
for port in "$source" "$target"; do
  tries=0
  until [[ $("$cli" -p "$port" ping 2>/dev/null) == PONG ]]; do
    tries=$((tries + 1))
    if ((tries > 200)); then cat "$folder"/*.log >&2; echo "the server on port $port does not answer" >&2; exit 1; fi
    sleep 0.05
  done
done

title "Fill the source: every data type, then $keys small keys"
fill() {
  local answer
  answer=$(run "$cli" -p "$source" "$@")
  if [[ $answer == ERR* || $answer == WRONG* ]]; then
    echo "$answer" >&2
    exit 1
  fi
}
fill SET user:1:name 'Ada Lovelace'
fill SET session:42 'expires in an hour' EX 3600
fill INCRBY visits 1234567
fill HSET user:1 name Ada born 1815 'first program' 'Note G'
fill RPUSH queue first second third
fill SADD tags math engines poetry
fill SADD primes 2 3 5 7 11 13
fill ZADD scores 0.1 low 17.25 middle +inf top
fill XADD events '*' kind login user 1
fill XGROUP CREATE events readers 0
fill XREADGROUP GROUP readers ann COUNT 1 STREAMS events '>'
fill PFADD visitors 10.0.0.1 10.0.0.2 10.0.0.3
fill SETBIT active-days 1000 1
fill GEOADD cities 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
fill DEBUG POPULATE "$keys" item 100

title 'Replicate'
run "$riot" replicate "127.0.0.1:$source" "127.0.0.1:$target"

title 'Compare'
run "$riot" compare --quick "127.0.0.1:$source" "127.0.0.1:$target"
run "$riot" compare "127.0.0.1:$source" "127.0.0.1:$target"

title 'Look at the target'
run "$cli" -p "$target" DBSIZE
run "$cli" -p "$target" TTL session:42
run "$cli" -p "$target" XPENDING events readers
run "$cli" -p "$target" ZRANGE scores 0 -1 WITHSCORES

title 'Replicate live: what is there, then what changes'
# In the background; what it says is shown when it has ended.
words=("$riot" replicate --mode live "127.0.0.1:$source" "127.0.0.1:$target")
show "${words[@]}"
"${words[@]}" >"$folder/live.out" 2>"$folder/live.err" &
live=$!
echo "$live" >"$folder/live.pid"
# Once it listens, every change is told.
until grep -q '^listening: ' "$folder/live.err"; do
  if ! kill -0 "$live" 2>/dev/null; then cat "$folder/live.err" >&2; exit 1; fi
  sleep 0.05
done
for kind in set hset rpush; do
  run "${server%-server}-benchmark" -p "$source" -t "$kind" -n "$changes" -r 10000 -c 4 -P 4 -q >/dev/null
done
run "$cli" -p "$source" DEL user:1:name session:42
run "$cli" -p "$source" XADD events '*' kind logout user 1
run "$cli" -p "$source" XREADGROUP GROUP readers bob COUNT 1 STREAMS events '>'

title 'Stop it in order: Ctrl-C, or this'
wait_for_scan
run kill -INT "$live"
status=0
wait "$live" || status=$?
rm "$folder/live.pid"
grep -v ' events, ' "$folder/live.err" || true
cat "$folder/live.out"
if ((status != 0)); then exit "$status"; fi

title 'Compare both ways: deletions came over, too'
run "$riot" compare --both "127.0.0.1:$source" "127.0.0.1:$target"

title 'Clean up'
run "$cli" -p "$source" SHUTDOWN NOSAVE
run "$cli" -p "$target" SHUTDOWN NOSAVE
