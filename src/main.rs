//! Calls the command line and turns its result into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    opencode::cli::main(std::env::args_os().skip(1))
}
