# shellcheck shell=sh
# A package does not go onto a journal that only a later Steno can read: said before anything is unpacked, so that nothing
# has to be undone. For preinst and %pre, by packaging/refuse-downgrade, which puts in the version that this package knows.
steno_refuse_downgrade() {
    # Of SQLite's file header: its name, user_version at byte 60, application_id ("Stno") at byte 68. What is no journal of
    # ours stenod sets aside, and makes a new one.
    header=$(od -An -v -t x1 -N 100 "$1" 2>/dev/null | tr -d ' \n') || header=
    case $header in
    53514c69746520666f726d6174203300*) ;;
    *) return 0 ;;
    esac
    [ "$(printf %s "$header" | cut -c 137-144)" = 53746e6f ] || return 0
    known=@JOURNAL_VERSION@
    version=$((0x$(printf %s "$header" | cut -c 121-128)))
    [ "$version" -gt "$known" ] || return 0
    cat >&2 <<STENO_WORDS
steno: this is not installed: the journal $1 is of version $version, made by a later Steno,
and this one knows versions up to $known: it would not start. Nothing was changed. Either stay with the later one,
or go back to the journal as it was before that: stop stenod, remove $1-wal and -shm, and move $1.v$known,
where there is one, to $1. What happened since is not in it.
STENO_WORDS
    return 1
}
state_dir=$(sed -n 's/^[[:space:]]*state_dir[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' /etc/steno/steno.conf 2>/dev/null) ||
    state_dir=
steno_refuse_downgrade "${state_dir:-/var/lib/steno}/journal.sqlite" || exit 1
