//! The stream's bytes, line by line.

/// The longest line of a stream, and the longest reply in one piece, in bytes.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Bytes in, lines out. A line may be cut anywhere, inside a character too.
#[derive(Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    read: usize,
    pub(super) ended: bool,
}

impl Lines {
    pub(super) fn done() -> Lines {
        Lines { ended: true, ..Lines::default() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > MAX_LINE { Err("a line is too long") } else { Ok(()) }
    }

    pub(super) fn has_rest(&self) -> bool {
        self.read < self.buffer.len()
    }

    /// What is left is a line too, though nothing ended it.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.buffer.push(b'\n');
    }

    pub(super) fn next(&mut self) -> Option<String> {
        let rest = &self.buffer[self.read..];
        let len = rest.iter().position(|b| *b == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..len]).trim_end_matches('\r').to_owned();
        self.read += len + 1;
        Some(line)
    }
}
