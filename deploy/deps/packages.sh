#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Installs the packages of packages.list that this machine lacks.  Without root it only prints what is
# missing; a missing package is an error if building needs it, and a warning if only tests do.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'deps: %s\n' "$*"; }

# missing NEED...: the packages of these kinds that are not installed, one a line
missing() {
	local arch kinds=" $* "
	arch=$(dpkg --print-architecture)
	sed 's/#.*//' "$here/packages.list" |
		awk -v kinds="$kinds" -v arch="$arch" \
			'NF >= 2 && index(kinds, " " $1 " ") && (NF == 2 || $3 == arch) { print $2 }' |
		sort -u > "$tmp/wanted"
	dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null |
		awk '$1 == "installed" { print $2 }' | sort -u > "$tmp/installed"
	comm -23 "$tmp/wanted" "$tmp/installed"
}

install() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends "$@" > "$tmp/apt.log" 2>&1 < /dev/null
}

refresh() {
	say 'apt-get update'
	apt-get -q -o DPkg::Lock::Timeout=300 update > "$tmp/apt.log" 2>&1 < /dev/null || true
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if ! command -v dpkg-query > /dev/null; then
	say 'this is not a Debian system: install the equivalents of deploy/deps/packages.list' >&2
	exit 0
fi

mapfile -t lacking < <(missing libs build test)
[ ${#lacking[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	say "these packages are missing: ${lacking[*]}" >&2
	say "install them as root: apt-get install --no-install-recommends ${lacking[*]}" >&2
	mapfile -t lacking < <(missing libs build)
	[ ${#lacking[@]} -eq 0 ] || {
		say "cannot build without: ${lacking[*]}" >&2
		exit 1
	}
	exit 0
fi

say "installing: ${lacking[*]}"
ls /var/lib/apt/lists/*_Packages* > /dev/null 2>&1 || refresh
# Old lists name package files that have since been replaced: a failure earns one refresh.
install "${lacking[@]}" || { refresh; install "${lacking[@]}"; } || {
	tail -n 20 "$tmp/apt.log" >&2
	say "apt-get could not install: ${lacking[*]}" >&2
	exit 1
}

# The package of the QUIC server starts it at every boot; the tests start it themselves.
case " ${lacking[*]} " in
*" ngtcp2-server "*) systemctl --quiet disable ngtcp2d.service 2> /dev/null || true ;;
esac
