//! Words to phonemes: Debian's libespeak-ng, which is one global thing, behind one lock.
//!
//! Its own way through a text loses the marks at which it stops, so it is given one clause at a time, and the mark is put
//! back by whoever asked.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Mutex;

use models::wire::Failure;

/// Text in, sound by callback: the mode that opens no sound card.
const RETRIEVAL: c_int = 1;
/// An error is an error, not the end of the process.
const DONT_EXIT: c_int = 0x8000;
const UTF8: c_int = 1;
const IPA: c_int = 0x02;
/// `espeak_ERROR`'s good value.
const OK: c_int = 0;

#[link(name = "espeak-ng")]
unsafe extern "C" {
    fn espeak_Initialize(output: c_int, buffer_ms: c_int, data: *const c_char, options: c_int) -> c_int;
    fn espeak_SetVoiceByName(name: *const c_char) -> c_int;
    fn espeak_TextToPhonemes(
        text: *mut *const c_void,
        text_mode: c_int,
        phoneme_mode: c_int,
    ) -> *const c_char;
}

/// The one espeak-ng of this process: the language that it speaks now, once it has been started.
static ESPEAK: Mutex<Option<String>> = Mutex::new(None);

/// The IPA of one clause without marks, in espeak-ng's language `voice` ("en-us").
pub(crate) fn phonemes(clause: &str, voice: &str) -> Result<String, Failure> {
    let failed = |what: String| Failure::new("engine", what);
    let c_string = |s: &str| CString::new(s.replace('\0', " ")).map_err(|e| failed(e.to_string()));
    let (text, name) = (c_string(clause)?, c_string(voice)?);
    let mut espeak =
        ESPEAK.lock().map_err(|_| failed("espeak-ng was left in the middle of its work".into()))?;
    if espeak.is_none() {
        // SAFETY: called once, under the lock; a null path means the data that Debian installed.
        let rate = unsafe { espeak_Initialize(RETRIEVAL, 0, std::ptr::null(), DONT_EXIT) };
        if rate <= 0 {
            return Err(failed("espeak-ng finds no data; install it: apt-get install espeak-ng-data".into()));
        }
        *espeak = Some(String::new());
    }
    if espeak.as_deref() != Some(voice) {
        // SAFETY: under the lock; the name lives until it returns.
        if unsafe { espeak_SetVoiceByName(name.as_ptr()) } != OK {
            return Err(failed(format!("espeak-ng knows no language {voice:?}")));
        }
        *espeak = Some(voice.to_owned());
    }
    let mut all = String::new();
    let mut rest: *const c_void = text.as_ptr().cast();
    while !rest.is_null() {
        // SAFETY: under the lock; `rest` points into `text`, which lives, or is null at its end. What comes back is
        // espeak-ng's own and stays until the next call.
        let part = unsafe {
            let part = espeak_TextToPhonemes(&mut rest, UTF8, IPA);
            if part.is_null() { continue } else { CStr::from_ptr(part) }
        };
        let part = part.to_string_lossy();
        if !all.is_empty() && !part.trim().is_empty() {
            all.push(' ');
        }
        all.push_str(part.trim());
    }
    Ok(without_switches(&all))
}

/// Takes away "(fr)" and the like, by which espeak-ng says that a word is of another language.
fn without_switches(phonemes: &str) -> String {
    let mut depth = 0;
    phonemes
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth -= 1;
                    return false;
                }
                _ => {}
            }
            depth <= 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_phonemes_and_numbers_are_read() {
        assert_eq!(phonemes("hello", "en-us").unwrap(), "həlˈoʊ");
        let time = phonemes("at 10:30", "en-us").unwrap();
        assert!(time.contains("tˈɛn") && time.contains("θˈɜːɾi"), "{time}");
        assert!(phonemes("x", "no-such-language").is_err());
        assert_eq!(phonemes("hello", "en-us").unwrap(), "həlˈoʊ");
    }

    #[test]
    fn language_switches_are_taken_away() {
        assert_eq!(without_switches("(fr)bɔ̃ʒuʁ(en-us) jˈuː"), "bɔ̃ʒuʁ jˈuː");
    }
}
