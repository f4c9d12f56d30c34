//! Any program as an agent: it gets the prompt on its input or in a file, edits the checkout, and exits with 0.

use std::path::PathBuf;

use super::{Agent, AgentCommand, AgentOutcome, Exit, PROMPT_FILE, Program, SessionSpec, Step, last_line};
use crate::transcript::{AgentEvent, bounded};

/// How a program gets its prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptBy {
    /// On its standard input, which is then closed.
    Stdin,
    /// In a file, whose path replaces `{prompt_file}` in the arguments or is added as the last one.
    File,
}

/// Any program as an agent. Exit code 0 is success; each line it writes is a text.
#[derive(Clone, Debug)]
pub struct CommandAgent {
    program: PathBuf,
    args: Vec<String>,
    prompt: PromptBy,
    last: String,
}

impl CommandAgent {
    /// Runs `program` with `args`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, args: Vec<String>, prompt: PromptBy) -> Self {
        Self { program: program.into(), args, prompt, last: String::new() }
    }
}

impl Agent for CommandAgent {
    fn command(&mut self, spec: &SessionSpec) -> AgentCommand {
        let mut args = self.args.clone();
        if self.prompt == PromptBy::File && !args.iter().any(|arg| arg.contains(PROMPT_FILE)) {
            args.push(PROMPT_FILE.into());
        }
        let mut env = Vec::new();
        if let Some(gateway) = &spec.gateway {
            env.push(("CCM_GATEWAY_URL".to_owned(), gateway.base_url.clone()));
        }
        if let Some(model) = &spec.model {
            env.push(("CCM_MODEL".to_owned(), model.clone()));
        }
        AgentCommand {
            program: Program { path: self.program.clone(), args, env, read_only: Vec::new() },
            stdin: if self.prompt == PromptBy::Stdin { vec![spec.prompt.clone()] } else { Vec::new() },
            close_stdin_after_prompt: true,
            prompt_file: (self.prompt == PromptBy::File).then(|| spec.prompt.clone()),
        }
    }

    fn on_line(&mut self, line: &str) -> Vec<Step> {
        if !line.trim().is_empty() {
            self.last = bounded(line);
        }
        vec![Step::Event(AgentEvent::Text { text: bounded(line) })]
    }

    fn message(&mut self, text: &str) -> Vec<Step> {
        vec![
            Step::Event(AgentEvent::PersonMessage { text: bounded(text) }),
            Step::Event(AgentEvent::Notice { text: "This agent takes no messages while it runs.".into() }),
        ]
    }

    fn interrupt(&mut self) -> Vec<Step> {
        Vec::new()
    }

    fn outcome(&mut self, exit: &Exit, stderr_tail: &str) -> AgentOutcome {
        if exit.code == Some(0) {
            return AgentOutcome::Succeeded { summary: std::mem::take(&mut self.last) };
        }
        if exit.ended_by_signal().is_some() {
            return AgentOutcome::NoResult { reason: format!("The agent was ended from outside ({exit}).") };
        }
        let said = last_line(stderr_tail).map_or_else(String::new, |line| format!(": {}", bounded(line)));
        AgentOutcome::Failed { reason: format!("The agent ended with {exit}{said}"), retryable: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_goes_in_by_stdin_or_by_file() {
        let spec = SessionSpec { prompt: "Do it".into(), ..SessionSpec::default() };
        let by_stdin = CommandAgent::new("fixer", vec!["--fast".into()], PromptBy::Stdin).command(&spec);
        assert_eq!((by_stdin.stdin, by_stdin.prompt_file), (vec!["Do it".to_owned()], None));
        let by_file = CommandAgent::new("fixer", vec![], PromptBy::File).command(&spec);
        assert_eq!(by_file.program.args, ["{prompt_file}"]);
        assert_eq!((by_file.stdin, by_file.prompt_file), (vec![], Some("Do it".to_owned())));
        let placed = CommandAgent::new("fixer", vec!["--task={prompt_file}".into()], PromptBy::File).command(&spec);
        assert_eq!(placed.program.args, ["--task={prompt_file}"]);
    }

    #[test]
    fn the_exit_code_decides() {
        let mut agent = CommandAgent::new("fixer", vec![], PromptBy::Stdin);
        agent.on_line("fixed two typos");
        agent.on_line("");
        let exit = |code| Exit { code: Some(code), signal: None };
        assert_eq!(agent.outcome(&exit(0), ""), AgentOutcome::Succeeded { summary: "fixed two typos".into() });
        assert_eq!(
            agent.outcome(&exit(3), "warning\nno licence\n\n"),
            AgentOutcome::Failed { reason: "The agent ended with exit code 3: no licence".into(), retryable: false }
        );
        assert!(matches!(agent.outcome(&exit(137), ""), AgentOutcome::NoResult { .. }));
        assert!(matches!(agent.outcome(&Exit { code: None, signal: Some(9) }, ""), AgentOutcome::NoResult { .. }));
    }
}
