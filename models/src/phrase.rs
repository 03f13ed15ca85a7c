//! Tokens in, speakable clauses out.

/// Cuts a reply into what a mouth is given.
#[derive(Debug, Default)]
pub struct Phraser {
    pending: String,
}

impl Phraser {
    pub fn new() -> Phraser {
        Phraser::default()
    }

    /// Takes a piece of the reply; yields the clauses that stand now.
    pub fn push(&mut self, piece: &str) -> impl Iterator<Item = String> + use<> {
        self.pending.push_str(piece);
        Vec::new().into_iter()
    }

    /// What is left when the reply has ended.
    pub fn finish(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.pending)).filter(|s| !s.is_empty())
    }
}
