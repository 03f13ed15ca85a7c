//! placeholder
/// Streaming resampler.
pub struct Resampler {}
impl Resampler {
    /// From and to Hz, each 4,000–192,000.
    pub fn new(_from: u32, _to: u32) -> Self {
        Resampler {}
    }
    /// Appends what can be made of `input` and what came before.
    pub fn push(&mut self, _input: &[i16], _out: &mut Vec<i16>) {}
    /// Appends the tail, and is then ready for another stream.
    pub fn finish(&mut self, _out: &mut Vec<i16>) {}
}
/// Converts a whole clip.
pub fn convert(_pcm: &[i16], _from: u32, _to: u32) -> Vec<i16> {
    Vec::new()
}
