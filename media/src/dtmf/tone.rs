//! Keys as sound: the two frequencies of each (ITU-T Q.23).

use crate::Rate;

const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// Where each key stands on the pad, by event code: row, column.
const PLACES: [(usize, usize); 16] = [
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
/// Amplitude of the row's tone: −9 dBm0 or so. The column's is 2 dB higher, as lines lose more of the high frequencies.
const LOW: f32 = 5_000.0;
const HIGH: f32 = 6_300.0;
/// Rise and fall at the ends of a key, in line time, so that it does not click.
const RAMP: u32 = 16;

/// Adds nothing, replaces: the sound of a key from `from` on, if it is held for `length` in all, both in line time.
pub(crate) fn write(code: u8, from: u32, length: u32, rate: Rate, pcm: &mut [i16]) {
    let Some(&(row, column)) = PLACES.get(usize::from(code)) else { return };
    let scale = rate.scale() as u32;
    let (from, length, ramp) = (from * scale, length.saturating_mul(scale), RAMP * scale);
    let step = std::f32::consts::TAU / rate.hz() as f32;
    for (index, sample) in pcm.iter_mut().enumerate() {
        let position = from + index as u32;
        if position >= length {
            *sample = 0;
            continue;
        }
        let edge = position.min(length - 1 - position).min(ramp) as f32 / ramp as f32;
        let time = step * position as f32;
        *sample = (edge * (LOW * (ROWS[row] * time).sin() + HIGH * (COLUMNS[column] * time).sin())) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(pcm: &[i16], frequency: f32) -> f32 {
        let step = std::f32::consts::TAU * frequency / 8_000.0;
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
            write(code, 0, 800, Rate::Narrow, &mut pcm);
            for frequency in ROWS.iter().chain(&COLUMNS) {
                let wanted = *frequency == row || *frequency == column;
                assert_eq!(power(&pcm, *frequency) > 3_000.0, wanted, "key {code}, {frequency} Hz");
            }
        }
    }
}
