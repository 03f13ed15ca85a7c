use std::time::Duration;

use super::*;

fn guards(rules: &str, number: &str) -> Guards {
    let text = format!(
        "[guards]\n{rules}\n[[trunk]]\nname='t'\nallow=['127.0.0.0/8']\n[[agent]]\nname='a'\n\
         [[extension]]\nnumber='201'\npassword='secret'\n[[number]]\nnumber='{number}'\nagent='a'\ntrunk='t'"
    );
    Guards::new(&Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")))
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

const US: &str = "+14155550123";
const DE: &str = "+493012345678";
const GB: &str = "+442079460123";
const IN: &str = "+911126588500";

/// What is refused with the box's number in which country, and as what.
const DESTINATIONS: &[(&str, &str, &str)] = &[
    // Like any other.
    (US, "+14155552671", ""),
    (US, "+16502530000", ""),
    (US, "+15550109999", ""),
    (US, "+442079460958", ""),
    (US, "+390236618300", ""),
    (US, "+4915123456789", ""),
    (US, "+911126588500", ""),
    (US, "+18002530000", ""),
    (DE, "+498001234567", ""),
    (DE, "+493098765432", ""),
    // Emergency numbers, however they are written.
    (US, "911", "emergency_number"),
    (US, "112", "emergency_number"),
    (US, "999", "emergency_number"),
    (US, "000", "emergency_number"),
    (US, "+911", "emergency_number"),
    (US, "sip:911@10.0.0.5", "emergency_number"),
    (US, "sips:911@carrier.example", "emergency_number"),
    (US, "sip:%39%31%31@carrier.example", "emergency_number"),
    (US, "sip:9-1-1@carrier.example", "emergency_number"),
    (US, "sip:911;phone-context=+1@carrier.example;user=phone", "emergency_number"),
    (US, "sip:+911@carrier.example", "emergency_number"),
    (US, "sip:9911@pbx.example", "emergency_number"),
    (US, "sip:0911@pbx.example", "emergency_number"),
    (US, "sip:1911@carrier.example", "emergency_number"),
    (US, "sip:*67911@carrier.example", "emergency_number"),
    (US, "sip:*82*911@carrier.example", "emergency_number"),
    (US, "sip:911,,1@carrier.example", "emergency_number"),
    (US, "sip:9115@carrier.example", "emergency_number"),
    (US, "sip:9115551234@carrier.example", "emergency_number"),
    (US, "+19115551234", "emergency_number"),
    (US, "+1911911", "emergency_number"),
    (US, "+4411299999", "emergency_number"),
    (US, "+4999911", "unassigned_number"),
    (DE, "sip:110@carrier.example", "emergency_number"),
    (DE, "sip:0110@carrier.example", "emergency_number"),
    (DE, "+4911012345678", "emergency_number"),
    (DE, "+49112", "emergency_number"),
    (US, "sip:+49110@carrier.example", "emergency_number"),
    (GB, "sip:999@carrier.example", "emergency_number"),
    (IN, "sip:100@carrier.example", "emergency_number"),
    (IN, "sip:108@carrier.example", "emergency_number"),
    // An exchange may well have a 100 or a 110 where those are not the police.
    (US, "sip:100@192.168.1.20", ""),
    (US, "sip:110@192.168.1.20", ""),
    (US, "sip:4711@192.168.1.20", ""),
    (US, "sip:alice@192.168.1.20", ""),
    (US, "201", ""),
    (US, US, ""),
    // N11 and its like.
    (US, "sip:411@carrier.example", "service_number"),
    (US, "sip:211@carrier.example", "service_number"),
    (US, "sip:9411@pbx.example", "service_number"),
    (US, "+14115551234", "service_number"),
    (US, "+12115551", "service_number"),
    (DE, "sip:115@carrier.example", "service_number"),
    (GB, "sip:111@carrier.example", "service_number"),
    (DE, "sip:411@192.168.1.20", ""),
    // Crisis lines.
    (US, "sip:988@carrier.example", "crisis_line"),
    (US, "+18002738255", "crisis_line"),
    (US, "sip:18002738255@carrier.example", "crisis_line"),
    (US, "sip:8002738255@carrier.example", "crisis_line"),
    (DE, "+498001110111", "crisis_line"),
    (DE, "sip:08001110111@carrier.example", "crisis_line"),
    (DE, "+49116123", "crisis_line"),
    (GB, "+44116123", "crisis_line"),
    (GB, "sip:116123@carrier.example", "crisis_line"),
    // Premium rates.
    (US, "+19005551234", "premium_number"),
    (US, "+12129765555", "premium_number"),
    (US, "sip:19005551234@carrier.example", "premium_number"),
    (US, "sip:9005551234@carrier.example", "premium_number"),
    (US, "sip:919005551234@pbx.example", "premium_number"),
    (US, "sip:+1-900-555-1234@carrier.example", "premium_number"),
    (US, "sip:011499001234567@carrier.example", "premium_number"),
    (US, "+499001234567", "premium_number"),
    (DE, "sip:09001234567@carrier.example", "premium_number"),
    (DE, "sip:00499001234567@carrier.example", "premium_number"),
    (DE, "sip:11833@carrier.example", "premium_number"),
    (GB, "+449098790879", "premium_number"),
    (GB, "sip:118118@carrier.example", "premium_number"),
    (US, "+447012345678", "premium_number"),
    (US, "+611900654321", "premium_number"),
    (US, "+33891123456", "premium_number"),
    (US, "+881612345678", "premium_number"),
    (US, "+8835100012345", "premium_number"),
    (US, "+979123456789", "premium_number"),
    // In no plan.
    (US, "+12530000000", "unassigned_number"),
    (US, "+2990000000", "unassigned_number"),
    (US, "+2101234567", "unassigned_number"),
];

fn code(outcome: &Result<(), Refusal>) -> &'static str {
    outcome.as_ref().err().map_or("", Refusal::code)
}

#[test]
fn a_number_is_what_its_plan_says_however_it_is_written() {
    let wrong: Vec<_> = DESTINATIONS
        .iter()
        .map(|(ours, to, expected)| (ours, to, expected, code(&guards("", ours).destination(to))))
        .filter(|(_, _, expected, found)| *expected != found)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_emergency_number_of_every_country_is_refused_in_that_country() {
    for (danger, region, number) in plan::entries().filter(|(danger, ..)| *danger == plan::Danger::Emergency)
    {
        // A beginning stands for numbers of four digits.
        let number = number.replace('*', "00");
        for dialled in [number.clone(), format!("0{number}"), format!("9{number}")] {
            assert_eq!(plan::of_dialled(&dialled, &[region]), Some(danger), "{region} {dialled}");
        }
    }
}

#[test]
fn what_the_operator_opens_is_open_and_nothing_beside_it() {
    let open =
        guards("open = ['411', '+1900', '+18002738255']\nopen_emergency = ['112']\nunassigned = true", US);
    for (to, expected) in [
        ("sip:411@carrier.example", ""),
        ("sip:511@carrier.example", "service_number"),
        ("+19005551234", ""),
        ("+12129765555", "premium_number"),
        ("+18002738255", ""),
        ("sip:112@carrier.example", ""),
        ("sip:911@carrier.example", "emergency_number"),
        ("sip:0112@carrier.example", "emergency_number"),
        ("+12530000000", ""),
    ] {
        assert_eq!(code(&open.destination(to)), expected, "{to}");
    }
    // Opening a beginning never opens an emergency number.
    let wide = guards("open = ['+1', '911']", US);
    assert_eq!(code(&wide.destination("sip:911@h")), "emergency_number");
    assert_eq!(code(&wide.destination("+19115551234")), "emergency_number");
}

#[test]
fn lists_allow_and_deny_by_beginnings() {
    let listed = guards("allow = ['+1', '+49', 'sip:alice@']\ndeny = ['+1876', '+4930']", US);
    for (to, expected) in [
        ("+14155552671", ""),
        ("+442079460958", "destination_not_allowed"),
        ("+18765551234", "destination_denied"),
        ("+493012345678", "destination_denied"),
        ("+498912345678", ""),
        ("sip:alice@10.0.0.5", ""),
        ("sip:bob@10.0.0.5", "destination_not_allowed"),
        ("201", ""),
    ] {
        assert_eq!(code(&listed.destination(to)), expected, "{to}");
    }
    let denied = guards("deny = ['+44']", US);
    for to in ["sip:+442079460958@h", "sip:442079460958@h", "sip:00442079460958@h", "sip:011442079460958@h"] {
        assert_eq!(code(&denied.destination(to)), "destination_denied", "{to}");
    }
}

#[test]
fn hours_are_those_of_the_place() {
    let day = "hours = { from = '09:00', to = '17:00', zone = 'America/New_York', days = ['mon', 'tue'] }";
    let night = "hours = { from = '22:00', to = '06:00', zone = 'UTC', days = ['fri'] }";
    // The 2nd of March 2026 is a Monday, and New York stands at UTC-5 until the 8th.
    for (rules, now, open, opens_in) in [
        (day, "2026-03-02T13:59:59Z", false, 1),
        (day, "2026-03-02T14:00:00Z", true, 0),
        (day, "2026-03-02T21:59:59Z", true, 0),
        (day, "2026-03-02T22:00:00Z", false, 16 * 3600),
        (day, "2026-03-03T22:00:00Z", false, (5 * 24 + 15) * 3600),
        (day, "2026-03-09T13:00:00Z", true, 0),
        (night, "2026-03-06T21:00:00Z", false, 3600),
        (night, "2026-03-06T23:00:00Z", true, 0),
        (night, "2026-03-07T05:59:00Z", true, 0),
        (night, "2026-03-07T06:00:00Z", false, (6 * 24 + 16) * 3600),
        (night, "2026-03-05T23:00:00Z", false, 23 * 3600),
    ] {
        let guards = guards(rules, US);
        let expected =
            if open { Ok(()) } else { Err(Refusal::Hours { opens: Duration::from_secs(opens_in) }) };
        for errand in [Errand::Call, Errand::Message] {
            assert_eq!(guards.occasion(errand, at(now), &Funds::default()), expected, "{rules} {now}");
        }
        assert_eq!(guards.occasion(Errand::Transfer, at(now), &Funds::default()), Ok(()));
    }
}

#[test]
fn an_hour_that_the_clocks_skip_opens_with_the_next() {
    let guards = guards("hours = { from = '02:30', to = '05:00', zone = 'America/New_York' }", US);
    let refusal = guards.occasion(Errand::Call, at("2026-03-08T06:00:00Z"), &Funds::default()).unwrap_err();
    assert_eq!(refusal, Refusal::Hours { opens: Duration::from_secs(90 * 60) });
}

#[test]
fn a_limit_of_spending_stops_what_reaches_it() {
    let rules = "[guards.spend]\nper_day = '5.00'\nper_month = '20.00'\naccount_per_day = '3.00'\naccount_per_month = '9.00'\n\
                 key_per_day = '1.00'\nkey_per_month = '2.00'";
    let guards = guards(rules, US);
    let spent = |today, this_month| Spent { today: money(today), this_month: money(this_month) };
    let just_under = Funds {
        key: spent("0.999999", "1.99"),
        account: spent("2.99", "8.99"),
        on_the_box: spent("4.99", "19.99"),
        ..Funds::default()
    };
    let now = at("2026-02-28T18:00:00Z");
    assert_eq!(guards.occasion(Errand::Call, now, &just_under), Ok(()));
    let hours = |n: u64| Duration::from_secs(n * 3600);
    let limit = money;
    for (funds, purse, period, limit, code) in [
        (
            Funds { key: spent("1.00", "1.00"), ..Funds::default() },
            Purse::Key,
            Period::Day,
            limit("1.00"),
            "key_spend_limit",
        ),
        (
            Funds { key: spent("0", "2.00"), ..Funds::default() },
            Purse::Key,
            Period::Month,
            limit("2.00"),
            "key_spend_limit",
        ),
        (
            Funds { account: spent("3", "3"), ..Funds::default() },
            Purse::Account,
            Period::Day,
            limit("3.00"),
            "account_spend_limit",
        ),
        (
            Funds { account: spent("0", "9.01"), ..Funds::default() },
            Purse::Account,
            Period::Month,
            limit("9.00"),
            "account_spend_limit",
        ),
        (
            Funds { on_the_box: spent("5", "5"), ..Funds::default() },
            Purse::Box,
            Period::Day,
            limit("5.00"),
            "box_spend_limit",
        ),
        (
            Funds { on_the_box: spent("0", "20"), ..Funds::default() },
            Purse::Box,
            Period::Month,
            limit("20.00"),
            "box_spend_limit",
        ),
    ] {
        // Both end at this midnight: it is the last of the month.
        for errand in [Errand::Call, Errand::Message, Errand::Transfer] {
            let refusal = guards.occasion(errand, now, &funds).unwrap_err();
            assert_eq!(refusal, Refusal::Spend { purse, period, limit, wait: hours(6) });
            assert_eq!(refusal.code(), code);
        }
    }
    let own = Funds { account: spent("0", "1"), monthly_limit: Some(money("1")), ..Funds::default() };
    assert_eq!(code(&guards.occasion(Errand::Call, now, &own)), "account_spend_limit");
    let nothing_at_all = Funds { monthly_limit: Some(Money::ZERO), ..Funds::default() };
    assert_eq!(code(&guards.money(now, &nothing_at_all)), "account_spend_limit");
}

#[test]
fn credits_are_asked_for_where_they_are_enforced() {
    let guards = guards("", US);
    let with = |credits| Funds { credits, ..Funds::default() };
    let now = at("2026-02-28T18:00:00Z");
    assert_eq!(guards.occasion(Errand::Call, now, &with(None)), Ok(()));
    assert_eq!(guards.occasion(Errand::Call, now, &with(Some(money("0.000001")))), Ok(()));
    assert_eq!(guards.occasion(Errand::Call, now, &with(Some(Money::ZERO))), Err(Refusal::Credits));
    assert_eq!(guards.occasion(Errand::Message, now, &with(Some(money("-1")))), Err(Refusal::Credits));
}

#[test]
fn codes_are_distinct() {
    let mut codes = Refusal::CODES.to_vec();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Refusal::CODES.len());
}
