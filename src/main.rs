//! Parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    dlc::bootstrap::run(std::env::args_os(), std::env::vars_os(), dlc::database::MIGRATIONS)
}
