# Sourced by tests/run, .ci/run and packaging/quickstart: what a fresh Debian 12 lacks.

BUILD_PACKAGES="build-essential cmake ninja-build pkg-config ca-certificates git procps openssl
libglib2.0-dev libjansson-dev libssl-dev libcurl4-openssl-dev libnice-dev libsrtp2-dev
libwebsockets-dev libsqlite3-dev libconfig-dev libseccomp-dev python3-yaml
libavformat-dev libavcodec-dev libavutil-dev libavfilter-dev libswscale-dev libswresample-dev"
TEST_PACKAGES="libcmocka-dev python3 python3-numpy python3-jsonschema ffmpeg mandoc zsh fish"
PEER_PACKAGES="janus janus-tools coturn chromium cron curl hey testssl.sh jq"
S3_PACKAGES="radosgw ceph-mon ceph-osd ceph-common rclone awscli python3-boto3"
PACKAGING_PACKAGES="debhelper dh-apparmor dpkg-dev fakeroot lintian rpm rpmlint mmdebstrap systemd systemd-container prometheus apparmor strace gnupg gpgv
elfutils selinux-policy-dev semodule-utils python3-setools shellcheck"
CLANG_PACKAGES="clang clang-14 lld llvm-14 libclang-rt-14-dev clang-format-14"
BENCH_PACKAGES="nginx-light gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
libgstreamer1.0-dev"

# need PACKAGE…: installs those that are not there yet, and asks nothing. As root, or with sudo.
need() {
    local missing=() package as=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || as=(sudo)
    # A server must not be started by its installation: the tests start their own.
    local log policy=/usr/sbin/policy-rc.d made= status=0
    log=$(mktemp)
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >"$log"
        "${as[@]}" install -m 755 "$log" $policy
        made=1
    fi
    "${as[@]}" apt-get update -q >"$log" 2>&1 &&
        "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" \
            >>"$log" 2>&1 || status=$?
    [ -z "$made" ] || "${as[@]}" rm -f $policy
    [ $status -eq 0 ] || tail -20 "$log"
    rm -f "$log"
    return $status
}

# need_pages: node and the npm packages of tests/chromium.
need_pages() {
    command -v node >/dev/null || need nodejs
    [ ! -d tests/chromium/node_modules/playwright-core ] ||
        ! cmp -s tests/chromium/package-lock.json tests/chromium/node_modules/.installed-from || return 0
    command -v npm >/dev/null || need npm
    (cd tests/chromium && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error &&
        cp package-lock.json node_modules/.installed-from)
}

# need_versitygw: an S3 server of Go modules, which Debian has not. Where there is no Go, the tests that want it are skipped.
VERSITYGW_VERSION=v1.7.0
need_versitygw() {
    local to=tests/results/go
    [ ! -x $to/versitygw ] || return 0
    command -v go >/dev/null || return 0
    echo "installing versitygw $VERSITYGW_VERSION"
    mkdir -p $to
    GOBIN=$PWD/$to GOFLAGS=-mod=mod go install github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION
}
