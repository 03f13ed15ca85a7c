use proptest::prelude::*;

use super::*;

fn table(language: &str, lines: &[(&str, &str)]) {
    let wrong: Vec<_> = lines
        .iter()
        .filter_map(|(written, expected)| {
            let found = spoken(written, language).text;
            (found != *expected).then(|| format!("\n{written:?}\n  said {found:?}\n  not  {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn english_numbers() {
    table(
        "en",
        &[
            ("We have 0 left.", "We have zero left."),
            ("There are 21 of them, or 115.", "There are twenty-one of them, or one hundred fifteen."),
            (
                "1,234,567 people",
                "one million two hundred thirty-four thousand five hundred sixty-seven people",
            ),
            ("3.14 and 0.5", "three point one four and zero point five"),
            ("It is -5 outside.", "It is minus five outside."),
            ("the 1st, 2nd, 3rd and 22nd", "the first, second, third and twenty-second"),
            ("the 12th and 20th", "the twelfth and twentieth"),
            (
                "in 1984, 1905, 2005 and 2026",
                "in nineteen eighty-four, nineteen oh five, two thousand five and twenty twenty-six",
            ),
            ("the 1990s", "the nineteen nineties"),
            ("1500 people, 3500 seats", "fifteen hundred people, three thousand five hundred seats"),
            ("15% or 2.5 %", "fifteen percent or two point five percent"),
            ("1/2 cup, 3/4 done, 2½ hours", "one half cup, three quarters done, two and a half hours"),
            ("open 24/7", "open twenty-four seven"),
            ("9-5, 10–15 days", "nine to five, ten to fifteen days"),
            ("9 - 5", "nine to five"),
            ("room #5", "room number five"),
            ("Press 1 for sales", "Press one for sales"),
            ("about ~40", "about about forty"),
            ("a 3-day trip, 12-year-old", "a three-day trip, twelve-year-old"),
        ],
    );
}

#[test]
fn english_times_and_dates() {
    table(
        "en",
        &[
            ("At 10:30.", "At ten thirty."),
            ("at 10:05 and 10:00", "at ten oh five and ten o'clock"),
            ("at 5 p.m. on Monday", "at five P.M on Monday"),
            ("We close at 5 p.m.", "We close at five P.M."),
            ("5pm, 5:30PM, 11 AM", "five P.M, five thirty P.M, eleven A.M"),
            ("14:30 and 0:15", "two thirty P.M and twelve fifteen A.M"),
            ("9:00-17:00", "nine o'clock to five P.M"),
            ("Mon-Fri 9am-5pm", "Monday to Friday nine A.M to five P.M"),
            ("on January 5, 2026.", "on January fifth, twenty twenty-six."),
            ("on Jan. 5th at 8", "on January fifth at eight"),
            ("by 5 March 2027", "by March fifth, twenty twenty-seven"),
            ("since May 2019", "since May twenty nineteen"),
            ("2026-11-22", "November twenty-second, twenty twenty-six"),
            ("on 11/22/2026", "on November twenty-second, twenty twenty-six"),
            ("You may 5 times", "You may five times"),
            ("Tue, Jan 6", "Tuesday, January sixth"),
        ],
    );
}

#[test]
fn english_money_and_measures() {
    table(
        "en",
        &[
            ("$3.50", "three dollars and fifty cents"),
            ("$1, $0.99 and $1.01", "one dollar, ninety-nine cents and one dollar and one cent"),
            ("$1,000.50", "one thousand dollars and fifty cents"),
            (
                "$5 million, $1.5M, $20k",
                "five million dollars, one point five million dollars, twenty thousand dollars",
            ),
            ("-$5", "minus five dollars"),
            ("€20 or 20€ or 20 EUR", "twenty euros or twenty euros or twenty euros"),
            ("£5.20", "five pounds and twenty pence"),
            ("5.50 dollars", "five dollars and fifty cents"),
            ("$5-10", "five to ten dollars"),
            ("$20/month", "twenty dollars per month"),
            ("5 km, 1 km, 5km/h", "five kilometers, one kilometer, five kilometers per hour"),
            ("72°F", "seventy-two degrees Fahrenheit"),
            ("10 lbs. of flour", "ten pounds of flour"),
            ("takes 45 min.", "takes forty-five minutes."),
        ],
    );
}

#[test]
fn english_addresses() {
    table(
        "en",
        &[
            ("Call (415) 555-0123.", "Call four one five, five five five, zero one two three."),
            ("+1 415 555 0123", "plus one, four one five, five five five, zero one two three"),
            ("+14155550123", "plus one, four one five, five five five, zero one two three"),
            (
                "555-0123 or 1-800-555-0199",
                "five five five, zero one two three or one, eight zero zero, five five five, zero one nine nine",
            ),
            ("dial 911", "dial nine one one"),
            ("extension 204", "extension two zero four"),
            ("Your code is 4821.", "Your code is four eight two one."),
            ("confirmation number 12345678", "confirmation number one two three, four five six, seven eight"),
            ("account 0071", "account zero zero seven one"),
            ("San Jose, CA 94107", "San Jose, CA nine four one, zero seven"),
            ("john.doe42@gmail.com", "john dot doe four two at gmail dot com"),
            ("Write to info@example.co.uk.", "Write to info at example dot co dot U.K."),
            ("my_name-x@a-b.org", "my underscore name dash X at A dash B dot org"),
            ("see www.example.com/help,", "see W.W.W dot example dot com slash help,"),
            ("example.io", "example dot I.O"),
            ("version 1.2.3", "version one dot two dot three"),
            ("12 Elm St. Apt. 5", "twelve Elm Street. apartment five"),
        ],
    );
}

#[test]
fn english_abbreviations() {
    table(
        "en",
        &[
            (
                "Dr. Smith owes $3.50 at 10:30",
                "Doctor Smith owes three dollars and fifty cents at ten thirty",
            ),
            ("Mr. and Mrs. Jones", "Mister and Missus Jones"),
            ("St. Mary's on Main St.", "Saint Mary's on Main Street."),
            ("vs. e.g. this, i.e. that, etc.", "versus for example this, that is that, et cetera."),
            ("No. 5 is no. 1.", "number five is number one."),
            ("No. We are closed.", "No. We are closed."),
            ("R&D and AT&T", "R and D and AT and T"),
            ("AI in the EU", "A.I in the E.U"),
            ("B12, 4K, MP3", "B-twelve, four-K, M.P-three"),
            ("he/she and/or they", "he or she and or they"),
            ("I sat in the sun on my co. car", "I sat in the sun on my co. car"),
            ("plain words stay as they are, \"really\"!", "plain words stay as they are, \"really\"!"),
        ],
    );
}

#[test]
fn german() {
    table(
        "de",
        &[
            ("Das kostet 3,50 €.", "Das kostet drei Euro fünfzig."),
            ("1.234,5 Kilometer", "eintausendzweihundertvierunddreißig Komma fünf Kilometer"),
            ("21 Personen, 101 Nächte", "einundzwanzig Personen, einhunderteins Nächte"),
            ("um 10:30 Uhr und um 8.15 Uhr", "um zehn Uhr dreißig und um acht Uhr fünfzehn"),
            ("um 1 Uhr", "um ein Uhr"),
            ("am 3. Mai 2026", "am dritten Mai zweitausendsechsundzwanzig"),
            ("der 1. Januar", "der erste Januar"),
            ("am 22.11.2026", "am zweiundzwanzigsten November zweitausendsechsundzwanzig"),
            ("bis 24.12. offen", "bis vierundzwanzigsten Dezember offen"),
            ("1984", "neunzehnhundertvierundachtzig"),
            ("im 3. Stock", "im dritten Stock"),
            ("5 km, 1 km", "fünf Kilometer, ein Kilometer"),
            ("20 %, 20 °C", "zwanzig Prozent, zwanzig Grad Celsius"),
            ("030 1234567", "null drei null, eins zwei drei, vier fünf sechs sieben"),
            ("info@beispiel.de", "info ät beispiel Punkt D.E"),
            ("Dr. Müller, z.B. heute, ca. 5", "Doktor Müller, zum Beispiel heute, circa fünf"),
            ("Mo-Fr 9-17 Uhr", "Montag bis Freitag neun bis siebzehn Uhr"),
            ("2 Mio. Euro", "zwei Millionen Euro"),
        ],
    );
}

#[test]
fn spanish() {
    table(
        "es",
        &[
            ("Cuesta 3,50 €.", "Cuesta tres euros con cincuenta."),
            ("21 euros, 1 kilo", "veintiún euros, un kilo"),
            ("1.234 personas", "mil doscientos treinta y cuatro personas"),
            ("a las 10:30 y a la 1:15", "a las diez y media y a la una y cuarto"),
            ("el 5 de mayo de 2026", "el cinco de mayo de dos mil veintiséis"),
            ("el 22/11/2026", "el veintidós de noviembre de dos mil veintiséis"),
            ("el 3º", "el tercero"),
            ("20 %", "veinte por ciento"),
            ("3,14", "tres coma catorce"),
            ("612 345 678", "seis uno dos, tres cuatro cinco, seis siete ocho"),
            ("info@ejemplo.es", "info arroba ejemplo punto E.S"),
            ("Sr. López y Sra. Ruiz", "señor López y señora Ruiz"),
            ("31.000", "treinta y un mil"),
        ],
    );
}

#[test]
fn french() {
    table(
        "fr",
        &[
            ("Ça coûte 3,50 €.", "Ça coûte trois euros cinquante."),
            (
                "71, 80, 81, 91 et 99",
                "soixante et onze, quatre-vingts, quatre-vingt-un, quatre-vingt-onze et quatre-vingt-dix-neuf",
            ),
            ("21 et 200", "vingt et un et deux cents"),
            (
                "1 234 567 habitants",
                "un million deux cent trente-quatre mille cinq cent soixante-sept habitants",
            ),
            ("à 14h30 et à 8h", "à quatorze heures trente et à huit heures"),
            ("le 1er mai 2026", "le premier mai deux mille vingt-six"),
            ("le 22/11/2026", "le vingt-deux novembre deux mille vingt-six"),
            ("le 2e et le 5ème", "le deuxième et le cinquième"),
            ("01 23 45 67 89", "zéro un, vingt-trois, quarante-cinq, soixante-sept, quatre-vingt-neuf"),
            ("20 %", "vingt pour cent"),
            ("info@exemple.fr", "info arobase exemple point F.R"),
            ("M. Dupont et Mme Durand", "monsieur Dupont et madame Durand"),
        ],
    );
}

#[test]
fn other_languages_are_left_alone() {
    let text = "Sono le 10:30, costa 3,50 €.";
    assert_eq!(spoken(text, "it").text, text);
    assert_eq!(spoken(text, "").text, text);
    assert_eq!(spoken("At 5.", "en_US").text, "At five.");
}

#[test]
fn a_cut_is_mapped_back_to_written_words() {
    let written = "It costs $3.50 at 10:30 today.";
    let said = spoken(written, "en");
    assert_eq!(said.text, "It costs three dollars and fifty cents at ten thirty today.");
    let heard = |until: &str| &written[..said.written_until(said.text.find(until).unwrap() + until.len())];
    assert_eq!(heard("costs"), "It costs");
    // Half of a price is none.
    assert_eq!(heard("dollars and"), "It costs");
    assert_eq!(heard("cents"), "It costs $3.50");
    assert_eq!(heard("ten"), "It costs $3.50 at");
    assert_eq!(heard("today."), written);
    assert_eq!(said.written_until(0), 0);
}

#[test]
fn long_texts_come_in_parts() {
    let said = spoken(&"12345 ".repeat(60), "en");
    let parts = said.parts(500);
    assert!(parts.len() > 3 && parts.iter().all(|part| part.len() <= 500));
    assert_eq!(parts.join(" "), said.text);
}

proptest! {
    #[test]
    fn no_digit_is_left_and_the_words_stay_in_order(text in "\\PC{0,120}", language in "(en|de|es|fr)") {
        let said = spoken(&text, &language);
        prop_assert!(!said.text.contains(|c: char| c.is_ascii_digit()), "{:?}", said.text);
        prop_assert!(said.ends.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{:?}", said.ends);
        prop_assert_eq!(said.written_until(said.text.len()), text.trim_end().len());
    }

    #[test]
    fn figures_and_signs_never_panic(text in "[0-9$€%°#@&+/:.,()a-dhkmpst –-]{0,60}", language in "(en|de|es|fr)") {
        let said = spoken(&text, &language);
        prop_assert!(!said.text.contains(|c: char| c.is_ascii_digit()), "{text:?} gave {:?}", said.text);
    }

    #[test]
    fn what_is_said_is_said_the_same_again(n in 0u64..10_000_000_000) {
        for language in ["en", "de", "es", "fr"] {
            let once = spoken(&format!("{n} x"), language).text;
            prop_assert_eq!(&spoken(&once, language).text, &once);
        }
    }

    #[test]
    fn parts_are_short_and_lose_nothing(text in "[a-zé ]{0,300}", most in 4usize..40) {
        let said = as_it_is(&text);
        let parts = said.parts(most);
        prop_assert!(parts.iter().all(|part| part.len() <= most && !part.is_empty()));
        let bare = |s: &str| s.split_whitespace().collect::<String>();
        prop_assert_eq!(bare(&parts.concat()), bare(&text));
    }
}
