//! What the countries' numbering plans say of a number, by the data of libphonenumber.
//!
//! A number of a length that its country has is taken, whether or not somebody has it: plans change faster than our data, and
//! whether a number is in use the carrier says.

use std::fmt;
use std::str::FromStr;

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, PhoneNumber, Type};

use super::{E164, NumberKind};

/// Longest text that is looked at to find out what was meant.
const LONGEST: usize = 40;

/// The country in which a number without country code is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region(Id);

impl Default for Region {
    fn default() -> Self {
        Self(Id::US)
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.parse().ok().filter(|_| text.len() == 2);
        id.map(Self).ok_or_else(|| format!("{text:?} is no country of ISO 3166-1, as in \"US\""))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

/// Where a number belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// ISO 3166-1 alpha-2; `001` for numbers of no country, such as +800.
    pub country: String,
    pub area_code: Option<String>,
    pub kind: NumberKind,
}

impl E164 {
    /// The number that a client has written.
    ///
    /// # Errors
    /// A sentence that says what is wrong, with the right form where it can be guessed; `region` is where a number without
    /// country code is.
    pub fn read(text: &str, region: Region) -> Result<Self, String> {
        let number: E164 = match text.parse() {
            Ok(number) => number,
            Err(error) => {
                return Err(match meant(text, region) {
                    Some(meant) => format!("is {text:?}, and must be in E.164; did you mean {meant}?"),
                    None => format!("is {text:?}: {error}"),
                });
            }
        };
        let Some(code) = number.country_code() else {
            return Err(format!("is {text:?}, and no country has such a code"));
        };
        if number.as_str().parse().is_ok_and(|number: PhoneNumber| number.is_valid()) {
            return Ok(number);
        }
        let lengths = lengths(code);
        let has = number.digits().len() - code.to_string().len();
        if !lengths.is_empty() && !lengths.contains(&has) {
            let (least, most) = (lengths[0], lengths[lengths.len() - 1]);
            let range =
                if least == most { format!("{least}") } else { format!("between {least} and {most}") };
            return Err(format!(
                "is {text:?}, which has {has} digits after +{code}, and a number there has {range}"
            ));
        }
        Ok(number)
    }

    /// The country's code: no code begins like another.
    pub fn country_code(&self) -> Option<u16> {
        let code = |length| self.digits().get(..length)?.parse::<u16>().ok();
        (1..=3).filter_map(code).find(|code| DATABASE.region(code).is_some_and(|regions| !regions.is_empty()))
    }

    /// Country, area and kind, as far as its digits tell.
    pub fn plan(&self) -> Plan {
        let parsed: Option<PhoneNumber> = self.as_str().parse().ok();
        let country = parsed.as_ref().and_then(|number| number.country().id());
        // A plan that knows no such number still tells whose code it is.
        let main = || {
            let regions = DATABASE.region(&self.country_code()?)?;
            regions.first().map(|region| (*region).to_owned())
        };
        let country = country.map(|id| id.as_ref().to_owned()).or_else(main);
        let kind = parsed.as_ref().map_or(Type::Unknown, |number| number.number_type(&DATABASE));
        Plan {
            country: country.unwrap_or_else(|| "001".to_owned()),
            area_code: self.area_code(parsed.as_ref(), kind),
            kind: match kind {
                Type::FixedLine | Type::FixedLineOrMobile => NumberKind::Local,
                Type::Mobile => NumberKind::Mobile,
                Type::TollFree => NumberKind::TollFree,
                _ => NumberKind::Other,
            },
        }
    }

    fn area_code(&self, parsed: Option<&PhoneNumber>, kind: Type) -> Option<String> {
        // Three digits everywhere in the North American plan.
        if let Some(national) = self.digits().strip_prefix('1') {
            return national.get(..3).map(str::to_owned);
        }
        if !matches!(kind, Type::FixedLine | Type::FixedLineOrMobile) {
            return None;
        }
        // As people write it: +49 30 123456.
        let written = parsed?.format().mode(Mode::International).to_string();
        let groups: Vec<_> = written.split([' ', '-']).collect();
        (groups.len() > 2).then(|| groups[1].to_owned())
    }
}

/// Kinds of numbers that can be called from abroad.
const KINDS: [Type; 10] = [
    Type::FixedLine,
    Type::Mobile,
    Type::TollFree,
    Type::PremiumRate,
    Type::SharedCost,
    Type::PersonalNumber,
    Type::Voip,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
];

/// Digits that numbers of the country that the code is for have behind it, the least first.
fn lengths(code: u16) -> Vec<usize> {
    let countries = DATABASE.by_code(&code).unwrap_or_default();
    let kinds = countries.first().into_iter().flat_map(|main| KINDS.map(|kind| main.descriptors().get(kind)));
    let lengths = kinds.flatten().flat_map(|kind| kind.possible_length());
    let mut lengths: Vec<_> = lengths.map(|length| usize::from(*length)).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// The right form of what looks like a number.
fn meant(text: &str, region: Region) -> Option<E164> {
    let is_plain = |b: u8| b.is_ascii_digit() || b" ()+-./".contains(&b);
    if text.len() > LONGEST || !text.bytes().all(is_plain) {
        return None;
    }
    let number = phonenumber::parse(Some(region.0), text).ok().filter(PhoneNumber::is_valid)?;
    number.format().mode(Mode::E164).to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        E164::read(text, Region::default()).map(String::from)
    }

    #[test]
    fn a_number_as_people_write_it_is_refused_with_its_right_form() {
        for (text, meant) in [
            ("(415) 555-2671", "+14155552671"),
            ("415.555.2671", "+14155552671"),
            ("1 415 555 2671", "+14155552671"),
            ("+1 (415) 555-2671", "+14155552671"),
            ("+49 30 901820", "+4930901820"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.ends_with(&format!("did you mean {meant}?")), "{text}: {error}");
        }
        let error = E164::read("030 901820", "DE".parse().unwrap()).unwrap_err();
        assert!(error.ends_with("did you mean +4930901820?"), "{error}");
    }

    #[test]
    fn what_is_no_number_is_told_what_one_is() {
        for (text, reason) in [
            ("call me", "a number starts with +"),
            ("", "a number starts with +"),
            ("911", "a number starts with +"),
            ("+1415555267", "has 9 digits after +1, and a number there has 10"),
            ("+99912345678", "no country has such a code"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!(read("+15550100001").as_deref(), Ok("+15550100001"));
        assert_eq!(read("+80012345678").as_deref(), Ok("+80012345678"));
    }

    #[test]
    fn a_number_tells_where_it_belongs() {
        for (number, country, area, kind) in [
            ("+14155552671", "US", Some("415"), NumberKind::Local),
            ("+18005552671", "US", Some("800"), NumberKind::TollFree),
            ("+16135552671", "CA", Some("613"), NumberKind::Local),
            ("+4930901820", "DE", Some("30"), NumberKind::Local),
            ("+4915112345678", "DE", None, NumberKind::Mobile),
            ("+15550100001", "US", Some("555"), NumberKind::Other),
        ] {
            let plan = number.parse::<E164>().unwrap().plan();
            let found = (plan.country.as_str(), plan.area_code.as_deref(), plan.kind);
            assert_eq!(found, (country, area, kind), "{number}");
        }
    }

    #[test]
    fn a_region_is_a_country() {
        assert_eq!("DE".parse::<Region>().unwrap().to_string(), "DE");
        assert!("Germany".parse::<Region>().is_err());
    }
}
