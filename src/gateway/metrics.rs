//! What a monitor reads: counters fed from the journal's events, and how the box stands at the moment of asking.
//!
//! No label holds what a person could be known by: no number, no account, no name of an agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::broadcast::error::RecvError;

use super::{Error, Gateway, Kind, Report};
use crate::call::{Reach, Standing};
use crate::domain::{Call, Direction, Event, EventKind, LineReport, Principal, Scope, Turn};

type Labels = Vec<(&'static str, String)>;
type Gauged = Gauge<f64, AtomicU64>;

/// Seconds: from a lively answer to one that nobody waits for.
const STAGES: [f64; 10] = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 2.0, 4.0, 8.0];
/// Seconds: from a phone next door to one that rings to the end.
const SETUP: [f64; 9] = [0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
/// Seconds.
const JITTER: [f64; 8] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1];
/// Mean opinion scores: from what nobody bears to a clean line.
const MOS: [f64; 8] = [2.0, 2.6, 3.1, 3.6, 3.8, 4.0, 4.2, 4.3];
/// Seconds.
const ROUND_TRIP: [f64; 8] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8];

pub(super) struct Metrics {
    registry: Registry,
    ended: Family<Labels, Counter>,
    seconds: Family<Labels, Counter<f64, AtomicU64>>,
    setup: Family<Labels, Histogram>,
    stages: Family<Labels, Histogram>,
    barge_ins: Counter,
    packets: Family<Labels, Counter>,
    jitter: Histogram,
    mos: Family<Labels, Histogram>,
    round_trip: Histogram,
    streams_refused: Counter,
    messages: Family<Labels, Counter>,
    missed: Counter,
    /// Set when somebody asks.
    calls: Family<Labels, Gauged>,
    trunks: Family<Labels, Gauged>,
    now: Family<Labels, Gauged>,
    engines: Family<Labels, Gauged>,
    engine_queues: Family<Labels, Gauged>,
    sip: Family<Labels, Counter>,
    late_ticks: Counter,
    media: Family<Labels, Counter>,
    backlog: Gauged,
    store_bytes: Gauged,
    store_healthy: Gauged,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            ended: Family::default(),
            seconds: Family::default(),
            setup: Family::new_with_constructor(|| Histogram::new(SETUP)),
            stages: Family::new_with_constructor(|| Histogram::new(STAGES)),
            barge_ins: Counter::default(),
            packets: Family::default(),
            jitter: Histogram::new(JITTER),
            mos: Family::new_with_constructor(|| Histogram::new(MOS)),
            round_trip: Histogram::new(ROUND_TRIP),
            streams_refused: Counter::default(),
            messages: Family::default(),
            missed: Counter::default(),
            calls: Family::default(),
            trunks: Family::default(),
            now: Family::default(),
            engines: Family::default(),
            engine_queues: Family::default(),
            sip: Family::default(),
            late_ticks: Counter::default(),
            media: Family::default(),
            backlog: Gauge::default(),
            store_bytes: Gauge::default(),
            store_healthy: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("offhook");
        registry.register(
            "calls_ended",
            "Calls that are over, by direction, status and end reason",
            metrics.ended.clone(),
        );
        registry.register_with_unit(
            "call_duration",
            "Time that calls were up, from answer to end, by direction",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register_with_unit(
            "call_setup",
            "Outbound: INVITE to the far end's first ring. Inbound: INVITE to our answer",
            Unit::Seconds,
            metrics.setup.clone(),
        );
        registry.register_with_unit(
            "turn_stage",
            "What each stage of an answer took: stt, llm_first_token, tts_first_audio, voice_to_voice",
            Unit::Seconds,
            metrics.stages.clone(),
        );
        registry.register("barge_ins", "Times that a caller spoke over the agent", metrics.barge_ins.clone());
        registry.register("rtp_packets", "Packets of sound of calls that are over", metrics.packets.clone());
        registry.register_with_unit(
            "rtp_jitter",
            "Jitter of what was received, at the end of each call (RFC 3550)",
            Unit::Seconds,
            metrics.jitter.clone(),
        );
        registry.register(
            "rtp_mos",
            "Estimated mean opinion score of each call (G.107): here, and there as the far end reports",
            metrics.mos.clone(),
        );
        registry.register_with_unit(
            "rtp_round_trip",
            "Mean round trip of each call, where the far end reports",
            Unit::Seconds,
            metrics.round_trip.clone(),
        );
        registry.register(
            "rtp_streams_refused",
            "Streams from elsewhere that tried to take a call's place",
            metrics.streams_refused.clone(),
        );
        registry.register(
            "messages",
            "Messages, by direction and what became of them",
            metrics.messages.clone(),
        );
        registry.register(
            "events_missed",
            "Events that were too many for these counters",
            metrics.missed.clone(),
        );
        registry.register(
            "calls",
            "Calls that are up or being set up, those in the queue, and how many may be up",
            metrics.calls.clone(),
        );
        registry.register("trunk_up", "Whether the trunk is registered, where it registers, and one of its servers is not known to be down", metrics.trunks.clone());
        registry.register("resources", "What is in use and what is free", metrics.now.clone());
        registry.register("engine_up", "Whether the engine takes work", metrics.engines.clone());
        registry.register(
            "engine_queue",
            "Jobs that wait for the engine or for a core",
            metrics.engine_queues.clone(),
        );
        registry.register("sip_messages", "SIP messages, by what was done with them", metrics.sip.clone());
        registry.register(
            "media_late_ticks",
            "Ticks of the media clock that came too late",
            metrics.late_ticks.clone(),
        );
        registry.register(
            "media_troubles",
            "Ticks skipped after a stall, packets that the system did not take, calls refused for the load, calls that ended in a panic",
            metrics.media.clone(),
        );
        registry.register("webhook_backlog", "Deliveries that are still to be made", metrics.backlog.clone());
        registry.register_with_unit(
            "store_size",
            "Size of the database",
            Unit::Bytes,
            metrics.store_bytes.clone(),
        );
        registry.register(
            "store_healthy",
            "Whether the last write reached the disk",
            metrics.store_healthy.clone(),
        );
        Self { registry, ..metrics }
    }

