#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# libraries.sh PREFIX: builds the static libraries of libraries.list into PREFIX.
#
# A source archive comes from the first of
#   1. $DISTDIR/FILE, a folder of archives on this machine;
#   2. the Debian mirror this machine's apt uses, by its path in the pool;
#   3. (the pinned file has left the mirror) the newest archive of the same major version in
#      $DEPS_SUITES, found and verified by a private apt, with a warning.
# Archives of 1 and 2 must have the pinned SHA-256.  A library that was built from the same archive by
# the same recipe is not built again.  Sources and logs stay in PREFIX/src.  Needs no privileges.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
prefix=$(mkdir -p "$1" && cd "$1" && pwd)
src=$prefix/src
jobs=${JOBS:-$(nproc)}
distdir=${DISTDIR:+$(cd "$DISTDIR" && pwd)}
suites=${DEPS_SUITES:-forky sid trixie-backports trixie}

say() { printf 'deps: %s\n' "$*"; }
warn() { printf 'deps: warning: %s\n' "$*" >&2; }
die() {
	printf 'deps: error: %s\n' "$*" >&2
	exit 1
}

# ---- recipes: configure flags in a variable of the stamp, the build in a function ----

common='--enable-static --disable-shared --with-pic'

# TLS 1.3 over QUIC with ML-KEM-768 and ML-DSA-65.  Hybrid groups are compiled in; the daemon decides at
# run time which groups it offers.  aesecb: ngtcp2's helper needs it for header protection.
# tls-mlkem-standalone: without it wolfSSL offers ML-KEM only inside hybrids.  ip-alt-name and
# ALT_NAMES: subject alternative names in certificates we make.  rsa, ed25519: certificates of public
# authorities, for profile hybrid; the library does not build with public RSA keys alone.
wolfssl_flags="$common
	--enable-quic --enable-aesecb --enable-session-ticket --enable-earlydata --enable-psk
	--enable-mlkem=make,encapsulate,decapsulate,768 --enable-tls-mlkem-standalone
	--enable-mldsa=make,sign,verify,65 --enable-sp --enable-aesgcm-stream
	--enable-keygen --enable-certgen --enable-certext --enable-certreq --enable-ip-alt-name
	--enable-harden --enable-altcertchains
	--disable-oldtls --disable-tlsv12 --disable-dh --enable-rsa --enable-ed25519
	--disable-examples --disable-crypttests CPPFLAGS=-DWOLFSSL_ALT_NAMES"
[ "$(uname -m)" != x86_64 ] || wolfssl_flags="$wolfssl_flags --enable-intelasm"

nghttp3_flags="$common --enable-lib-only"
ngtcp2_flags="$common --enable-lib-only --with-wolfssl
	--without-openssl --without-libev --without-libnghttp3 --without-jemalloc"
libbpf_flags='BUILD_STATIC_ONLY=1'
xdp_tools_flags='BUILD_STATIC_ONLY=1'

build_wolfssl() {
	autoreconf -i -f
	./configure --prefix="$prefix" $wolfssl_flags
	make -j"$jobs" install
}

build_nghttp3() {
	./configure --prefix="$prefix" $nghttp3_flags
	make -j"$jobs" install
}

# The library itself also contains intermediate code, for programs that are linked with -flto.
build_ngtcp2() {
	./configure --prefix="$prefix" PKG_CONFIG='pkg-config --static' $ngtcp2_flags
	make -j"$jobs" -C lib CFLAGS="$CFLAGS -flto -ffat-lto-objects"
	make -j"$jobs" install
}

# Position independent, because test programs share it in libparts.so.
build_libbpf() {
	make -j"$jobs" -C src $libbpf_flags CFLAGS="$CFLAGS -fPIC" PREFIX="$prefix" LIBDIR="$prefix/lib" \
		install install_uapi_headers
}

# The source archive has no libbpf inside, and its configure takes one word as PKG_CONFIG.
build_xdp_tools() {
	printf '#!/bin/sh\nexec pkg-config --static "$@"\n' > pkg-config-static
	chmod +x pkg-config-static
	FORCE_SYSTEM_LIBBPF=1 PKG_CONFIG=$PWD/pkg-config-static ./configure
	export CFLAGS="$CFLAGS -fPIC"
	make -j"$jobs" libxdp $xdp_tools_flags
	make -C lib/libxdp install $xdp_tools_flags PREFIX="$prefix" LIBDIR="$prefix/lib"
}

# ---- source archives ----

