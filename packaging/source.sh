# Sourced at the source's top by what makes packages: which files they are made from, and of when they are.

# git, also in a checkout of somebody else's.
source_git() {
    git -c safe.directory="$PWD" "$@"
}

source_is_checkout() {
    [ -e .git ] && source_git rev-parse --git-dir >/dev/null 2>&1
}

# source_list: the files that packages are made from, each ended by a NUL: those of the checkout that git does not ignore, as
# they are now, or all of an unpacked source. Tests and gates are not among them.
source_list() {
    local file
    if source_is_checkout; then
        source_git ls-files -z -co --exclude-standard | while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done
    else
        find . \( -path './build*' -o -name .git -o -name .cache -o -name node_modules -o -name __pycache__ \) -prune \
            -o \( -type f -o -type l \) -printf '%P\0'
    fi | grep -zvE '^(tests|\.ci)/' | LC_ALL=C sort -z
}

# source_copy DIR: those files in DIR, and no former ones that are gone. What has not changed keeps its time.
source_copy() {
    local list=$1/.source-list
    mkdir -p "$1"
    source_list >"$list.new"
    if [ -e "$list" ]; then
        LC_ALL=C comm -z -23 "$list" "$list.new" | (cd "$1" && xargs -0 -r rm -f)
    fi
    tar -c --no-recursion --null -T "$list.new" | tar -x -C "$1" --no-same-owner
    mv "$list.new" "$list"
}

# source_epoch: when the source is of, in seconds of Unix time.
source_epoch() {
    if source_is_checkout; then
        source_git log -1 --format=%ct
    else
        source_list | xargs -0 stat -c %Y | sort -n | tail -n 1
    fi
}

source_version() {
    sed -n 's/^project(steno VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt
}
