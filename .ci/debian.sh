# Functions for Debian root directories. The bash scripts in this directory source it.

work=${WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/mosquitto-go}

die() { echo "$*" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# mirror prints the address of a Debian mirror: $MIRROR or, on Debian, the mirror that apt
# uses. On other systems set MIRROR, for example: MIRROR=... make versions.
mirror() {
	local uri=${MIRROR:-}
	if [ -z "$uri" ] && grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
		uri=$(sed -nE 's/^(URIs:|deb (\[.*\] )?) *(https?:[^ ]*\/debian\/?)( .*)?$/\3/p' \
			/etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1)
	fi
	[ -n "$uri" ] || die "no Debian mirror found: set MIRROR to its address"
	echo "$uri"
}

# make_root DIR SUITE PACKAGE,...: installs Debian in DIR. It does nothing if DIR already
# has this suite and these packages. It writes the file .made last, so an incomplete
# directory is installed again. A lock prevents two scripts from using DIR at once.
make_root() {
	local dir=$1 suite=$2 packages=$3 script lock from started=$SECONDS
	mkdir -p "$work"
	exec {lock}>"$dir.lock"
	flock "$lock"
	if [ "$(cat "$dir/.made" 2>/dev/null)" = "$suite $packages" ]; then
		exec {lock}>&-
		return
	fi
	.ci/need debootstrap keyring unshare
	script=/usr/share/debootstrap/scripts/$suite
	[ -e "$script" ] || script=${script%/*}/sid # if debootstrap is older than the suite
	from=$(mirror)
	echo "Installing Debian $suite in $dir from $from"
	delete_root "$dir"
	as_root unshare --mount --propagation private --pid --fork --kill-child \
		env http_proxy="$(apt_proxy)" DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/sbin:/sbin" \
		debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		--include="$packages" "$suite" "$dir" "$from" "$script" >"$dir.log" 2>&1 </dev/null ||
		{ tail -n 20 "$dir.log" >&2; die "debootstrap of $suite failed: see $dir.log"; }
	as_root chroot "$dir" apt-get clean
	echo "$suite $packages" | as_root tee "$dir/.made" >/dev/null
	exec {lock}>&-
	echo "Installed in $((SECONDS - started)) s"
}

# add_packages DIR PACKAGE...: installs more packages in DIR, with the packages that they
# recommend. PACKAGE:ARCHITECTURE names a package of another architecture.
add_packages() {
	local dir=$1 lock package
	shift
	exec {lock}>"$dir.lock"
	flock "$lock"
	if [ "$(cat "$dir/.added" 2>/dev/null)" != "$*" ]; then
		echo "Installing in $dir: $*"
		for package; do
			[[ $package != *:* ]] || as_root chroot "$dir" dpkg --add-architecture "${package#*:}"
		done
		as_root unshare --mount --propagation private --pid --fork --kill-child \
			env http_proxy="$(apt_proxy)" DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -euc '
				mount -t proc proc "$1/proc"
				chroot "$1" apt-get -qq update
				chroot "$1" apt-get -qq -o Dpkg::Use-Pty=0 install -y "${@:2}"
				chroot "$1" apt-get clean' add_packages "$dir" "$@" >>"$dir.log" 2>&1 </dev/null ||
			{ tail -n 20 "$dir.log" >&2; die "apt-get failed: see $dir.log"; }
		echo "$*" | as_root tee "$dir/.added" >/dev/null
	fi
	exec {lock}>&-
}

delete_root() { # DIR
	! grep -qF " $1/" /proc/mounts || die "something is mounted under $1"
	as_root rm -rf --one-file-system "$1"
}

# apt_proxy prints the proxy that apt uses. debootstrap downloads with wget, which needs it
# in http_proxy.
apt_proxy() { local proxy=${http_proxy:-}; eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null)"; echo "$proxy"; }

# The packages that the tests and the benchmark need in a root directory.
test_packages=ca-certificates,gcc,libc6-dev,libmosquitto-dev,libssl-dev,mosquitto,mosquitto-clients,openssl,pkg-config

# in_root DIR COMMAND...: runs a command in DIR with this machine's Go, its downloaded
# modules and this source tree, all read-only. When the command ends, nothing stays mounted
# or running.
in_root() {
	local go share dir=$1
	shift
	go=$(go env GOROOT)
	share=$(dirname "$(realpath "$go/src")") # Debian's GOROOT has symbolic links to another directory
	as_root unshare --mount --propagation private --pid --fork --kill-child bash -euc '
		root=$1 go=$2 share=$3 modules=$4 source=$5
		shift 5
		bind_ro() { # DIR [PLACE]: bind-mounts DIR at PLACE, read-only
			mkdir -p "$root${2:-$1}"
			mount --bind "$1" "$root${2:-$1}"
			mount -o remount,bind,ro "$root${2:-$1}"
		}
		bind_ro "$go"
		[ "$share" = "$go" ] || bind_ro "$share"
		bind_ro "$modules" /modules
		bind_ro "$source" /source
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		echo "127.0.0.1 localhost" >"$root/etc/hosts"
		chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH="$go/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
			GOMODCACHE=/modules GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-buildvcs=false \
			sh -ec "cd /source; \"\$@\"" sh "$@"
	' in_root "$dir" "$go" "$share" "$(go env GOMODCACHE)" "$PWD" "$@" </dev/null
}
