"""The results of bench-quality as a table and a picture.

usage: report.py RESULTS [--publish]
  RESULTS    a file whose last line is what the bench says last
  --publish  into docs/: quality.json, quality.svg, and the table in benchmarks.md

Without `--publish` both lie beside RESULTS, with its name and .md and .svg.
"""

import json
import pathlib
import sys

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
BEGIN, END = "<!-- bench-quality: made by benches/quality/report.py -->\n", "<!-- bench-quality: end -->\n"

CODECS = {"pcmu": "PCMU", "pcma": "PCMA", "g722": "G.722", "opus": "Opus"}
WHO = {"ours": "offhook", "baresip": "baresip", "linphone": "Linphone"}


# The table.


def cell(point):
    if point is None:
        return "–"
    values = [f"{point[who]:.2f}" for who in WHO if who in point]
    return " / ".join([f"**{values[0]}**", *values[1:]])


def table(results):
    points = results["points"]
    at = {(point["jitter_ms"], point["loss"], point["bursty"], point["codec"]): point for point in points}
    codecs = [codec for codec in CODECS if any(point["codec"] == codec for point in points)]
    delays = points[0]["codec"]
    lines = [
        f"| jitter ms | loss % | {' | '.join(CODECS[codec] for codec in codecs)} | delay ms |",
        f"|---|---|{'---|' * len(codecs)}---|",
    ]
    for jitter, loss, bursty in sorted({key[:3] for key in at}):
        row = [at.get((jitter, loss, bursty, codec)) for codec in codecs]
        first = at.get((jitter, loss, bursty, delays), {})
        delay = [f"{first[key]:.0f}" for key in ("ours_delay_ms", "baresip_delay_ms") if key in first]
        bursts = " in bursts" if bursty else ""
        lines.append(f"| {jitter} | {loss}{bursts} | {' | '.join(map(cell, row))} | {' / '.join(delay)} |")
    return "\n".join(lines) + "\n"


def verdict(results):
    compared, below = results["compared"], results["below"]
    if not compared:
        return "Nothing was compared.\n"
    if not below:
        places = "none"
    else:
        places = "; ".join(
            f"{CODECS[place['codec']]}, {place['loss']} %{' in bursts' if place['bursty'] else ''}, "
            f"{place['jitter_ms']} ms: {place['by']:.2f} below {WHO[place['peer']]}"
            for place in below
        )
    if results["sent_late_p99_ms"] is None:
        conditions = "These are of several runs: where a peer was measured in two, it has the better figure."
    else:
        conditions = (
            f"Measured on {results['cores']} cores, {results['company']} calls to peers at once; in the worst of these one packet of a hundred left "
            f"more than {results['sent_late_p99_ms']:.1f} ms late."
        )
    return (
        f"{conditions} Of {compared} comparisons ours is below theirs by more than {results['tolerance']}: {places}. "
        f"The smallest lead is {results['worst']:.3f}.\n"
    )


# The picture: a column for each codec, and three rows.

WIDTH, HEIGHT, LEFT, TOP = 210, 170, 52, 84
ACROSS, DOWN = WIDTH + 28, HEIGHT + 66
LOW, HIGH = 1.0, 4.75
ROWS = [
    ("lost packets, %; no jitter", "loss", lambda point: point["jitter_ms"] == 0),
    ("jitter, ms; 5 % lost", "jitter_ms", lambda point: point["loss"] == 5),
    ("jitter, ms; none lost", "jitter_ms", lambda point: point["loss"] == 0),
]
# Told apart by colour-blind eyes too, and on a dark page: the picture brings its own ground.
STYLE = """
.ground{fill:#ffffff;stroke:#d0d7de}.text{fill:#1f2328}.faint{fill:#59636e}.grid{stroke:#d8dee4}
.line{fill:none;stroke-width:1.6}.ours{stroke:#0969da;stroke-width:4}.baresip{stroke:#bc4c00}.linphone{stroke:#1a7f37}
.mark.ours{fill:#0969da;stroke:none}.mark.baresip{fill:#bc4c00;stroke:none}.mark.linphone{fill:#1a7f37;stroke:none}
@media (prefers-color-scheme: dark){
.ground{fill:#0d1117;stroke:#3d444d}.text{fill:#f0f6fc}.faint{fill:#9198a1}.grid{stroke:#30363d}
.ours{stroke:#58a6ff}.baresip{stroke:#f0883e}.linphone{stroke:#3fb950}
.mark.ours{fill:#58a6ff}.mark.baresip{fill:#f0883e}.mark.linphone{fill:#3fb950}
}
"""


