//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps the backlog of many repositories worked: finds work, ranks it, asks, has an agent do it in a sandbox,
/// verifies it, opens the pull request and follows it up.
#[derive(Debug, Parser)]
#[command(name = "ccm", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The configuration file [default: ./ccm.toml, then ccm/ccm.toml in the XDG configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the database, mirrors and checkouts live [default: ccm in the XDG data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print nothing but data, as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more about what happens; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service: discovery, board, agents, dashboard
    Serve {
        /// Local repositories; without any and without a configuration, the current folder
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Look at everything once, print what would be proposed and what it would cost, and write nothing anywhere
        #[arg(long)]
        dry_run: bool,
    },
    /// Look for work once; nothing is stored and nothing is written anywhere
    Scan(Scan),
    /// Add a task of your own
    Add {
        /// What is to be done, in one line
        title: String,
        /// The repository: OWNER/NAME, or local/FOLDER
        #[arg(long, value_name = "R")]
        repo: String,
        /// What is to be done, at length
        #[arg(long, default_value = "")]
        body: String,
        /// The agent to use
        #[arg(long)]
        agent: Option<String>,
    },
    /// The backlog from the terminal
    Tasks {
        /// What to do with it
        #[command(subcommand)]
        action: Option<Tasks>,
    },
    /// Write a configuration file to start from
    Init(Init),
    /// Check that everything is in place, and say what to do where it is not
    Doctor,
    /// The configuration: is it valid, what may stand in it, what is in force
    Config {
        /// What to do with it
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Bring the database to this version's form
    Migrate,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the OpenAPI description of the REST interface
    Openapi,
    /// Show the whole way of a task on sample repositories, with a replayed agent
    Demo {
        /// Approve and merge without a browser, print the timeline, and exit
        #[arg(long)]
        headless: bool,
        /// Where the dashboard listens
        #[arg(long, default_value = "127.0.0.1:7878")]
        listen: String,
    },
    /// Inside a sandbox: carry a port to the gateway's socket
    #[command(hide = true)]
    SandboxBridge {
        /// The gateway's socket
        #[arg(long)]
        socket: PathBuf,
        /// The port inside the sandbox
        #[arg(long)]
        port: u16,
        /// The program to run
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// The demo's agent: replays a recorded session
    #[command(hide = true)]
    DemoAgent {
        /// What the service passes to an agent; the replay does not need it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        arguments: Vec<String>,
    },
}

/// `ccm init`
#[derive(Debug, Args)]
pub struct Init {
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Watch these repositories on GitHub, such as me/*; on a terminal you are asked without it
    #[arg(long, value_name = "GLOB")]
    pub github: Vec<String>,
    /// Make a GitHub App of your own, through a page in your browser, instead of using a token
    #[arg(long)]
    pub github_app: bool,
    /// The organisation that owns the App [default: you]
    #[arg(long, value_name = "ORG", requires = "github_app")]
    pub organization: Option<String>,
    /// Where GitHub reaches this service, ending in /webhooks/github; left out, it asks GitHub every five minutes
    #[arg(long, value_name = "URL", requires = "github_app")]
    pub webhook_url: Option<String>,
    /// Take up security alerts too; with --github-app the App asks for leave to read them and to be told of them
    #[arg(long)]
    pub security_alerts: bool,
    /// The REST interface of an enterprise server, https://HOST/api/v3
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
}

/// `ccm scan`
#[derive(Debug, Args)]
pub struct Scan {
    /// Folders or OWNER/NAME; the current folder when left out
    #[arg(value_name = "PATH|OWNER/NAME")]
    pub places: Vec<String>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Only these sources, as in todo,dependency; in folders there are todo, dependency, hotspot and sarif
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    pub source: Vec<String>,
    /// Only files that changed since this revision
    #[arg(long, value_name = "REV")]
    pub since: Option<String>,
    /// Also say who wrote each comment and when, as git's history has it
    #[arg(long)]
    pub blame: bool,
    /// Also say which files and which tags were left out, and why
    #[arg(long)]
    pub explain: bool,
    /// Exit with 3 when anything was found
    #[arg(long)]
    pub exit_code: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON object per line
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// `ccm tasks …`
#[derive(Debug, Subcommand)]
pub enum Tasks {
    /// The tasks, best first
    List {
        /// Only this state: found, proposed, approved, running, verifying, in_review, done, failed, rejected, …
        #[arg(long)]
        state: Option<String>,
        /// Only this repository
        #[arg(long)]
        repo: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One task with its reasons and its timeline
    Show {
        /// The task's id, or its beginning
        task: String,
    },
    /// Say yes: an agent does it
    Approve {
        /// The task's id, or its beginning
        task: String,
    },
    /// Say no: it is never proposed again
    Reject {
        /// The task's id, or its beginning
        task: String,
    },
    /// Stop it
    Cancel {
        /// The task's id, or its beginning
        task: String,
    },
    /// Try a failed task again
    Retry {
        /// The task's id, or its beginning
        task: String,
    },
    /// What the agent said and did
    Logs {
        /// The task's id, or its beginning
        task: String,
        /// Go on printing until the run ends
        #[arg(short, long)]
        follow: bool,
    },
}

/// `ccm config …`
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Say whether it is valid
    Check,
    /// Print its JSON schema
    Schema,
    /// Print what is in force, defaults included
    Show,
}
