"""A caller on a WebSocket: says lines in real time, 8 kHz µ-law, and measures when the answer's first voiced sample comes.

The rules are those of `offhook bench turn`: from the last voiced sample of what was said to the first voiced sample of what is
heard, a threshold of 260 of 32,768 on both sides. Prints one JSON object.
"""

import argparse
import asyncio
import base64
import json
import math
import time
import wave
from pathlib import Path

import numpy as np
import soxr
import websockets

RATE = 8000
FRAME = 160
THRESHOLD = 260
# Sound that lasts shorter is a click.
ONSET = 3
# After so much silence the other side has finished.
PAUSE_S = 1.2
PATIENCE_S = 12.0

# G.711 µ-law, by table: 256 codes to 16 bits, and the nearest code for each value.
CODES = np.arange(256, dtype=np.int32) ^ 0xFF
DECODED = ((((CODES & 0x0F) << 3) + 0x84) << ((CODES & 0x70) >> 4)) - 0x84
DECODED = np.where(CODES & 0x80, -DECODED, DECODED).astype(np.int16)
ORDER = np.argsort(DECODED, kind="stable")
SORTED = DECODED[ORDER].astype(np.int32)


def encode(pcm: np.ndarray) -> bytes:
    place = np.clip(np.searchsorted(SORTED, pcm), 1, 255)
    below = pcm - SORTED[place - 1] <= SORTED[place] - pcm
    return ORDER[place - below].astype(np.uint8).tobytes()


def load(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        rate = file.getframerate()
    if rate != RATE:
        pcm = np.clip(soxr.resample(pcm.astype(np.float32), rate, RATE), -32768, 32767).astype(np.int16)
    return pcm


class Ear:
    """Voiced runs of what comes in, by the time of their arrival."""

    def __init__(self):
        self.starts: list[float] = []
        self.last = -math.inf
        self.run = 0
        self.first = 0.0

    def hear(self, now: float, codes: bytes) -> None:
        pcm = DECODED[np.frombuffer(codes, dtype=np.uint8)].astype(np.int32)
        for at in range(0, len(pcm), FRAME):
            loud = np.flatnonzero(np.abs(pcm[at : at + FRAME]) > THRESHOLD)
            # A message may hold several frames: they are heard one after the other.
            begins = now + at / RATE
            if not len(loud):
                self.run = 0
                continue
            if self.run == 0:
                self.first = begins + loud[0] / RATE
            self.run += 1
            if self.run == ONSET and self.first - self.last > PAUSE_S:
                self.starts.append(self.first)
            if self.run >= ONSET:
                self.last = begins + loud[-1] / RATE


async def call(url: str, lines: list[np.ndarray]) -> dict:
    ear = Ear()
    waits: list[float] = []
    early = unanswered = 0
    async with websockets.connect(url, max_size=None) as socket:
        start = {"streamSid": "compare", "callSid": "compare", "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE}}
        await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        await socket.send(json.dumps({"event": "start", "start": start, "streamSid": "compare"}))

        async def listen() -> None:
            async for text in socket:
                message = json.loads(text)
                if message.get("event") == "media":
                    ear.hear(time.monotonic(), base64.b64decode(message["media"]["payload"]))

        listener = asyncio.create_task(listen())
        silence = encode(np.zeros(FRAME, dtype=np.int16))
        due = time.monotonic()

        async def send(codes: bytes) -> None:
            nonlocal due
            # A packet leaves when its sound has been spoken.
            due += FRAME / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            payload = base64.b64encode(codes).decode()
            await socket.send(json.dumps({"event": "media", "streamSid": "compare", "media": {"payload": payload}}))

        for _ in range(100):
            await send(silence)
        for line in lines:
            known = len(ear.starts)
            last = int(np.flatnonzero(np.abs(line.astype(np.int32)) > THRESHOLD)[-1])
            ended = math.inf
            padded = np.pad(line, (0, -len(line) % FRAME))
            for at in range(0, len(padded), FRAME):
                begins = due
                await send(encode(padded[at : at + FRAME]))
                if at <= last < at + FRAME:
                    ended = begins + (last - at) / RATE
            while True:
                await send(silence)
                now = time.monotonic()
                began = len(ear.starts) > known
                if began and now - ear.last > PAUSE_S and now - ended > PAUSE_S:
                    break
                if now - ended > PATIENCE_S and now - ear.last > PAUSE_S:
                    break
            if any(at < ended for at in ear.starts[known:]):
                early += 1
            elif len(ear.starts) > known:
                waits.append((ear.starts[known] - ended) * 1000)
            else:
                unanswered += 1
        listener.cancel()
    return {"waits": waits, "early": early, "unanswered": unanswered}


def rank(values: list[float], percent: int) -> int:
    """By nearest rank: a value that was measured."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]) if ordered else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--lines", type=Path, required=True, help="folder that `offhook bench turn --write-lines` made")
    parser.add_argument("--per-call", type=int, default=6)
    parser.add_argument("--name", required=True)
    args = parser.parse_args()
    names = [row.split("\t")[0] for row in (args.lines / "lines.tsv").read_text().splitlines()]
    lines = [load(args.lines / name) for name in names]
    waits: list[float] = []
    early = unanswered = 0
    for at in range(0, len(lines), args.per_call):
        held = asyncio.run(call(args.url, lines[at : at + args.per_call]))
        waits += held["waits"]
        early += held["early"]
        unanswered += held["unanswered"]
    print(
        json.dumps(
            {
                "who": args.name,
                "n": len(lines),
                "p50_ms": rank(waits, 50),
                "p95_ms": rank(waits, 95),
                "p99_ms": rank(waits, 99),
                "early_cut_pct": round(early * 100 / max(1, len(lines)), 1),
                "unanswered": unanswered,
            }
        )
    )


if __name__ == "__main__":
    main()