def mark(who, x, y):
    """Each has a shape of its own, for print."""
    if who == "ours":
        return f'<circle class="mark ours" cx="{x:.1f}" cy="{y:.1f}" r="4.6"/>'
    if who == "baresip":
        return f'<path class="mark baresip" d="M{x - 2.6:.1f} {y - 2.6:.1f}h5.2v5.2h-5.2z"/>'
    return f'<path class="mark {who}" d="M{x:.1f} {y - 3.3:.1f}l3.2 5.6h-6.4z"/>'


def stroke(who, dashed, path):
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<path class="line {who}" d="{path}"{dash}/>'


def panel(points, left, top, key, wanted):
    """PESQ over `key`; what is lost in bursts is dashed."""
    chosen = sorted((point for point in points if wanted(point)), key=lambda point: point[key])
    most = max([point[key] for point in chosen] + [1])

    def x(value):
        return left + 6 + value / most * (WIDTH - 12)

    def y(value):
        return top + HEIGHT - (value - LOW) / (HIGH - LOW) * HEIGHT

    drawn = []
    for value in (1, 2, 3, 4):
        drawn.append(f'<path class="grid" d="M{left} {y(value):.1f}h{WIDTH}"/>')
        drawn.append(f'<text class="faint" x="{left - 7}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>')
    for value in sorted({point[key] for point in chosen}):
        drawn.append(f'<text class="faint" x="{x(value):.1f}" y="{top + HEIGHT + 17}" text-anchor="middle">{value}</text>')
    # Ours first, and broader: where others sound the same, both are seen.
    for who in WHO:
        for dashed in (True, False):
            # Without loss nothing is in bursts: both lines begin there, where they have more than that.
            line = [
                (x(point[key]), y(point[who]))
                for point in chosen
                if who in point and (point["bursty"] == dashed or (key == "loss" and point["loss"] == 0))
            ]
            if len(line) > 1:
                drawn.append(stroke(who, dashed, "M" + "L".join(f"{at:.1f} {value:.1f}" for at, value in line)))
                drawn.extend(mark(who, at, value) for at, value in line)
    return drawn


def picture(results):
    points = results["points"]
    codecs = [codec for codec in CODECS if any(point["codec"] == codec for point in points)]
    width, height = LEFT + ACROSS * max(len(codecs), 2), TOP + DOWN * len(ROWS) - 14
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        "<title>PESQ of speech behind a bad line: offhook, baresip and Linphone</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
    ]
    at = LEFT
    for who in (who for who in WHO if any(who in point for point in points)):
        drawn.append(stroke(who, False, f"M{at} 26h34"))
        drawn.append(mark(who, at + 17, 26))
        drawn.append(f'<text class="text" x="{at + 41}" y="30">{WHO[who]}</text>')
        at += 128
    for words, dashed in (("each lost by its own chance", False), ("lost in bursts", True)):
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        drawn.append(f'<path d="M{at} 26h34" fill="none" stroke="#818b98" stroke-width="2"{dash}/>')
        drawn.append(f'<text class="text" x="{at + 41}" y="30">{words}</text>')
        at += 240
    for column, codec in enumerate(codecs):
        left = LEFT + column * ACROSS
        mode = "PESQ, wide band" if codec in ("g722", "opus") else "PESQ"
        drawn.append(
            f'<text class="text" x="{left}" y="62" font-weight="bold">{CODECS[codec]}'
            f'<tspan class="faint" font-weight="normal" dx="8">{mode}</tspan></text>'
        )
        of_codec = [point for point in points if point["codec"] == codec]
        for row, (words, key, wanted) in enumerate(ROWS):
            top = TOP + row * DOWN
            drawn.extend(panel(of_codec, left, top, key, wanted))
            drawn.append(
                f'<text class="faint" x="{left + WIDTH / 2}" y="{top + HEIGHT + 34}" text-anchor="middle">{words}</text>'
            )
    return "\n".join([*drawn, "</svg>\n"])


def main():
    paths = [word for word in sys.argv[1:] if word != "--publish"]
    if len(paths) != 1:
        sys.exit(__doc__)
    path = pathlib.Path(paths[0])
    line = path.read_text().rstrip("\n").splitlines()[-1]
    results = json.loads(line)
    words = table(results) + "\n" + verdict(results)
    path.with_suffix(".md").write_text(words)
    path.with_suffix(".svg").write_text(picture(results))
    print(f"\nreport: {path.with_suffix('.md')}, {path.with_suffix('.svg')}")
    if "--publish" in sys.argv:
        page = DOCS / "benchmarks.md"
        before, rest = page.read_text().split(BEGIN)
        page.write_text(before + BEGIN + words + END + rest.split(END)[1])
        (DOCS / "quality.json").write_text(line + "\n")
        (DOCS / "quality.svg").write_text(picture(results))
        print("published: docs/quality.json, docs/quality.svg, and the table in docs/benchmarks.md")


main()
