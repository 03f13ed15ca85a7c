"""PESQ (ITU-T P.862) of what was heard against what was said.

usage: score.py MODE SAID PIECES HEARD...
  MODE    nb or wb
  SAID    WAV, mono
  PIECES  places in SAID that are judged by themselves, in samples: 0-100,200-300
  HEARD   WAV files, mono, of the same rate
Prints a line for each: the mean of PESQ over the pieces, the lowest, and by how many ms each piece came later than in SAID.
"""

import multiprocessing
import sys
import wave

import numpy
import pesq

# How much around a piece is judged with it, and how much later than in SAID it may lie.
MARGIN_S = 0.25
LATEST_S = 1.0


def read(path):
    with wave.open(path) as file:
        rate = file.getframerate()
        return rate, numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype(numpy.float64)


def lag(piece, heard):
    """Where in `heard` the piece fits best."""
    size = 1 << (len(piece) + len(heard)).bit_length()
    product = numpy.fft.irfft(numpy.fft.rfft(heard, size) * numpy.conj(numpy.fft.rfft(piece, size)), size)
    return int(numpy.argmax(product[: len(heard) - len(piece) + 1]))


def cut(pcm, start, end):
    before, after = max(0, -start), max(0, end - len(pcm))
    return numpy.pad(pcm[max(0, start) : end], (before, after))


def score(path):
    mode, said_path, pieces, path = path
    rate, said = read(said_path)
    heard_rate, heard = read(path)
    if heard_rate != rate:
        sys.exit(f"{path} has {heard_rate} Hz, not {rate}")
    margin = int(MARGIN_S * rate)
    values, lags = [], []
    for start, end in pieces:
        around = cut(heard, start - margin, end + int(LATEST_S * rate))
        late = lag(said[start:end], around) - margin
        lags.append(1000 * late / rate)
        reference = cut(said, start - margin, end + margin).astype(numpy.int16)
        degraded = cut(heard, start + late - margin, end + late + margin).astype(numpy.int16)
        values.append(pesq.pesq(rate, reference, degraded, mode))
    lags = " ".join(f"{lag:.1f}" for lag in lags)
    return f"{numpy.mean(values):.4f} {min(values):.4f} {lags}"


def main():
    mode, said, pieces, *heard = sys.argv[1:]
    pieces = [tuple(int(end) for end in piece.split("-")) for piece in pieces.split(",")]
    with multiprocessing.Pool() as pool:
        for line in pool.imap(score, [(mode, said, pieces, path) for path in heard]):
            print(line, flush=True)


main()
