//! No confinement: a clean environment, a bounded data segment, and a process group of its own.

use std::path::PathBuf;

use super::{Confinement, Kind, Level, Sandbox, base_env, find_program, limited};
use crate::RunnerError;
use crate::agent::Program;
use crate::process::ProcessSpec;

/// Runs programs as they are. Their processes are found again by the run's marker, which a program that wants to
/// hide can drop.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSandbox;

impl Sandbox for NoSandbox {
    fn level(&self) -> Level {
        Level {
            kind: Kind::None,
            network_closed: false,
            files_hidden: false,
            processes_contained: false,
            memory_bounded: true,
            processes_bounded: false,
        }
    }

    fn checkout(&self, confinement: &Confinement) -> PathBuf {
        confinement.checkout.clone()
    }

    fn home(&self, confinement: &Confinement) -> PathBuf {
        confinement.home.clone().unwrap_or_else(std::env::temp_dir)
    }

    fn wrap(&self, program: &Program, confinement: &Confinement) -> Result<ProcessSpec, RunnerError> {
        let found = find_program(&program.path, &confinement.toolchains)?;
        let mut env = base_env(confinement, &self.home(confinement));
        env.extend(program.env.iter().cloned());
        // The kernel would count every process of this user, not those of the run: so no bound on them here.
        let mut args = vec!["-c".to_owned(), limited(confinement, false), "sh".to_owned()];
        args.push(found.display().to_string());
        args.extend(program.args.iter().cloned());
        Ok(ProcessSpec { program: "/bin/sh".into(), args, env, cwd: confinement.checkout.clone() })
    }
}
