//! `[rates]` and `[credits]`: what things cost, and whether accounts pay in advance.

use std::time::Duration;

use super::file::Section;
use crate::domain::{Money, Rates};

const SUM: &str = "a sum of money as text, as in \"0.012\"";

/// What credits are for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CreditMode {
    /// Nothing: nobody has any.
    #[default]
    Off,
    /// They are counted, and may become less than nothing.
    Count,
    /// Who has none left can neither call nor send, and calls that are up end.
    Enforce,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Credits {
    pub mode: CreditMode,
    /// Whether clients may add to their own credits; the operator sees to the money.
    pub purchase: bool,
    /// What one purchase adds where the client names no sum.
    pub pack: Money,
    /// What it may add at most.
    pub most: Money,
}

impl Default for Credits {
    fn default() -> Self {
        Self {
            mode: CreditMode::Off,
            purchase: false,
            pack: Money::from_cents(1000),
            most: Money::from_cents(100_000),
        }
    }
}

pub(super) fn rates(s: Section) -> Rates {
    let sum = |key| not_negative(&s, key, s.parsed(key, Money::ZERO, SUM));
    let to = s.table("to").into_iter().filter_map(|(head, rate)| {
        let is_head = head
            .strip_prefix('+')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
        let rate = rate.parse::<Money>().ok().filter(|rate| *rate >= Money::ZERO);
        match rate {
            Some(rate) if is_head => return Some((head, rate)),
            Some(_) => s.wrong(&format!("to.{head}"), "must be the beginning of a number, as in \"+44\""),
            None => s.wrong(&format!("to.{head}"), format!("must be {SUM}, and not less than nothing")),
        }
        None
    });
    let rates = Rates {
        inbound: sum("inbound"),
        outbound: sum("outbound"),
        to: to.collect(),
        step: s.seconds("step_s", Duration::from_secs(1), 1, 3600),
        message_in: sum("message_in"),
        message_out: sum("message_out"),
        tokens: sum("tokens"),
        characters: sum("characters"),
        recording: sum("recording"),
    };
    s.finish();
    rates
}

pub(super) fn credits(s: Section, default: Credits) -> Credits {
    let mode = match s.text("mode").as_deref() {
        None => default.mode,
        Some("off") => CreditMode::Off,
        Some("count") => CreditMode::Count,
        Some("enforce") => CreditMode::Enforce,
        Some(other) => {
            s.wrong("mode", format!("is {other:?}, and must be \"off\", \"count\" or \"enforce\""));
            default.mode
        }
    };
    let credits = Credits {
        mode,
        purchase: s.flag("purchase", default.purchase),
        pack: not_negative(&s, "pack", s.parsed("pack", default.pack, SUM)),
        most: not_negative(&s, "most", s.parsed("most", default.most, SUM)),
    };
    if credits.pack > credits.most {
        s.wrong("pack", "is more than credits.most");
    }
    s.finish();
    credits
}

fn not_negative(s: &Section, key: &str, sum: Money) -> Money {
    if sum < Money::ZERO {
        s.wrong(key, "is less than nothing");
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn rates_are_read_with_those_of_destinations() {
        let text = "[rates]\noutbound = '0.02'\nstep_s = 60\n[rates.to]\n'+44' = '0.05'\n[credits]\nmode = 'enforce'";
        let config = Config::parse(text).unwrap();
        assert_eq!((config.rates.outbound.micros(), config.rates.to.len()), (20_000, 1));
        assert_eq!((config.rates.step.as_secs(), config.credits.mode), (60, CreditMode::Enforce));
    }

    #[test]
    fn what_is_no_rate_is_a_mistake() {
        for (text, part) in [
            ("[rates]\noutbound = '-0.02'", "rates.outbound: is less than nothing"),
            ("[rates]\ninbound = 'cheap'", "rates.inbound: is \"cheap\""),
            ("[rates.to]\n44 = '0.05'", "rates.to.44: must be the beginning"),
            ("[rates.to]\n'+44' = '-1'", "rates.to.+44: must be a sum"),
            ("[credits]\nmode = 'on'", "credits.mode: is \"on\""),
            ("[credits]\npack = '2000'", "credits.pack: is more than"),
        ] {
            let mistakes = Config::parse(text).unwrap_err();
            let lines: Vec<_> = mistakes.iter().map(|m| format!("{}: {}", m.key, m.reason)).collect();
            assert!(lines.iter().any(|line| line.starts_with(part)), "{text}: {lines:?}");
        }
    }
}
