//! Who sounds better at each point: as a line to read, and as JSON.

use std::time::Duration;

use crate::link::Link;
use crate::{PEERS, Point};

/// By how much a peer may be better before it counts. A peer runs in real time: where its clock's beat falls between the packets is another thing in each run, and with it what its buffer
/// holds and leaves out. The same condition, four times on a machine that did little else, gave means of eight pieces up to 0.05 apart.
const TOLERANCE: f64 = 0.05;

/// One comparison.
struct Lead<'a> {
    point: &'a Point,
    peer: &'static str,
    /// Ours less theirs.
    by: f64,
}

impl Lead<'_> {
    fn json(&self) -> String {
        let Link { loss, bursty, jitter_ms } = self.point.link;
        format!(
            "{{\"codec\":\"{}\",\"loss\":{loss},\"bursty\":{bursty},\"jitter_ms\":{jitter_ms},\"peer\":\"{}\",\"by\":{:.3}}}",
            self.point.codec, self.peer, -self.by
        )
    }

    fn words(&self) -> String {
        let Link { loss, bursty, jitter_ms } = self.point.link;
        let bursts = if bursty { " in bursts" } else { "" };
        format!("{} {loss} %{bursts}, {jitter_ms} ms, {}: {:+.3}", self.point.codec, self.peer, self.by)
    }
}

fn leads(points: &[Point]) -> Vec<Lead<'_>> {
    let mut leads = Vec::new();
    for point in points {
        for (peer, score) in PEERS.into_iter().zip(&point.theirs) {
            leads.push(Lead { point, peer, by: point.ours.pesq - score.pesq });
        }
    }
    leads.sort_by(|one, other| one.by.total_cmp(&other.by));
    leads
}

/// Whether ours is below theirs anywhere.
pub(crate) fn words(points: &[Point]) -> String {
    let leads = leads(points);
    let Some(worst) = leads.first() else {
        return "ours beside theirs: nothing was compared".into();
    };
    let below: Vec<String> = leads.iter().filter(|lead| lead.by < -TOLERANCE).map(Lead::words).collect();
    if below.is_empty() {
        format!(
            "ours is below theirs (by more than {TOLERANCE}): nowhere in {} comparisons; the smallest lead: {}",
            leads.len(),
            worst.words()
        )
    } else {
        format!(
            "ours is below theirs (by more than {TOLERANCE}): at {} of {} comparisons\n    {}",
            below.len(),
            leads.len(),
            below.join("\n    ")
        )
    }
}

/// All of it in one line, with what it was measured under: calls to peers at once (none: peers were left out), and how late the hundredth of the packets that left
/// latest did in the worst of them.
pub(crate) fn json(points: &[Point], cores: usize, company: usize, late: Duration) -> String {
    let leads = leads(points);
    let worst = leads.first().map_or_else(|| "null".into(), |lead| format!("{:.3}", lead.by));
    let below: Vec<String> = leads.iter().filter(|lead| lead.by < -TOLERANCE).map(Lead::json).collect();
    let points: Vec<String> = points.iter().map(point).collect();
    format!(
        "{{\"bench\":\"quality\",\"n\":{},\"compared\":{},\"tolerance\":{TOLERANCE},\"below\":[{}],\"worst\":{worst},\
         \"cores\":{cores},\"company\":{company},\"sent_late_p99_ms\":{:.1},\"points\":[{}]}}",
        points.len(),
        leads.len(),
        below.join(","),
        late.as_secs_f64() * 1_000.0,
        points.join(",")
    )
}

fn point(Point { codec, link, ours, theirs }: &Point) -> String {
    let Link { loss, bursty, jitter_ms } = link;
    let delay = theirs
        .first()
        .map_or_else(String::new, |first| format!(",\"{}_delay_ms\":{:.0}", PEERS[0], first.delay_ms));
    let theirs: String =
        PEERS.iter().zip(theirs).map(|(peer, score)| format!(",\"{peer}\":{:.3}", score.pesq)).collect();
    format!(
        "{{\"codec\":\"{codec}\",\"loss\":{loss},\"bursty\":{bursty},\"jitter_ms\":{jitter_ms},\"ours\":{:.3},\
         \"ours_delay_ms\":{:.0}{theirs}{delay}}}",
        ours.pesq, ours.delay_ms
    )
}
