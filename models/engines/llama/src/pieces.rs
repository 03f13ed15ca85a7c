//! Token bytes in, text that may be said out.
//!
//! A token may end in the middle of a character, and a stop string may begin in one token and end three later. So bytes
//! wait until they are characters, and characters wait while they could still become a stop string, or the text that
//! begins something that is not to be said.

#[derive(Debug)]
pub(crate) struct Pieces {
    stop: Vec<String>,
    trigger: Option<String>,
    /// Bytes that are not yet characters.
    bytes: Vec<u8>,
    /// Characters that are not yet said.
    held: String,
    begun: bool,
}

/// What a token gave.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Text(String),
    /// A stop string stands here; this is what came before it.
    Stopped(String),
    /// The trigger stands here; this is what came before it.
    Triggered(String),
}

impl Pieces {
    pub(crate) fn new(stop: Vec<String>, trigger: Option<String>) -> Pieces {
        let stop = stop.into_iter().filter(|s| !s.is_empty()).collect();
        Pieces { stop, trigger, bytes: Vec::new(), held: String::new(), begun: false }
    }

    pub(crate) fn push(&mut self, token: &[u8]) -> Said {
        self.bytes.extend_from_slice(token);
        self.decode();
        if !self.begun {
            // A reply does not begin with a space.
            let rest = self.held.trim_start().to_owned();
            self.begun = !rest.is_empty();
            self.held = rest;
        }
        let first = self.stop.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        let triggered = self.trigger.as_ref().and_then(|trigger| self.held.find(trigger.as_str()));
        if let Some(at) = triggered.filter(|at| first.is_none_or(|first| *at < first)) {
            self.held.truncate(at);
            self.trigger = None;
            return Said::Triggered(std::mem::take(&mut self.held));
        }
        if let Some(at) = first {
            self.held.truncate(at);
            return Said::Stopped(std::mem::take(&mut self.held));
        }
        let sure = self.held.len() - self.undecided();
        Said::Text(self.held.drain(..sure).collect())
    }

    /// What is left at the end: no stop string came after all.
    pub(crate) fn finish(&mut self) -> String {
        self.bytes.clear();
        std::mem::take(&mut self.held)
    }

    /// Moves whole characters over; bytes that can never be one become U+FFFD.
    fn decode(&mut self) {
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(text) => {
                    self.held.push_str(text);
                    self.bytes.clear();
                    return;
                }
                Err(e) => {
                    let good = e.valid_up_to();
                    self.held.push_str(&String::from_utf8_lossy(&self.bytes[..good]));
                    match e.error_len() {
                        None => {
                            self.bytes.drain(..good);
                            return;
                        }
                        Some(bad) => {
                            self.held.push('\u{fffd}');
                            self.bytes.drain(..good + bad);
                        }
                    }
                }
            }
        }
    }

    /// How many bytes at the end could be the beginning of a stop string.
    fn undecided(&self) -> usize {
        let begins = |stop: &String| {
            let longest = stop.len().min(self.held.len());
            (1..=longest)
                .rev()
                .find(|n| stop.as_bytes().starts_with(&self.held.as_bytes()[self.held.len() - n..]))
        };
        self.stop.iter().chain(&self.trigger).filter_map(begins).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stop: &[&str], tokens: &[&[u8]]) -> (String, bool) {
        let mut pieces = Pieces::new(stop.iter().map(|s| s.to_string()).collect(), None);
        let mut text = String::new();
        for token in tokens {
            match pieces.push(token) {
                Said::Text(t) => text += &t,
                Said::Stopped(t) => return (text + &t, true),
                Said::Triggered(t) => panic!("{t:?}"),
            }
        }
        (text + &pieces.finish(), false)
    }

    #[test]
    fn a_character_in_two_tokens_comes_out_whole() {
        let euro = "€".as_bytes();
        assert_eq!(all(&[], &[b" ", b"5 ", &euro[..1], &euro[1..], b"!"]), ("5 €!".into(), false));
    }

    #[test]
    fn bytes_that_are_no_character_do_not_stop_the_rest() {
        assert_eq!(all(&[], &[b"a\xff", b"b\xe2", b"c"]).0, "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_stop_string_is_found_across_tokens_and_never_said() {
        assert_eq!(all(&["\nUser:"], &[b"Yes.", b"\n", b"Us", b"er", b": hi"]), ("Yes.".into(), true));
        assert_eq!(all(&["\nUser:"], &[b"Yes.", b"\n", b"Use it."]), ("Yes.\nUse it.".into(), false));
        assert_eq!(all(&["END"], &[b"the E", b"N"]), ("the EN".into(), false));
    }

    #[test]
    fn a_trigger_is_found_across_tokens_and_never_said() {
        let mut pieces = Pieces::new(vec!["END".into()], Some("<tool_call>".into()));
        assert_eq!(pieces.push(b"One moment. <tool"), Said::Text("One moment. ".into()));
        assert_eq!(pieces.push(b"_ca"), Said::Text(String::new()));
        assert_eq!(pieces.push(b"ll>\n{"), Said::Triggered(String::new()));
        let mut pieces = Pieces::new(vec!["END".into()], Some("<tool_call>".into()));
        assert_eq!(pieces.push(b"END <tool_call>"), Said::Stopped(String::new()));
    }
}
