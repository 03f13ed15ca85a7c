//! `offhook models list | head -1`: the end of the reader is the end of the program, without a word.

use std::process::Stdio;

use tokio::process::Command;

#[tokio::test]
async fn a_pipe_that_is_closed_ends_the_program_quietly() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["models", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(program.stdout.take());
    let output = program.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
