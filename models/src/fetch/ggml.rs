//! Whisper weights from CTranslate2's format to ggml's, the one that whisper.cpp reads.
//!
//! CTranslate2 stores named tensors, with the projections of attention joined into one matrix; ggml stores the names
//! and the split of OpenAI's checkpoint, and in front of them the mel filterbank (which CTranslate2 does not keep: it
//! is computed) and the vocabulary as bytes. Matrices stay 16-bit floats, vectors become 32-bit.

use std::collections::HashMap;
use std::io::Write;

/// The magic of ggml files, "ggml" read as a little-endian number.
const MAGIC: u32 = 0x6767_6d6c;
/// Below this many tokens a model is English-only.
const MULTILINGUAL: usize = 51_865;
/// Tensors that whisper.cpp wants as 32-bit floats although they have two dimensions.
const KEEP_F32: [&str; 4] = [
    "encoder.conv1.bias",
    "encoder.conv2.bias",
    "encoder.positional_embedding",
    "decoder.positional_embedding",
];

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    #[error("the weights end in the middle")]
    Truncated,
    #[error("not CTranslate2 Whisper weights: {0}")]
    Format(String),
    #[error("the tensor {0} is missing")]
    Missing(String),
    #[error("the tensor {0} has a shape that a Whisper model does not have")]
    Shape(String),
    #[error("the vocabulary does not fit: {0}")]
    Vocabulary(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Converts `model.bin` (binary version 5 or 6) with its `vocabulary.txt` (one token per line).
pub fn ct2_to_ggml(model: &[u8], vocabulary: &str, out: &mut impl Write) -> Result<(), ConvertError> {
    let weights = Weights::parse(model)?;
    let mut tensors = Tensors::default();
    let mut layers = [0usize; 2];
    for (side, count) in ["encoder", "decoder"].into_iter().zip(&mut layers) {
        let positions = weights.get(&format!("{side}/position_encodings/encodings"))?;
        tensors.push(format!("{side}.positional_embedding"), positions);
        while weights.has(&format!("{side}/layer_{count}/ffn/linear_0/weight")) {
            layer(&weights, &mut tensors, side, *count)?;
            *count += 1;
        }
    }
    for conv in ["conv1", "conv2"] {
        tensors.push(format!("encoder.{conv}.weight"), weights.get(&format!("encoder/{conv}/weight"))?);
        let mut bias = weights.get(&format!("encoder/{conv}/bias"))?;
        bias.dims.push(1);
        tensors.push(format!("encoder.{conv}.bias"), bias);
    }
    norm(&weights, &mut tensors, "encoder.ln_post", "encoder/layer_norm")?;
    norm(&weights, &mut tensors, "decoder.ln", "decoder/layer_norm")?;
    tensors.push("decoder.token_embedding.weight".into(), weights.get("decoder/embeddings/weight")?);

    let dims = |name: &str, n: usize| tensors.dims(name, n);
    let [vocab, text_state] = dims("decoder.token_embedding.weight", 2)?[..] else { unreachable_shape()? };
    let [audio_ctx, audio_state] = dims("encoder.positional_embedding", 2)?[..] else { unreachable_shape()? };
    let text_ctx = dims("decoder.positional_embedding", 2)?[0];
    let mels = dims("encoder.conv1.weight", 3)?[1];
    let words = tokens(vocabulary, if vocab < MULTILINGUAL { 50_256 } else { 50_257 })?;
    let header = [
        vocab,
        audio_ctx,
        audio_state,
        weights.number("encoder/num_heads")?,
        layers[0],
        text_ctx,
        text_state,
        weights.number("decoder/num_heads")?,
        layers[1],
        mels,
        1, // 16-bit floats
    ];

    out.write_all(&MAGIC.to_le_bytes())?;
    ints(out, &header)?;
    let filters = mel_filters(mels);
    ints(out, &[mels, filters.len() / mels])?;
    floats(out, &filters)?;
    ints(out, &[words.len()])?;
    for word in words {
        ints(out, &[word.len()])?;
        out.write_all(&word)?;
    }
    tensors.write(out)
}

fn unreachable_shape<T>() -> Result<T, ConvertError> {
    Err(ConvertError::Shape("embedding".into()))
}

fn layer(weights: &Weights, tensors: &mut Tensors, side: &str, i: usize) -> Result<(), ConvertError> {
    let (from, to) = (format!("{side}/layer_{i}"), format!("{side}.blocks.{i}"));
    attention(weights, tensors, &format!("{to}.attn"), &format!("{from}/self_attention"), false)?;
    if side == "decoder" {
        attention(weights, tensors, &format!("{to}.cross_attn"), &format!("{from}/attention"), true)?;
    }
    norm(weights, tensors, &format!("{to}.mlp_ln"), &format!("{from}/ffn/layer_norm"))?;
    for (n, linear) in [(0, "linear_0"), (2, "linear_1")] {
        tensors.push(format!("{to}.mlp.{n}.weight"), weights.get(&format!("{from}/ffn/{linear}/weight"))?);
        tensors.push(format!("{to}.mlp.{n}.bias"), weights.get(&format!("{from}/ffn/{linear}/bias"))?);
    }
    Ok(())
}

fn norm(weights: &Weights, tensors: &mut Tensors, to: &str, from: &str) -> Result<(), ConvertError> {
    tensors.push(format!("{to}.weight"), weights.get(&format!("{from}/gamma"))?);
    tensors.push(format!("{to}.bias"), weights.get(&format!("{from}/beta"))?);
    Ok(())
}

/// Splits the joined projection into query, key and value. Attention to the other side has the query alone in the
/// first matrix, key and value in the second.
fn attention(
    weights: &Weights,
    tensors: &mut Tensors,
    to: &str,
    from: &str,
    cross: bool,
) -> Result<(), ConvertError> {
    let mut weight = weights.get(&format!("{from}/linear_0/weight"))?;
    let mut bias = weights.get(&format!("{from}/linear_0/bias"))?;
    if cross {
        weight.append(weights.get(&format!("{from}/linear_1/weight"))?)?;
        bias.append(weights.get(&format!("{from}/linear_1/bias"))?)?;
    }
    let wrong = || ConvertError::Shape(from.to_owned());
    let &[rows, n] = &weight.dims[..] else { return Err(wrong()) };
    if rows != 3 * n || bias.data.len() != 3 * n || bias.data[n..2 * n].iter().any(|b| *b != 0.0) {
        // A key with a bias is no Whisper model.
        return Err(wrong());
    }
    for (i, part) in ["query", "key", "value"].into_iter().enumerate() {
        let rows = Tensor { dims: vec![n, n], data: weight.data[i * n * n..(i + 1) * n * n].to_vec() };
        tensors.push(format!("{to}.{part}.weight"), rows);
        if part != "key" {
            let bias = Tensor { dims: vec![n], data: bias.data[i * n..(i + 1) * n].to_vec() };
            tensors.push(format!("{to}.{part}.bias"), bias);
        }
    }
    let out = if cross { "linear_2" } else { "linear_1" };
    tensors.push(format!("{to}.out.weight"), weights.get(&format!("{from}/{out}/weight"))?);
    tensors.push(format!("{to}.out.bias"), weights.get(&format!("{from}/{out}/bias"))?);
    norm(weights, tensors, &format!("{to}_ln"), &format!("{from}/layer_norm"))
}

#[derive(Debug, Clone)]
struct Tensor {
    /// Outermost first.
    dims: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// Adds another's rows beneath.
    fn append(&mut self, other: Tensor) -> Result<(), ConvertError> {
        if self.dims.get(1..) != other.dims.get(1..) || self.dims.is_empty() {
            return Err(ConvertError::Shape("linear_1".into()));
        }
        self.dims[0] += other.dims[0];
        self.data.extend(other.data);
        Ok(())
    }
}

/// The tensors in the order in which they are written.
#[derive(Default)]
struct Tensors(Vec<(String, Tensor)>);

impl Tensors {
    fn push(&mut self, name: String, tensor: Tensor) {
        self.0.push((name, tensor));
    }

    fn dims(&self, name: &str, count: usize) -> Result<Vec<usize>, ConvertError> {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, t)| t.dims.clone());
        let dims = found.ok_or_else(|| ConvertError::Missing(name.into()))?;
        if dims.len() == count { Ok(dims) } else { Err(ConvertError::Shape(name.into())) }
    }

    fn write(&self, out: &mut impl Write) -> Result<(), ConvertError> {
        for (name, tensor) in &self.0 {
            let half = tensor.dims.len() >= 2 && !KEEP_F32.contains(&name.as_str());
            ints(out, &[tensor.dims.len(), name.len(), usize::from(half)])?;
            let inward: Vec<usize> = tensor.dims.iter().rev().copied().collect();
            ints(out, &inward)?;
            out.write_all(name.as_bytes())?;
            if half {
                let bytes: Vec<u8> = tensor.data.iter().flat_map(|x| to_half(*x).to_le_bytes()).collect();
                out.write_all(&bytes)?;
            } else {
                floats(out, &tensor.data)?;
            }
        }
        Ok(())
    }
}

