//! The program: reads the command line, does what it asks for, tells what went wrong.

use std::process::ExitCode;

use tertulia::cli;

// Many threads, small and short-lived pieces: what the system's allocator is slowest at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = match cli::read() {
        Ok(command) => command,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(cause) => return fail(&cause),
    };
    match runtime.block_on(cli::run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

/// Tells what went wrong, and why, down to the first cause.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("tertulia: {error}");
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            eprintln!("  because: {text}");
        }
        told = text;
        cause = error.source();
    }
    ExitCode::FAILURE
}
