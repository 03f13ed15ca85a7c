//! placeholder
use std::time::Duration;
/// How much delay the jitter buffer may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterConfig {
    /// What it aims at on a clean line, and at first.
    pub min: Duration,
    /// What it never goes beyond; packets later than this are lost.
    pub max: Duration,
}
impl Default for JitterConfig {
    fn default() -> Self {
        JitterConfig { min: Duration::from_millis(20), max: Duration::from_millis(240) }
    }
}
