#!/bin/sh
# An assembler that does on demand what a real one would not. SPOOL/assemble.mode holds one word a run; the first is taken.
# Called as: steno-assemble assemble CAPTURE --output OUT --json …
capture=$2 out=$4 mode_file=$(dirname "$2")/assemble.mode mode=
if [ -s "$mode_file" ]; then
    mode=$(head -n 1 "$mode_file")
    sed -i 1d "$mode_file"
fi
echo "$mode" >>"$(dirname "$capture")/assemble.runs"
fail() {
    echo "{\"error\":{\"code\":\"$1\",\"message\":\"as the script says\"}}"
    exit 1
}
id=$(sed 's/.*"id":"\([^"]*\)".*/\1/' "$capture/recording.json")
manifest() {
    echo "{\"recording\":{\"id\":\"$id\",\"end_reason\":\"stopped\",\"error\":null},\"outputs\":$1}" >"$out/manifest.json"
}
mkdir -p "$out"
case $mode in
crash) kill -9 $$ ;;
full) fail storage-full ;;
damaged) fail capture-damaged ;;
nothing)
    manifest '[]'
    fail nothing-recorded
    ;;
hang) exec sleep 60 ;;
esac
echo '{"progress":0.5}'
echo "media of $id" >"$out/alice.webm"
manifest '[{"file":"alice.webm"}]'
echo '{"done":true}'