has_sum() { # FILE SHA256
	[ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status
}

# Keep the names of this machine's mirrors out of our output.
hide_hosts() { sed -E -e 's#([a-z+]+://)[^/ ]+#\1<mirror>#g' -e 's# *\[IP: [^]]*\]##'; }

# The Debian mirror of this machine, without a trailing slash.  apt knows it once it has lists; before
# the first update, only the sources files name it.
mirror_url() {
	local url files
	url=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' \
		2> /dev/null | awk '$1 == "Debian" { print $2; exit }')
	if [ -z "$url" ]; then
		files=$(ls /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
			/etc/apt/sources.list.d/*.sources 2> /dev/null || true)
		url=$(awk '/^[ \t]*#/ { next }
			$1 == "URIs:" || $1 == "deb" {
				for (i = 2; i <= NF; i++)
					if ($i ~ /:\/\// && $i ~ /debian\/?$/ && $i !~ /security/) {
						print $i
						exit
					}
			}' $files < /dev/null)
	fi
	printf '%s' "${url%/}"
}

# A private apt in $src/apt with the sources of these suites and the machine's proxies, unprivileged.
private_apt() {
	local apt=$src/apt suite
	[ "$private_apt_ready" = no ] || return 0
	rm -rf "$apt"
	mkdir -p "$apt"/etc/{sources.list.d,preferences.d,trusted.gpg.d} \
		"$apt/state/lists/partial" "$apt/cache/archives/partial"
	: > "$apt/state/status"
	for suite in $suites; do
		printf 'deb-src [signed-by=%s] %s %s main\n' \
			/usr/share/keyrings/debian-archive-keyring.gpg "$mirror" "$suite"
	done > "$apt/etc/sources.list"
	cat > "$apt/apt.conf" <<-CONF
		Dir::Etc::sourcelist "$apt/etc/sources.list";
		Dir::Etc::sourceparts "$apt/etc/sources.list.d";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "$apt/etc/preferences.d";
		Dir::Etc::trusted "/dev/null";
		Dir::Etc::trustedparts "$apt/etc/trusted.gpg.d";
		Dir::State "$apt/state";
		Dir::State::Lists "$apt/state/lists";
		Dir::State::status "$apt/state/status";
		Dir::Cache "$apt/cache";
		Dir::Cache::pkgcache "";
		Dir::Cache::srcpkgcache "";
		Acquire::Languages "none";
		Acquire::Retries "3";
		APT::Sandbox::User "";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	CONF
	apt-get -qq -c "$apt/apt.conf" update 2>&1 < /dev/null | hide_hosts >&2 || true
	private_apt_ready=yes
}

# fetch_pinned NAME VERSION FILE SHA256: sets $archive, or returns 1
fetch_pinned() {
	local base=${3##*/} log=$src/$1-download.log
	archive=$src/dist/$base

	if has_sum "$archive" "$4"; then
		return 0
	fi
	if [ -n "$distdir" ] && has_sum "$distdir/$base" "$4"; then
		cp "$distdir/$base" "$archive"
		return 0
	fi
	mirror=${mirror:-$(mirror_url)}
	[ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources; give DISTDIR="
	say "downloading $1 $2"
	if /usr/lib/apt/apt-helper -qq -o Acquire::Retries=3 download-file \
		"$mirror/pool/main/$3" "$archive.part" "SHA256:$4" > "$log" 2>&1 < /dev/null; then
		mv "$archive.part" "$archive"
		return 0
	fi
	hide_hosts < "$log" | head -n 3 >&2
	return 1
}

# fetch_newest NAME VERSION: sets $archive to a stand-in of the same major version, or returns 1
fetch_newest() {
	local name=$1 major=${2%%.*} dir=$src/dist/$1-newest candidate upstream
	warn "$name $2 is not available as pinned; looking for the newest $major.x in: $suites"
	private_apt
	rm -rf "$dir"
	mkdir -p "$dir"
	for candidate in $(apt-cache -c "$src/apt/apt.conf" showsrc "$name" 2> /dev/null |
		awk '$1 == "Version:" { print $2 }' | sort -uVr); do
		upstream=${candidate#*:}
		upstream=${upstream%-*}
		case $upstream in "$major".*) ;; *) continue ;; esac
		# --tar-only: the mirror may have lost the packaging of a version and kept its archive
		(cd "$dir" && apt-get -qq -c "$src/apt/apt.conf" source --download-only --tar-only \
			--only-source "$name=$candidate" < /dev/null) > "$src/$name-download.log" 2>&1 ||
			continue
		archive=$(ls "$dir/${name}_$upstream".orig.tar.?z 2> /dev/null | head -n 1)
		[ -n "$archive" ] || continue
		warn "building $name $upstream in place of the pinned $2 (signed by Debian)"
		return 0
	done
	return 1
}

# ---- one library ----

# library NAME VERSION FILE SHA256
library() {
	local name=$1 id=${1//-/_} archive='' want
	local stamp=$prefix/stamps/$name flags=${1//-/_}_flags
	want="$2 $4 $(printf '%s %s' "${!flags}" "$(declare -f "build_$id")" | sha256sum | cut -c1-16)"
	[ "$(cat "$stamp" 2> /dev/null)" != "$want" ] || return 0

	fetch_pinned "$@" || fetch_newest "$name" "$2" || die "no source archive of $name"
	say "building $name $2 (log: $src/$name.log)"
	rm -rf "${src:?}/$name" "$stamp"
	mkdir "$src/$name"
	tar -x -f "$archive" -C "$src/$name" --strip-components=1
	# In a shell of its own, because in "( ... ) || die" bash would go on after a failed command, and
	# in a clean environment, because our make's variables (CC=, PREFIX=, -j) are not for theirs.
	(cd "$src/$name" && exec env -i PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C CFLAGS='-O2 -g' \
		PKG_CONFIG_PATH="$prefix/lib/pkgconfig" prefix="$prefix" jobs="$jobs" \
		"$flags=${!flags}" bash -eu -c "$(declare -f "build_$id"); build_$id") \
		> "$src/$name.log" 2>&1 < /dev/null || {
		tail -n 25 "$src/$name.log" >&2
		die "$name does not build; the whole log is $src/$name.log"
	}
	printf '%s\n' "$want" > "$stamp"
	[ "$name" != wolfssl ] || rm -f "$prefix/stamps/ngtcp2"
	[ "$name" != libbpf ] || rm -f "$prefix/stamps/xdp-tools"
}

mkdir -p "$src/dist" "$prefix/stamps"
# Two runs into one prefix take turns.
exec 9> "$prefix/.lock"
flock 9

mirror=''
private_apt_ready=no
while read -r name version file sum; do
	case $name in '' | '#'*) continue ;; esac
	library "$name" "$version" "$file" "$sum"
done < "$here/libraries.list"