    fn observe(&self, event: &Event) {
        match &event.kind {
            EventKind::Turn(turn) => self.turn(turn),
            EventKind::BargeIn { .. } => drop(self.barge_ins.inc()),
            EventKind::MessageReceived(message)
            | EventKind::MessageSent(message)
            | EventKind::MessageFailed(message) => {
                let labels = vec![("direction", code(&message.direction)), ("status", code(&message.status))];
                self.messages.get_or_create(&labels).inc();
            }
            _ => {}
        }
    }

    fn turn(&self, turn: &Turn) {
        for (stage, took) in [
            ("stt", turn.stt_ms),
            ("llm_first_token", turn.llm_first_token_ms),
            ("tts_first_audio", turn.tts_first_audio_ms),
            ("voice_to_voice", turn.voice_to_voice_ms),
        ] {
            if let Some(took) = took {
                let seconds = Duration::from_millis(took).as_secs_f64();
                self.stages.get_or_create(&vec![("stage", stage.to_owned())]).observe(seconds);
            }
        }
    }

    fn call(&self, call: &Call) {
        let direction = || ("direction", code(&call.direction));
        let reason = call.end_reason.map_or("", |reason| reason.code()).to_owned();
        let labels = vec![direction(), ("status", code(&call.status)), ("reason", reason)];
        self.ended.get_or_create(&labels).inc();
        let lasted = Duration::from_millis(call.duration_ms).as_secs_f64();
        self.seconds.get_or_create(&vec![direction()]).inc_by(lasted);
        let between =
            |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).to_std().unwrap_or_default().as_secs_f64();
        let setup = match call.direction {
            Direction::Inbound => call.answered_at.map(|answered| between(call.created_at, answered)),
            Direction::Outbound => {
                let rang = call.rang_at.or(call.answered_at);
                call.dialed_at.and_then(|dialed| Some(between(dialed, rang?)))
            }
        };
        if let Some(setup) = setup {
            self.setup.get_or_create(&vec![direction()]).observe(setup);
        }
        if let Some(line) = &call.line {
            self.line(line);
        }
    }

    fn line(&self, line: &LineReport) {
        for (what, count) in [
            ("sent", line.packets_sent),
            ("received", line.packets_received),
            ("lost", line.packets_lost),
            ("late", line.packets_late),
            ("from_strangers", line.packets_from_strangers),
            ("refused", line.packets_refused),
        ] {
            self.packets.get_or_create(&vec![("what", what.to_owned())]).inc_by(count);
        }
        self.jitter.observe(f64::from(line.jitter_ms) / 1000.0);
        self.streams_refused.inc_by(line.streams_refused);
        let Some(quality) = &line.quality else { return };
        for (place, sound) in [("here", &quality.here), ("there", &quality.there)] {
            if let Some(sound) = sound {
                self.mos.get_or_create(&vec![("place", place.to_owned())]).observe(sound.mos);
            }
        }
        if let Some(ms) = quality.round_trip_ms {
            self.round_trip.observe(ms / 1000.0);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of what one box has")]
    fn stand(&self, report: &Report, backlog: u64, bytes: u64) {
        let set = |family: &Family<Labels, Gauged>, label, value: &str, count: usize| {
            family.get_or_create(&vec![(label, value.to_owned())]).set(count as f64);
        };
        set(&self.calls, "state", "up", report.calls);
        set(&self.calls, "state", "queued", report.waiting);
        set(&self.calls, "state", "limit", report.max_calls);
        for trunk in &report.trunks {
            let stands = matches!(trunk.standing, Standing::Static | Standing::Registered { .. });
            let reached =
                trunk.servers.is_empty() || trunk.servers.iter().any(|server| server.reach != Reach::Down);
            let is_up = stands && reached;
            set(&self.trunks, "trunk", &trunk.name, is_up.into());
        }
        for engine in &report.engines {
            set(&self.engines, "engine", engine.name, engine.ready.into());
            set(&self.engine_queues, "engine", engine.name, engine.waiting);
        }
        set(&self.now, "what", "sip_legs", report.sip.legs);
        set(&self.now, "what", "sip_transactions", report.sip.transactions);
        set(&self.now, "what", "media_sessions", report.media.sessions);
        set(&self.now, "what", "media_ports_free", report.media.ports_free);
        set(&self.now, "what", "media_load_percent", report.media.load as usize);
        let count = |counter: &Counter, value: u64| counter.inner().store(value, Ordering::Relaxed);
        for (what, value) in [
            ("received", report.sip.received),
            ("sent", report.sip.sent),
            ("malformed", report.sip.malformed),
            ("retransmitted", report.sip.retransmits_sent),
            ("refused", report.sip.refused),
        ] {
            count(&self.sip.get_or_create(&vec![("what", what.to_owned())]), value);
        }
        count(&self.late_ticks, report.media.late_ticks);
        for (what, value) in [
            ("skipped_ticks", report.media.skipped_ticks),
            ("send_errors", report.media.send_errors),
            ("overloaded", report.media.overloaded),
            ("panics", report.media.panics),
        ] {
            count(&self.media.get_or_create(&vec![("what", what.to_owned())]), value);
        }
        self.backlog.set(backlog as f64);
        self.store_bytes.set(bytes as f64);
        self.store_healthy.set(if report.store_healthy { 1.0 } else { 0.0 });
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// As on the wire.
fn code(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Gateway {
    /// How the box does, in the text format of OpenMetrics 1.0.
    pub async fn metrics(&self, who: &Principal) -> Result<String, Error> {
        who.require(Scope::MetricsRead)?;
        let report = self.report().await;
        let (backlog, bytes) = self.read(|store| Ok((store.deliveries_pending()?, store.bytes()))).await?;
        self.metrics.stand(&report, backlog, bytes);
        self.metrics.text().map_err(|_| Error::new(Kind::Internal, "the counters cannot be written"))
    }

    /// Counts what happens, until nothing more does.
    pub async fn count(self) {
        let mut events = self.subscribe();
        loop {
            match events.recv().await {
                Ok(event) => {
                    self.metrics.observe(&event);
                    if let (EventKind::Ended { .. }, Some(id)) = (&event.kind, event.call().cloned())
                        && let Ok(Some(call)) = self.read(move |store| store.call(&id)).await
                    {
                        self.metrics.call(&call);
                    }
                }
                Err(RecvError::Lagged(missed)) => drop(self.metrics.missed.inc_by(missed)),
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Shared by all clones of a gateway.
pub(super) fn shared() -> Arc<Metrics> {
    Arc::new(Metrics::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallId, EndReason, LineQuality, LineSound};

    /// The rules of OpenMetrics 1.0 that a scraper stumbles over: every sample belongs to the family that is described before it,
    /// counters end in _total, histograms have their parts, values are numbers, the end is marked.
    fn check(text: &str) -> usize {
        let (mut family, mut kind) = (String::new(), String::new());
        let mut samples = 0;
        assert!(text.ends_with("# EOF\n"));
        for line in text.trim_end_matches("# EOF\n").lines() {
            if let Some(described) = line.strip_prefix("# ") {
                let words: Vec<_> = described.splitn(3, ' ').collect();
                match words[..] {
                    ["HELP", name, _] => family = name.to_owned(),
                    ["TYPE", name, of] => (family, kind) = (name.to_owned(), of.to_owned()),
                    ["UNIT", name, unit] => assert!(name == family && name.ends_with(unit), "{line}"),
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            assert!(labels.ends_with('}'), "{line}");
            let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} in {family}"));
            let allowed: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("{other}"),
            };
            assert!(allowed.contains(&suffix), "{line}: {kind}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            samples += 1;
        }
        samples
    }

    #[test]
    fn what_is_counted_is_written_as_a_scraper_reads_it() {
        let metrics = Metrics::new();
        let at = DateTime::UNIX_EPOCH;
        let mut call = Call::new(
            CallId::from_random([1; 10]),
            Direction::Outbound,
            "+15550100001".into(),
            "+14155550123".into(),
            at,
        );
        call.dialed_at = Some(at);
        call.rang_at = Some(at + chrono::Duration::milliseconds(1500));
        call.answered_at = Some(at + chrono::Duration::seconds(5));
        call.line = Some(LineReport {
            packets_received: 100,
            packets_lost: 3,
            jitter_ms: 4.0,
            quality: Some(LineQuality {
                here: Some(LineSound { mos: 3.7, ..LineSound::default() }),
                there: None,
                round_trip_ms: Some(30.0),
            }),
            ..LineReport::default()
        });
        call.end(EndReason::CalleeHungUp, None, at + chrono::Duration::seconds(65));
        metrics.call(&call);
        metrics.turn(&Turn { stt_ms: Some(150), voice_to_voice_ms: Some(900), ..Turn::default() });
        let text = metrics.text().unwrap();
        assert!(check(&text) > 30, "{text}");
        for line in [
            "offhook_calls_ended_total{direction=\"outbound\",status=\"completed\",reason=\"callee_hung_up\"} 1",
            "offhook_call_duration_seconds_total{direction=\"outbound\"} 60.0",
            "offhook_call_setup_seconds_sum{direction=\"outbound\"} 1.5",
            "offhook_rtp_packets_total{what=\"lost\"} 3",
            "offhook_rtp_mos_bucket{le=\"3.6\",place=\"here\"} 0",
            "offhook_rtp_mos_bucket{le=\"3.8\",place=\"here\"} 1",
            "offhook_rtp_round_trip_seconds_sum 0.03",
            "offhook_turn_stage_seconds_bucket{le=\"0.2\",stage=\"stt\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
        assert!(!text.contains("+1"), "a number is nobody's label");
    }
}