fn ints(out: &mut impl Write, numbers: &[usize]) -> Result<(), ConvertError> {
    for n in numbers {
        let n = i32::try_from(*n).map_err(|_| ConvertError::Shape(n.to_string()))?;
        out.write_all(&n.to_le_bytes())?;
    }
    Ok(())
}

fn floats(out: &mut impl Write, numbers: &[f32]) -> Result<(), ConvertError> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(out.write_all(&bytes)?)
}

/// Element types of CTranslate2, by their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    F32,
    I8,
    I16,
    I32,
    F16,
    Bf16,
}

impl Kind {
    fn of(number: u8) -> Option<Kind> {
        [Kind::F32, Kind::I8, Kind::I16, Kind::I32, Kind::F16, Kind::Bf16].get(usize::from(number)).copied()
    }

    fn width(self) -> usize {
        match self {
            Kind::F32 | Kind::I32 => 4,
            Kind::I16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::I8 => 1,
        }
    }
}

struct Variable<'a> {
    dims: Vec<usize>,
    kind: Kind,
    bytes: &'a [u8],
}

/// What stands in `model.bin`.
struct Weights<'a> {
    variables: HashMap<String, Variable<'a>>,
    aliases: HashMap<String, String>,
}

impl<'a> Weights<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Weights<'a>, ConvertError> {
        let mut at = Cursor(bytes);
        let version = at.u32()?;
        if !matches!(version, 5 | 6) {
            return Err(ConvertError::Format(format!("binary version {version}")));
        }
        let spec = at.string()?;
        if spec != "WhisperSpec" {
            return Err(ConvertError::Format(format!("a model of kind {spec:?}")));
        }
        let _revision = at.u32()?;
        let mut variables = HashMap::new();
        for _ in 0..at.u32()? {
            let name = at.string()?;
            let rank = at.take(1)?[0];
            let dims = (0..rank).map(|_| at.u32().map(|n| n as usize)).collect::<Result<Vec<_>, _>>()?;
            let kind = at.take(1)?[0];
            let kind = Kind::of(kind).ok_or_else(|| ConvertError::Format(format!("element type {kind}")))?;
            let len = at.u32()? as usize;
            let bytes = at.take(len)?;
            let elements = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            if elements.and_then(|n| n.checked_mul(kind.width())) != Some(len) {
                return Err(ConvertError::Shape(name));
            }
            variables.insert(name, Variable { dims, kind, bytes });
        }
        let mut aliases = HashMap::new();
        if !at.0.is_empty() {
            for _ in 0..at.u32()? {
                aliases.insert(at.string()?, at.string()?);
            }
        }
        Ok(Weights { variables, aliases })
    }

    fn variable(&self, name: &str) -> Option<&Variable<'a>> {
        self.variables.get(name).or_else(|| self.variables.get(self.aliases.get(name)?))
    }

    fn has(&self, name: &str) -> bool {
        self.variable(name).is_some()
    }

    fn get(&self, name: &str) -> Result<Tensor, ConvertError> {
        let v = self.variable(name).ok_or_else(|| ConvertError::Missing(name.into()))?;
        let mut data = numbers(v);
        if v.kind == Kind::I8
            && let Some(scales) = self.variable(&format!("{name}_scale"))
        {
            // Quantised by rows: w = q / scale.
            let scales = numbers(scales);
            let row = data.len() / scales.len().max(1);
            for (row, scale) in data.chunks_mut(row.max(1)).zip(scales) {
                row.iter_mut().for_each(|x| *x /= scale);
            }
        }
        Ok(Tensor { dims: v.dims.clone(), data })
    }

    /// A single whole number.
    fn number(&self, name: &str) -> Result<usize, ConvertError> {
        let v = self.variable(name).ok_or_else(|| ConvertError::Missing(name.into()))?;
        match numbers(v)[..] {
            [n] if n >= 1.0 => Ok(n as usize),
            _ => Err(ConvertError::Shape(name.into())),
        }
    }
}

