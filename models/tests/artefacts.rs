//! The law of one ggml: whisper-rs and llama-cpp-2 each bring their own, link together without a word, and then run on one
//! another's. So no artefact may depend on both, the gateway on neither, and espeak-ng belongs to Piper's engine alone.

use std::process::Command;

fn tree(package: &str, extra: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal,build", "--prefix", "none", "--offline", "--locked", "-p", package])
        .args(extra)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes text")
}

fn has(tree: &str, package: &str) -> bool {
    tree.lines().any(|line| line.split(' ').next() == Some(package))
}

#[test]
fn the_two_ggmls_never_meet_and_the_gateway_has_none() {
    for (package, whisper, llama, ort) in [
        ("offhook-whisper", true, false, false),
        ("offhook-llama", false, true, false),
        ("offhook-piper", false, false, true),
        ("offhook-turn", false, false, true),
        ("models", false, false, false),
        ("offhook", false, false, false),
    ] {
        let tree = tree(package, &[]);
        assert_eq!(has(&tree, "whisper-rs-sys"), whisper, "{package}: whisper-rs-sys");
        assert_eq!(has(&tree, "llama-cpp-sys-2"), llama, "{package}: llama-cpp-sys-2");
        assert_eq!(has(&tree, "ort-sys"), ort, "{package}: ort-sys");
    }
}

#[test]
fn an_engine_carries_no_runtime_and_no_http() {
    for package in ["offhook-whisper", "offhook-turn", "offhook-llama", "offhook-piper"] {
        let tree = tree(package, &[]);
        for unwanted in ["tokio", "reqwest", "rustls"] {
            assert!(!has(&tree, unwanted), "{package} depends on {unwanted}");
        }
    }
}
