#!/usr/bin/env bash
# Draws docs/quickstart.svg from a run of examples/quickstart: its lines of code, each with what it printed.
set -euo pipefail
cd "$(dirname "$0")/.."

steps=$(grep -E '^ +(add\(|pool\.call\(|let [a-z]+ = pool\.(call|place_child)\()' examples/quickstart/src/main.rs | sed -E 's/^ +//')
printed=$(cargo run --quiet -p quickstart)
[[ $(wc -l <<<"$steps") == $(wc -l <<<"$printed") ]] || { echo "the code and what it prints do not match" >&2; exit 1; }

# The first line is printed by the parent, the second by a runner.
read -r parent runner < <(grep -oE 'process [0-9]+' <<<"$printed" | awk 'NR <= 2 { printf "%s ", $2 } END { print "" }')

paste -d '\n' <(sed 's/^/code /' <<<"$steps") <(sed 's/^/said /' <<<"$printed") |
    awk '
    function xml(text) { gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text); return text }
    function text(x, class, content) {
        body = body sprintf("  <text x=\"%d\" y=\"%d\" class=\"%s\" xml:space=\"preserve\">%s</text>\n", x, y, class, content)
    }
    function width(columns) { if (columns * 7.85 + 48 > w) w = int(columns * 7.85 + 48) }
    BEGIN { y = 38; text(24, "said", "$ cargo run -p quickstart") }
    {
        line = substr($0, 6)
        width(length(line) + 2)
        shown = xml(line)
        if ($1 == "code") {
            y += 36
            sub(/\/\/.*/, "<tspan class=\"note\">&</tspan>", shown)
            text(24, "code", shown)
        } else {
            y += 21
            text(40, "said", shown)
        }
    }
    END {
        y += 44
        text(24, "note", "<tspan class=\"parent\">&#9679;</tspan> the parent, started by hand    <tspan class=\"runner\">&#9679;</tspan> a runner, booted by the pool: a copy of the same executable")
        h = y + 24
        printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n", w, h, w, h
        print "  <!-- Drawn by docs/picture.sh from a run. -->"
        print "  <style>"
        print "    text { font: 13px ui-monospace, \"SFMono-Regular\", Menlo, Consolas, \"DejaVu Sans Mono\", monospace }"
        print "    .said { fill: #e6edf3 } .code { fill: #79c0ff } .note { fill: #8b949e } .parent { fill: #ffa657 } .runner { fill: #7ee787 }"
        print "  </style>"
        printf "  <rect x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#161b22\" stroke=\"#444c56\"/>\n", w - 1, h - 1
        printf "%s</svg>\n", body
    }' |
    sed -E "s|process $parent\\b|<tspan class=\"parent\">&</tspan>|g; s|process $runner\\b|<tspan class=\"runner\">&</tspan>|g" \
        >docs/quickstart.svg
echo "docs/quickstart.svg"
