//! The figures as a picture: for each codec PESQ over loss, and PESQ over jitter.

use std::fmt::Write as _;

use crate::{PEERS, Point};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 48.0;
const TOP: f64 = 40.0;
const GAP: f64 = 40.0;
/// The values of PESQ at the lower and the upper edge.
const LOW: f64 = 1.0;
const HIGH: f64 = 4.6;
/// Ours and theirs, dark enough on white and on print.
const COLOURS: [(&str, &str); 3] = [("offhook", "#0b6e4f"), (PEERS[0], "#c1440e"), (PEERS[1], "#5b5ea6")];

pub(crate) fn draw(points: &[Point]) -> String {
    let mut codecs: Vec<&str> = Vec::new();
    for point in points {
        if !codecs.contains(&point.codec) {
            codecs.push(point.codec);
        }
    }
    let (width, height) = (2.0 * (WIDTH + LEFT + GAP), codecs.len() as f64 * (HEIGHT + 2.0 * TOP + GAP));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (row, codec) in codecs.into_iter().enumerate() {
        let of_codec: Vec<&Point> = points.iter().filter(|point| point.codec == codec).collect();
        let top = TOP + row as f64 * (HEIGHT + 2.0 * TOP + GAP);
        panel(
            &mut svg,
            &format!("{codec}: lost packets, % (dashed: in bursts)"),
            LEFT,
            top,
            &of_codec,
            |point| (point.link.jitter_ms == 0).then_some((f64::from(point.link.loss), point.link.bursty)),
        );
        panel(&mut svg, &format!("{codec}: jitter, ms"), 2.0 * LEFT + WIDTH + GAP, top, &of_codec, |point| {
            (point.link.loss == 0).then_some((f64::from(point.link.jitter_ms), false))
        });
    }
    svg.push_str("</svg>\n");
    svg
}

/// One diagram: `place` gives a point's place on the x axis, and whether its line is the dashed one.
fn panel(
    svg: &mut String,
    title: &str,
    left: f64,
    top: f64,
    points: &[&Point],
    place: impl Fn(&Point) -> Option<(f64, bool)>,
) {
    let placed: Vec<(f64, bool, &Point)> =
        points.iter().filter_map(|point| place(point).map(|(x, dashed)| (x, dashed, *point))).collect();
    let has_dashed = placed.iter().any(|(_, dashed, _)| *dashed);
    let most = placed.iter().map(|(x, _, _)| *x).fold(1.0, f64::max);
    let x = |value: f64| left + value / most * WIDTH;
    let y = |value: f64| top + HEIGHT - (value - LOW) / (HIGH - LOW) * HEIGHT;
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 14.0);
    for value in [1.0, 2.0, 3.0, 4.0] {
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {0:.1}h{WIDTH}\" stroke=\"#ddd\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{value}</text>",
            y(value),
            left - 6.0,
            y(value) + 4.0,
        );
    }
    let mut ticks: Vec<f64> = placed.iter().map(|(x, _, _)| *x).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    for value in ticks {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{value}</text>",
            x(value),
            top + HEIGHT + 18.0
        );
    }
    for (index, (name, colour)) in COLOURS.into_iter().enumerate() {
        let score =
            |point: &Point| if index == 0 { Some(point.ours) } else { point.theirs.get(index - 1).copied() };
        for dashed in [false, true] {
            let line: Vec<String> = placed
                .iter()
                // Without loss nothing is in bursts: both lines begin there.
                .filter(|(_, bursty, point)| *bursty == dashed || (point.link.loss == 0 && has_dashed))
                .filter_map(|(at, _, point)| Some(format!("{:.1},{:.1}", x(*at), y(score(point)?.pesq))))
                .collect();
            if line.len() > 1 {
                let dash = if dashed { " stroke-dasharray=\"5 4\"" } else { "" };
                let _ = writeln!(
                    svg,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
                    line.join(" ")
                );
            }
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            left + 10.0,
            top + HEIGHT - 42.0 + 16.0 * index as f64
        );
    }
}
