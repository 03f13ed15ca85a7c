//! placeholder
use std::time::Duration;
/// When speech counts as begun and as ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadConfig {
    /// Voice must last so long before [`crate::Event::VoiceStart`].
    pub onset: Duration,
    /// Silence must last so long before [`crate::Event::VoiceEnd`].
    pub hangover: Duration,
    /// From which probability on a frame is voice, 0 to 1.
    pub threshold: f32,
}
impl Default for VadConfig {
    fn default() -> Self {
        VadConfig { onset: Duration::from_millis(60), hangover: Duration::from_millis(200), threshold: 0.5 }
    }
}