fn numbers(v: &Variable<'_>) -> Vec<f32> {
    let pairs = || v.bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let fours = || v.bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    match v.kind {
        Kind::F32 => fours().map(f32::from_bits).collect(),
        Kind::I32 => fours().map(|n| n as i32 as f32).collect(),
        Kind::I16 => pairs().map(|n| f32::from(n as i16)).collect(),
        Kind::F16 => pairs().map(from_half).collect(),
        Kind::Bf16 => pairs().map(|n| f32::from_bits(u32::from(n) << 16)).collect(),
        Kind::I8 => v.bytes.iter().map(|b| f32::from(*b as i8)).collect(),
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], ConvertError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(ConvertError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, ConvertError> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A 16-bit length that counts a closing NUL, the bytes, the NUL.
    fn string(&mut self) -> Result<String, ConvertError> {
        let b = self.take(2)?;
        let bytes = self.take(usize::from(u16::from_le_bytes([b[0], b[1]])))?;
        let text = bytes.split_last().map_or(&[][..], |(_, text)| text);
        String::from_utf8(text.to_vec()).map_err(|_| ConvertError::Format("a name is not text".into()))
    }
}

/// IEEE 754 half to single precision: exact.
fn from_half(h: u16) -> f32 {
    let sign = u32::from(h >> 15) << 31;
    let exponent = u32::from(h >> 10) & 0x1f;
    let fraction = u32::from(h) & 0x3ff;
    match exponent {
        // Subnormal: fraction · 2^-24.
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// Single to half precision, to the nearest, ties to even.
fn to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32;
    let fraction = bits & 0x7f_ffff;
    if exponent == 255 {
        let quiet = if fraction == 0 { 0 } else { 0x200 | (fraction >> 13) as u16 };
        return sign | 0x7c00 | quiet;
    }
    // The fraction with its hidden bit, and how far it goes right.
    let (mantissa, shift, base) = match exponent - 112 {
        e if e >= 31 => return sign | 0x7c00,
        e if e > 0 => (fraction, 13, (e as u32) << 10),
        e if e >= -10 => (fraction | 0x80_0000, (14 - e) as u32, 0),
        _ => return sign,
    };
    let kept = mantissa >> shift;
    let lost = mantissa & ((1 << shift) - 1);
    let half = 1 << (shift - 1);
    let up = u32::from(lost > half || (lost == half && kept & 1 == 1));
    // A carry out of the fraction lands in the exponent, which is right.
    sign | (base + kept + up) as u16
}

/// The first `count` tokens as bytes. GPT-2's vocabulary writes each byte as a printable character.
fn tokens(vocabulary: &str, count: usize) -> Result<Vec<Vec<u8>>, ConvertError> {
    let mut byte_of = HashMap::new();
    let mut stand_in = 256;
    for byte in 0..=255u8 {
        let c = match byte {
            33..=126 | 161..=172 | 174..=255 => u32::from(byte),
            _ => {
                stand_in += 1;
                stand_in - 1
            }
        };
        byte_of.insert(char::from_u32(c).unwrap_or_default(), byte);
    }
    let word = |token: &str| token.chars().map(|c| byte_of.get(&c).copied()).collect::<Option<Vec<u8>>>();
    let words: Vec<Vec<u8>> = vocabulary
        .split('\n')
        .take(count)
        .map(|t| word(t).ok_or_else(|| ConvertError::Vocabulary(format!("{t:?} is no token"))))
        .collect::<Result<_, _>>()?;
    match words.len() {
        n if n == count => Ok(words),
        n => Err(ConvertError::Vocabulary(format!("{n} tokens, not {count}"))),
    }
}

/// Whisper's mel filterbank: Slaney's scale and norm, 16 kHz, a transform of 400.
fn mel_filters(count: usize) -> Vec<f32> {
    const RATE: f64 = 16_000.0;
    const BINS: usize = 201;
    let step = 6.4f64.ln() / 27.0;
    let to_mel = |f: f64| if f >= 1000.0 { 15.0 + (f / 1000.0).ln() / step } else { f / (200.0 / 3.0) };
    let to_hz = |m: f64| if m >= 15.0 { 1000.0 * (step * (m - 15.0)).exp() } else { m * (200.0 / 3.0) };
    let top = to_mel(RATE / 2.0);
    let edges: Vec<f64> = (0..count + 2).map(|i| to_hz(top * i as f64 / (count + 1) as f64)).collect();
    let mut filters = Vec::with_capacity(count * BINS);
    for m in 0..count {
        let [low, mid, high] = [edges[m], edges[m + 1], edges[m + 2]];
        for bin in 0..BINS {
            let f = RATE / 2.0 * bin as f64 / (BINS - 1) as f64;
            let rising = -(low - f) / (mid - low);
            let falling = (high - f) / (high - mid);
            // The first one is a negative zero, in the tool that made these files and so here.
            let height = Some(rising.min(falling)).filter(|h| *h >= 0.0).unwrap_or(0.0);
            filters.push((height * (2.0 / (high - low))) as f32);
        }
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_way_through_single_precision() {
        for h in 0..=u16::MAX {
            let x = from_half(h);
            if !x.is_nan() {
                assert_eq!(to_half(x), h, "{h:#06x}");
            }
        }
    }

    #[test]
    fn halves_are_rounded_to_the_nearest_even() {
        assert_eq!(to_half(1.0), 0x3c00);
        assert_eq!(to_half(1.0 + 2f32.powi(-11)), 0x3c00);
        assert_eq!(to_half(1.0 + 3.0 * 2f32.powi(-11)), 0x3c02);
        assert_eq!(to_half(65_520.0), 0x7c00);
        assert_eq!(to_half(-0.0), 0x8000);
        assert_eq!(to_half(2f32.powi(-25)), 0);
    }

    #[test]
    fn garbage_is_refused_and_nothing_is_written() {
        let mut out = Vec::new();
        for bytes in [&b""[..], b"\x06\0\0\0", b"\x07\0\0\0\x0c\0WhisperSpec\0", &[0xff; 64]] {
            assert!(ct2_to_ggml(bytes, "", &mut out).is_err());
        }
        assert!(out.is_empty());
    }
}
