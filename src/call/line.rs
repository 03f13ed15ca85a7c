//! What a call's record tells of its line, out of what the media engine counted.

use crate::domain::{LineBursts, LineQuality, LineReport, LineSound};

/// Writes the figures into the report; its codec stays.
pub fn note(report: &mut LineReport, stats: &media::Stats) {
    report.packets_sent = stats.sent;
    report.packets_received = stats.received;
    report.packets_lost = stats.lost;
    report.packets_late = stats.late;
    report.packets_from_strangers = stats.strangers;
    report.packets_refused = stats.srtp_refused + stats.srtp_replayed;
    report.streams_refused = stats.hijacks;
    report.jitter_ms = stats.jitter_ms;
    report.concealed_frames = stats.concealed_frames;
    report.quality = quality(&stats.quality);
}

fn quality(found: &media::Quality) -> Option<LineQuality> {
    let quality = LineQuality {
        here: found.heard.as_ref().map(sound),
        there: found.peer.as_ref().map(sound),
        round_trip_ms: found.round_trip_ms.map(|ms| to_digits(ms, 10.0)),
    };
    (quality != LineQuality::default()).then_some(quality)
}

fn sound(found: &media::quality::Listening) -> LineSound {
    let mos = |mos: f32| to_digits(mos, 100.0);
    LineSound {
        mos: mos(found.mos),
        mos_now: found.mos_now.map(mos),
        mos_worst: found.mos_worst.map(mos),
        mos_told: found.mos_told.map(mos),
        r: to_digits(found.r, 10.0),
        loss: to_digits(found.loss, 10_000.0),
        discard: to_digits(found.discard, 10_000.0),
        burst_ratio: to_digits(found.burst_ratio, 100.0),
        bursts: found.bursts.map(|bursts| LineBursts {
            burst_density: to_digits(bursts.burst_density, 10_000.0),
            gap_density: to_digits(bursts.gap_density, 10_000.0),
            burst_ms: to_digits(bursts.burst_ms, 1.0),
            gap_ms: to_digits(bursts.gap_ms, 1.0),
        }),
        jitter_ms: to_digits(found.jitter_ms, 10.0),
        delay_ms: to_digits(found.delay_ms, 10.0),
    }
}

/// As many digits as mean something.
fn to_digits(value: f32, ten_to_the: f64) -> f64 {
    (f64::from(value) * ten_to_the).round() / ten_to_the
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_as_many_digits_as_mean_something() {
        let mut stats = media::Stats { sent: 7, hijacks: 2, ..media::Stats::default() };
        let mut report = LineReport { codec: "PCMU".into(), ..LineReport::default() };
        note(&mut report, &stats);
        assert_eq!((report.packets_sent, report.streams_refused, report.quality.clone()), (7, 2, None));
        let heard = media::quality::Listening { mos: 4.408_6, loss: 0.012_345, ..Default::default() };
        stats.quality = media::Quality { heard: Some(heard), peer: None, round_trip_ms: Some(23.456) };
        note(&mut report, &stats);
        let told = serde_json::to_value(report.quality).unwrap();
        assert_eq!(told["round_trip_ms"].to_string(), "23.5");
        assert_eq!(
            (told["here"]["mos"].to_string(), told["here"]["loss"].to_string()),
            ("4.41".into(), "0.0123".into())
        );
        assert!(told.get("there").is_none());
    }
}
