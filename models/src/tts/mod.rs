//! Mouths.

pub mod local;

/// The longest phrase that is accepted, in characters. A mouth is given clauses; memory and the wait for the first
/// sound grow with their length.
pub const MAX_CHARS: usize = 1000;
