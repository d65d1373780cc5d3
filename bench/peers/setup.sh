#!/bin/sh
# setup.sh FOLDER [SERVER...]: installs the named servers of servers.toml (none named: all) and the frameworks into FOLDER/main,
# and builds the floors into FOLDER/floor. A server that does not install is named and left out.
# Needs: python3.11 with its headers, a C++ compiler, wrk, h2load (Debian: wrk nghttp2-client), openssl.
here=$(cd "$(dirname "$0")" && pwd)
root=${1:?usage: setup.sh FOLDER [SERVER...]}
shift
servers=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$here/servers.toml")
for name in "$@"; do
    printf '%s\n' "$servers" | grep -qxF -- "$name" || { echo "no server '$name' in servers.toml" >&2; exit 2; }
done

# The install command of every wanted server, once each.
commands() {
    sed -n 's/^name = "\(.*\)"$/name \1/p; s/^install = "\(pip install .*\)"$/do \1/p' "$here/servers.toml" |
        while read -r key value; do
            [ "$key" = name ] && name=$value && continue
            for wanted in "${@:-$name}"; do
                [ "$wanted" = "$name" ] && printf '%s\n' "$value"
            done
        done | sort -u
}

python3.11 -m venv "$root/main" || exit 1
frameworks="flask django falcon"
[ $# -gt 0 ] || frameworks="$frameworks fastapi starlette"
# shellcheck disable=SC2086
"$root/main/bin/pip" install -q 'setuptools<81' wheel $frameworks || exit 1
commands "$@" | while read -r command; do
    PATH="$root/main/bin:$PATH" timeout 400 sh -c "$command" >"$root/install.log" 2>&1 </dev/null ||
        echo "left out: $command ($(tail -1 "$root/install.log" | cut -c1-120))"
done
"$here/floor/build.sh" "$root/floor" python3.11-config
