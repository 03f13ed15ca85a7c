//! The `offhook` program. What its subcommands do stands in `offhook::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    offhook::cli::main()
}
