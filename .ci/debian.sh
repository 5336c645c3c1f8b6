# Debian root directories, for .ci/versions and .ci/docker. Sourced, by bash.

work=${WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/mosquitto-go}

die() { echo "$*" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The mirror that apt uses on this machine, if that is a Debian with one.
mirror() {
	local uri=
	if grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
		uri=$(sed -nE 's/^(URIs:|deb (\[.*\] )?) *(https?:[^ ]*\/debian\/?)( .*)?$/\3/p' \
			/etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1)
	fi
	echo "${uri:-http://deb.debian.org/debian}"
}

# make_root DIR SUITE PACKAGE,...: a Debian in DIR, kept until SUITE or the
# packages change. One that was not finished has no stamp, and is made again.
make_root() {
	local dir=$1 suite=$2 packages=$3 script started=$SECONDS
	[ "$(cat "$dir/.made" 2>/dev/null)" = "$suite $packages" ] && return
	.ci/need debootstrap keyring
	script=/usr/share/debootstrap/scripts/$suite
	[ -e "$script" ] || script=${script%/*}/sid # a debootstrap older than the suite
	echo "Making $dir ($suite, from $(mirror))"
	mkdir -p "$work"
	delete_root "$dir"
	as_root env http_proxy="$(apt_proxy)" DEBIAN_FRONTEND=noninteractive \
		PATH="$PATH:/usr/sbin:/sbin" \
		debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		--include="$packages" "$suite" "$dir" "$(mirror)" "$script" >"$dir.log" 2>&1 </dev/null ||
		{ tail -n 20 "$dir.log" >&2; die "debootstrap of $suite failed: $dir.log"; }
	as_root chroot "$dir" apt-get clean
	echo "$suite $packages" | as_root tee "$dir/.made" >/dev/null
	echo "Made it in $((SECONDS - started)) s"
}

delete_root() { # DIR
	! grep -qF " $1/" /proc/mounts || die "something is mounted under $1"
	as_root rm -rf --one-file-system "$1"
}

apt_proxy() { local proxy=${http_proxy:-}; eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null)"; echo "$proxy"; }
