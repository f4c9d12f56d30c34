//! How far the first look at all repositories has come, on standard error: a bar on a terminal, else a line now and then.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pipeline::Context;
use pipeline::progress::Far;

use crate::output;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(200);
/// Without a terminal, so many lines at most.
const LINES: usize = 10;

/// Shows it until everything was looked at; fewer than three repositories are not worth it.
pub async fn show(ctx: Arc<Context>) {
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} repositories {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut told = 0;
    loop {
        let far = ctx.progress.far();
        if far.of > 0 && !far.is_under_way() {
            bar.finish_and_clear();
            return;
        }
        if far.of > 2 {
            bar.set_length(far.of as u64);
            bar.set_position(far.done as u64);
            bar.set_message(far.at_work.first().map(ToString::to_string).unwrap_or_default());
            let tenth = far.done * LINES / far.of;
            if !terminal && tenth > told {
                told = tenth;
                output::remark(&line(&far));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn line(far: &Far) -> String {
    format!("Looked at {} of {} repositories.", far.done, far.of)
}
