//! How exactly a sound arrived: sample against sample.

use super::speech::Wav;

/// A quarter of a second, that a jitter buffer's seam spoils one piece and no more.
const PIECE: usize = 2_000;
/// How far such a seam may move one piece against the one before it.
const DRIFT: usize = 480;
/// Below this many dB a piece holds a seam. G.711 alone gives 37, a little less in a piece that is soft.
const INTACT: f64 = 35.5;

#[derive(Debug)]
pub(crate) struct Fidelity {
    /// Of the pieces without a seam, together.
    pub(crate) snr_db: f64,
    /// Of all pieces, the worst included.
    pub(crate) correlation: f64,
    pub(crate) intact: usize,
    pub(crate) pieces: usize,
}

impl Fidelity {
    /// Looks for `said` in `heard`, piece by piece and in order. Pieces of silence say nothing and are left out.
    pub(crate) fn of(said: &Wav, heard: &Wav) -> Fidelity {
        let heard = heard.samples();
        let (mut signal, mut noise) = (0.0, 0.0);
        let mut sums = Sums::default();
        let (mut intact, mut pieces) = (0, 0);
        let mut place: Option<usize> = None;
        for (index, piece) in said.samples().chunks_exact(PIECE).enumerate() {
            if piece.iter().all(|sample| sample.unsigned_abs() <= 1_000) {
                place = place.map(|at| at + PIECE);
                continue;
            }
            let within = match place {
                Some(at) => at.saturating_sub(DRIFT).min(heard.len())..(at + PIECE + DRIFT).min(heard.len()),
                None => 0..heard.len(),
            };
            let start = within.start;
            let Some((at, like)) = best(piece, &heard[within]) else { break };
            let at = start + at;
            assert!(
                place.is_some() || like.correlation() > 0.9,
                "piece {index} is nowhere in what was heard"
            );
            pieces += 1;
            sums.add(&like);
            if 10.0 * (like.said / like.noise.max(1.0)).log10() > INTACT {
                intact += 1;
                signal += like.said;
                noise += like.noise;
            }
            place = Some(at + PIECE);
        }
        Fidelity {
            snr_db: 10.0 * (signal / f64::max(noise, 1.0)).log10(),
            correlation: sums.correlation(),
            intact,
            pieces,
        }
    }

    /// What G.711 alone does to a sound; on a busy machine one piece in three may hold a seam of the jitter buffer.
    #[track_caller]
    pub(crate) fn assert_is_g711s(&self, way: &str) {
        println!("{way}: {self:.4?}");
        assert!(self.snr_db >= 37.0 && self.correlation > 0.99, "{way}: {self:?}");
        assert!(self.pieces > 3 && self.intact * 3 >= self.pieces * 2, "{way}: {self:?}");
    }
}

/// Energies of two stretches of sound, of what they have in common, and of their difference.
#[derive(Clone, Copy, Default)]
struct Sums {
    said: f64,
    heard: f64,
    product: f64,
    noise: f64,
}

impl Sums {
    fn of(said: &[i16], heard: &[i16]) -> Sums {
        let mut sums = Sums::default();
        for (&said, &heard) in said.iter().zip(heard) {
            let (said, heard) = (f64::from(said), f64::from(heard));
            sums.said += said * said;
            sums.heard += heard * heard;
            sums.product += said * heard;
            sums.noise += (said - heard).powi(2);
        }
        sums
    }

    fn add(&mut self, other: &Sums) {
        self.said += other.said;
        self.heard += other.heard;
        self.product += other.product;
        self.noise += other.noise;
    }

    fn correlation(&self) -> f64 {
        self.product / (self.said * self.heard).sqrt().max(1.0)
    }
}

/// The place where the difference is least.
fn best(piece: &[i16], within: &[i16]) -> Option<(usize, Sums)> {
    let all = within.windows(piece.len()).map(|stretch| Sums::of(piece, stretch)).enumerate();
    all.min_by(|a, b| a.1.noise.total_cmp(&b.1.noise))
}

#[test]
fn a_seam_spoils_one_piece_and_noise_is_measured() {
    let said: Vec<i16> = (0..40_000i32).map(|n| ((n * n / 7) % 20_011 - 10_000) as i16).collect();
    let mut heard = vec![0; 777];
    heard.extend(said.iter().enumerate().map(|(n, sample)| sample + if n % 2 == 0 { 57 } else { -57 }));
    heard.drain(10_000..10_080);
    let fidelity = Fidelity::of(&Wav::of(said), &Wav::of(heard));
    assert_eq!((fidelity.intact, fidelity.pieces), (19, 20), "{fidelity:?}");
    assert!((fidelity.snr_db - 40.1).abs() < 0.3, "{fidelity:?}");
}
