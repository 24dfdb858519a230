#!/bin/sh
# An assembler that does on demand what a real one would not. SPOOL/assemble.mode holds one word a run; the first is taken.
# Called as: steno-assemble assemble CAPTURE --output OUT --json [--section N] [--join] …
capture=$2 out=$4 section=0 join=
while [ $# -gt 0 ]; do
    case $1 in
    --section) section=$2 ;;
    --join) join=joined ;;
    esac
    shift
done
mode_file=$(dirname "$capture")/assemble.mode mode=
if [ -s "$mode_file" ]; then
    mode=$(head -n 1 "$mode_file")
    sed -i 1d "$mode_file"
fi
echo "$section $join $mode" >>"$(dirname "$capture")/assemble.runs"
fail() {
    echo "{\"error\":{\"code\":\"$1\",\"message\":\"as the script says\"}}"
    exit 1
}
id=$(sed 's/.*"id":"\([^"]*\)".*/\1/' "$capture/recording.json")
number=$(printf %03d "$section")
[ "$section" = 0 ] && name=manifest.json || name=manifest.$number.json
manifest() {
    echo "{\"recording\":{\"id\":\"$id\",\"end_reason\":\"stopped\",\"error\":null,\"join\":\"$join\"},\"outputs\":[$1]}" >"$out/$name"
}
# output FILE TEXT: as the manifest lists it
output() {
    echo "{\"file\":\"$1\",\"size_bytes\":$(echo "$2" | wc -c),\"sha256\":\"$(echo "$2" | sha256sum | cut -c 1-64)\"}"
}
mkdir -p "$out"
case $mode in
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
    all="$(output "alice.$(printf %03d "$n").webm" "media of $id section $n"),$all"
done
[ "$mode" = flip ] && echo "media of $id, not" >"$out/$file"
[ "$mode" = rot ] && echo "$text" | tr a b >"$out/$file"
manifest "$all"
echo '{"done":true}'
