"""The other pipeline of `make bench-compare`: Pipecat with the same ear and mouth, and a brain that answers at once.

It serves one caller at a time on a WebSocket, 8 kHz µ-law in the frames of Twilio's media streams, which is how Pipecat is
put on a telephone line.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from loguru import logger
from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.piper.tts import PiperTTSService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.websocket.server import (
    SingleClientWebsocketServerParams,
    SingleClientWebsocketServerTransport,
)
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies


class InstantBrain(FrameProcessor):
    """Answers every turn with the same sentence, at once."""

    def __init__(self, answer: str):
        super().__init__()
        self._answer = answer

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            await self.push_frame(LLMTextFrame(self._answer))
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


async def serve(args: argparse.Namespace) -> None:
    transport = SingleClientWebsocketServerTransport(
        params=SingleClientWebsocketServerParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=TwilioFrameSerializer(
                stream_sid="compare", params=TwilioFrameSerializer.InputParams(auto_hang_up=False)
            ),
        ),
        host="127.0.0.1",
        port=args.port,
    )
    ear = WhisperSTTService(
        device="cpu",
        compute_type="int8",
        settings=WhisperSTTService.Settings(model=str(args.whisper)),
    )
    mouth = PiperTTSService(
        download_dir=args.piper, settings=PiperTTSService.Settings(voice=args.voice)
    )
    vad = VADParams()
    turn = SmartTurnParams()
    if args.fast:
        vad = VADParams(start_secs=0.1, stop_secs=0.1)
        turn = SmartTurnParams(stop_secs=1.0)
    strategies = UserTurnStrategies(
        stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=LocalSmartTurnAnalyzerV3(params=turn))]
    )
    aggregators = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            user_turn_strategies=strategies, vad_analyzer=SileroVADAnalyzer(params=vad)
        ),
    )
    pipeline = Pipeline(
        [
            transport.input(),
            ear,
            aggregators.user(),
            InstantBrain(args.answer),
            mouth,
            transport.output(),
            aggregators.assistant(),
        ]
    )
    task = PipelineTask(
        pipeline,
        # Its Whisper takes what comes for 16 kHz, whatever the pipeline says; the serializer brings the line to that.
        params=PipelineParams(audio_in_sample_rate=16000, audio_out_sample_rate=8000),
        cancel_on_idle_timeout=False,
    )
    await PipelineRunner().run(task)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--whisper", type=Path, required=True, help="folder of the CTranslate2 weights")
    parser.add_argument("--piper", type=Path, required=True, help="folder of VOICE.onnx and VOICE.onnx.json")
    parser.add_argument("--voice", required=True)
    parser.add_argument("--answer", required=True)
    parser.add_argument("--fast", action="store_true", help="shortest waits instead of the defaults")
    args = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    asyncio.run(serve(args))


if __name__ == "__main__":
    main()
