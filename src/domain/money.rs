//! Sums of money, exact.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Millionths of the operator's currency. On the wire a decimal number as text, as in `"0.0512"`: no sum is ever rounded
/// by a reader's floating point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money(i64);

const MICROS: i64 = 1_000_000;

impl Money {
    pub const ZERO: Money = Money(0);

    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub fn from_cents(cents: i64) -> Self {
        Self(cents.saturating_mul(MICROS / 100))
    }

    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole cents, rounded down.
    pub fn cents(self) -> i64 {
        self.0.div_euclid(MICROS / 100)
    }

    /// `self` for each `per`, of `quantity`; rounded half up.
    pub fn times(self, quantity: u64, per: u64) -> Self {
        let (quantity, per) = (i128::from(quantity), i128::from(per.max(1)));
        let micros = (i128::from(self.0) * quantity * 2 + per) / (per * 2);
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, micros) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, part) = (micros / MICROS.unsigned_abs(), micros % MICROS.unsigned_abs());
        let part = format!("{part:06}");
        let part = part.trim_end_matches('0');
        write!(f, "{sign}{whole}.{part:0<2}")
    }
}

impl FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no sum of money, as in \"0.05\": at most six digits after the point");
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 6 {
            return Err(wrong());
        }
        let whole: i64 = whole.parse().map_err(|_| wrong())?;
        let part: i64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
        whole
            .checked_mul(MICROS)
            .and_then(|micros| micros.checked_add(part))
            .map(|micros| Self(sign * micros))
            .ok_or_else(wrong)
    }
}

impl TryFrom<String> for Money {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Money> for String {
    fn from(money: Money) -> String {
        money.to_string()
    }
}

impl utoipa::PartialSchema for Money {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("A decimal number of the operator's currency, as text"))
            .pattern(Some(r"^-?\d+(\.\d{1,6})?$"))
            .examples(["0.0512"])
            .into()
    }
}

impl utoipa::ToSchema for Money {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_reads_back_as_itself() {
        for (text, micros) in
            [("0.05", 50_000), ("12.00", 12_000_000), ("-0.000001", -1), ("3.141592", 3_141_592)]
        {
            let money: Money = text.parse().unwrap();
            assert_eq!((money.micros(), money.to_string().as_str()), (micros, text));
        }
        for wrong in ["", ".5", "1.", "1e3", "0.1234567", "--1", "99999999999999999999"] {
            assert!(wrong.parse::<Money>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_minute_begun_is_paid_by_the_second() {
        let rate: Money = "0.05".parse().unwrap();
        assert_eq!(rate.times(90, 60).to_string(), "0.075");
        assert_eq!(rate.times(1, 3).micros(), 16_667);
    }
}
