//! The bridge alone, for tests and for those who want nothing else in their sandbox:
//! `ccm-sandbox-bridge sandbox-bridge --socket PATH --port PORT -- PROGRAM [ARGUMENT]…`.

use std::process::ExitCode;

use runner::bridge;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked =
        args.split_first().filter(|(name, _)| *name == bridge::SUBCOMMAND).and_then(|(_, rest)| bridge::parse(rest));
    let Some((socket, port, command)) = asked else {
        eprintln!(
            "usage: ccm-sandbox-bridge {} --socket PATH --port PORT -- PROGRAM [ARGUMENT]...",
            bridge::SUBCOMMAND
        );
        return ExitCode::from(2);
    };
    match bridge::run(socket, port, command).await {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("the bridge to the gateway did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
