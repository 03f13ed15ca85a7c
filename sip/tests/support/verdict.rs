//! What an endpoint does with one message that comes from nowhere.

use std::time::Duration;

use sip::{Config, Event};

use super::{ALICE, BOB, World, addr};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Read, and passed on as a call.
    Rings,
    /// Read, and answered with this.
    Answers(u16),
    /// Counted, and no more.
    Silent,
}

impl Verdict {
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "rings" => Some(Self::Rings),
            "silent" => Some(Self::Silent),
            status => status.parse().ok().map(Self::Answers),
        }
    }
}

/// Puts it before an endpoint of its own, and sees to it that nothing of it stays.
pub fn of_the_heart(config: Config, bytes: &[u8]) -> Result<Verdict, String> {
    let mut world = World::new();
    world.add(BOB, config);
    world.inject(ALICE, BOB, bytes);
    let stats = world.endpoints[&addr(BOB)].stats();
    let counted = stats.malformed + stats.stray_responses + stats.stray_acks;
    let rang = world.take(BOB).iter().any(|event| matches!(event, Event::Incoming { .. }));
    let answers = world.kinds();
    let longest = world.log.iter().map(|sent| sent.bytes.len()).max().unwrap_or(0);
    if longest > bytes.len() + 400 {
        return Err(format!("{longest} bytes of answer to {}", bytes.len()));
    }
    let verdict = match &answers[..] {
        [] if counted <= 1 && !rang => Verdict::Silent,
        [one] if rang && one.starts_with("100 ") => Verdict::Rings,
        [one] if !rang => Verdict::Answers(one[..3].parse().map_err(|_| one.clone())?),
        other => return Err(format!("{other:?}, {stats:?}")),
    };
    world.run_for(Duration::from_secs(200));
    world.assert_drained();
    Ok(verdict)
}
