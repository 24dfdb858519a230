#!/bin/sh
# An assembler that does on demand what a real one would not. SPOOL/assemble.mode holds one word a run; the first is taken.
# Called as: steno-assemble assemble CAPTURE --output OUT --json [--section N] [--join] …
# SPOOL/assemble.args has what it was called with last; keys.got the keys it asked for, output.key what came by --output-key-fd.
capture=$2 out=$4 section=0 join= sealed=
spool=$(dirname "$capture")
echo "$*" >"$spool/assemble.args"
while [ $# -gt 0 ]; do
    case $1 in
    --section) section=$2 ;;
    --join) join=joined ;;
    --sealed) sealed=1 ;;
    --output-key-fd) eval "cat <&$2" >"$spool/output.key" ;;
    esac
    shift
done
mode_file=$spool/assemble.mode mode=
if [ -s "$mode_file" ]; then
    mode=$(head -n 1 "$mode_file")
    sed -i 1d "$mode_file"
fi
echo "$section $join $mode" >>"$spool/assemble.runs"
fail() {
    echo "{\"error\":{\"code\":\"$1\",\"message\":\"as the script says\"}}"
    exit 1
}
[ -e "$capture/recording.json" ] && about=$capture/recording.json || about=$capture/manifest.json
id=$(sed 's/.*"id":"\([^"]*\)".*/\1/' "$about")
number=$(printf %03d "$section")
[ "$section" = 0 ] && name=manifest.json || name=manifest.$number.json
manifest() {
    echo "{\"recording\":{\"id\":\"$id\",\"end_reason\":\"stopped\",\"error\":null,\"join\":\"$join\"},\"outputs\":[$1]}" >"$out/$name"
}
# output FILE TEXT: as the manifest lists it
output() {
    echo "{\"file\":\"$1\",\"size_bytes\":$(echo "$2" | wc -c),\"sha256\":\"$(echo "$2" | sha256sum | cut -c 1-64)\"}"
}
# sealed CAUSE: there are only sealed frames
sealed() {
    [ "$section" = 0 ] && file=sealed-recording.json || file=sealed-recording.$number.json
    echo "sealed frames of $id" >"$out/$file"
    row=$(output "$file" "sealed frames of $id")
    echo "{\"recording\":{\"id\":\"$id\",\"end_reason\":\"stopped\",\"error\":null},\"gaps\":[{\"cause\":\"$1\"}],\"outputs\":[{\"kind\":\"sealed\",${row#?}]}" >"$out/$name"
}
ask() {
    echo '{"keys_wanted":[{"participant":"alice","kid":"18446744073709551615"}]}'
}
mkdir -p "$out"
case $mode in
ask)
    ask
    cat >"$spool/keys.got"
    if [ ! -s "$spool/keys.got" ]; then
        sealed no-key
        fail no-key
    fi
    ;;
ask-die)
    ask
    kill -9 $$
    ;;
ask-late)
    ask
    ask
    until [ -e "$spool/read" ]; do sleep 0.05; done
    cat >"$spool/keys.got"
    ;;
check)
    ask
    cat >"$spool/keys.got"
    [ "$(tail -c 1 "$spool/keys.got")" = "}" ] || fail keys-invalid
    ;;
invalid) fail keys-invalid ;;
bad-key | no-key)
    sealed $mode
    fail $mode
    ;;
sealed)
    sealed no-key
    [ "$sealed" ] && echo '{"done":true}' && exit 0
    fail no-key
    ;;
crash) kill -9 $$ ;;
full) fail storage-full ;;
damaged) fail capture-damaged ;;
nothing)
    manifest ''
    fail nothing-recorded
    ;;
hang) exec sleep 60 ;;
esac
echo '{"progress":0.5}'
if [ "$section" = 0 ]; then
    text="media of $id $join"
    file=alice.webm
else
    text="media of $id section $section"
    file=alice.$number.webm
fi
echo "$text" >"$out/$file"
all=$(output $file "$text")
# The whole lists what is written down as stored of the sections before.
for stored in "$capture"/section-*.json; do
    [ -e "$stored" ] && [ "$section" = 0 ] && [ -z "$join" ] || continue
    n=$(echo "$stored" | sed 's/.*section-0*\([0-9]*\).json/\1/')
    if grep -q '"kind": *"sealed"' "$stored"; then
        row=$(output "sealed-recording.$(printf %03d "$n").json" "sealed frames of $id")
        row="{\"kind\":\"sealed\",${row#?}"
    else
        row=$(output "alice.$(printf %03d "$n").webm" "media of $id section $n")
    fi
    all="$row,$all"
done
[ "$mode" = flip ] && echo "media of $id, not" >"$out/$file"
[ "$mode" = rot ] && echo "$text" | tr a b >"$out/$file"
manifest "$all"
echo '{"done":true}'
