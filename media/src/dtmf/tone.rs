//! Keys as sound: the two frequencies of each (ITU-T Q.23).

/// Hz.
pub(crate) const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub(crate) const COLUMNS: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// Where each key stands on the pad, by event code: row, column.
pub(crate) const PLACES: [(usize, usize); 16] = [
    (3, 1),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, 0),
    (2, 1),
    (2, 2),
    (3, 0),
    (3, 2),
    (0, 3),
    (1, 3),
    (2, 3),
    (3, 3),
];
/// Amplitude of the row's tone at [`LOUDNESS`]. The column's is 2 dB higher, as lines lose more of the high frequencies.
const LOW: f32 = 5_000.0;
const HIGH: f32 = 6_300.0;
/// What [`LOW`] is, in dB below 0 dBm0.
const LOUDNESS: f32 = 10.0;
/// Rise and fall at the ends of a key, so that it does not click: 2 ms.
const RAMP_PER_SECOND: u32 = 500;

/// Adds nothing, replaces: the sound of a key from sample `from` on, if it is held for `length` samples in all. `volume`: dB below 0 dBm0.
pub(crate) fn write(code: u8, from: u32, length: u32, rate: u32, volume: u8, pcm: &mut [i16]) {
    let Some(&(row, column)) = PLACES.get(usize::from(code)) else { return };
    let step = std::f32::consts::TAU / rate as f32;
    let ramp = (rate / RAMP_PER_SECOND).max(1);
    // Louder than 5 dB below would not fit into 16 bits.
    let gain = 10f32.powf((LOUDNESS - f32::from(volume.max(5))) / 20.0);
    for (index, sample) in pcm.iter_mut().enumerate() {
        let position = from + index as u32;
        if position >= length {
            *sample = 0;
            continue;
        }
        let edge = gain * position.min(length - 1 - position).min(ramp) as f32 / ramp as f32;
        // Whole periods of 1 Hz leave the phase as it is, and keep the product exact for however long.
        let time = step * (position % rate) as f32;
        *sample = (edge * (LOW * (ROWS[row] * time).sin() + HIGH * (COLUMNS[column] * time).sin())) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LINE_RATE;

    fn power(pcm: &[i16], frequency: f32) -> f32 {
        let step = std::f32::consts::TAU * frequency / LINE_RATE as f32;
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in pcm.iter().enumerate() {
            re += f32::from(sample) * (step * n as f32).cos();
            im += f32::from(sample) * (step * n as f32).sin();
        }
        (re * re + im * im).sqrt() * 2.0 / pcm.len() as f32
    }

    #[test]
    fn each_key_has_its_row_and_its_column() {
        for (code, row, column) in
            [(0, 941.0, 1_336.0), (1, 697.0, 1_209.0), (11, 941.0, 1_477.0), (15, 941.0, 1_633.0)]
        {
            let mut pcm = [0; 800];
            write(code, 0, 800, LINE_RATE, 10, &mut pcm);
            for frequency in ROWS.iter().chain(&COLUMNS) {
                let wanted = *frequency == row || *frequency == column;
                assert_eq!(power(&pcm, *frequency) > 3_000.0, wanted, "key {code}, {frequency} Hz");
            }
        }
    }

    #[test]
    fn it_is_as_loud_as_it_is_asked_to_be_and_never_too_loud() {
        let loudest = |volume| {
            let mut pcm = [0; 8_000];
            write(5, 0, 8_000, LINE_RATE, volume, &mut pcm);
            pcm.iter().map(|sample| f32::from(sample.unsigned_abs())).fold(0.0, f32::max)
        };
        assert!((loudest(10) / loudest(30) - 10.0).abs() < 0.2);
        assert!(loudest(0) < 32_000.0 && loudest(63) > 10.0);
    }
}
