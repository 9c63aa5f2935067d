//! The command line.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::settings::Given;

/// Speak, show, type: a multimodal conversation agent on your own machine.
#[derive(Debug, Parser)]
#[command(name = "jnana", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the app and the API
    Serve(Box<Given>),
    /// Look after who may administer the server
    #[command(subcommand)]
    Admin(Admin),
    /// Ask one question; the answer is streamed to standard output
    Ask(Box<Ask>),
    /// Fetch, list and check model files
    #[command(subcommand)]
    Models(Models),
    /// List, install, check and remove plugins
    #[command(subcommand)]
    Plugin(Plugin),
    /// Measure the core alone, or one plugin
    Bench(Box<Bench>),
    /// Numbers for comparing with a reference
    #[command(subcommand)]
    Debug(Debug),
    /// Shows a library's manifest to the plugin host
    #[command(name = jnana_plugin_host::SCAN_COMMAND, hide = true)]
    PluginScan {
        /// The library.
        path: PathBuf,
    },
    /// Runs one test of a plugin
    #[command(name = jnana_plugin_check::CHECK_COMMAND, hide = true)]
    PluginCheckChild {
        /// Name of the test.
        test: String,
        /// The task as JSON.
        task: String,
    },
    /// Runs a plugin for the plugin host
    #[command(name = jnana_plugin_host::WORKER_COMMAND, hide = true)]
    PluginWorker {
        /// The host's process.
        parent: u32,
        /// Numbers of the sockets.
        sockets: Vec<i32>,
    },
}

impl Command {
    /// Threads to compute with, where the command was given a number. They have to be settled before there is a second one.
    #[must_use]
    pub fn threads(&self) -> Option<NonZeroUsize> {
        match self {
            Self::Bench(bench) => bench.threads,
            _ => None,
        }
    }
}

/// What to do about administration.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Make a new admin token and print it; the old one and its sessions end at once, in a running server too
    Token {
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
}

/// One question.
#[derive(Debug, Args)]
pub struct Ask {
    /// The question's text
    #[arg(default_value = "")]
    pub question: String,
    /// A picture; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub image: Vec<PathBuf>,
    /// A recording; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub audio: Vec<PathBuf>,
    /// A running server to ask, such as http://127.0.0.1:8642; without it the model is loaded here
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// System message
    #[arg(long)]
    pub system: Option<String>,
    /// Most new tokens
    #[arg(long)]
    pub max_tokens: Option<usize>,
    /// Print what the answer took as one line of JSON on standard error; loading is not counted
    #[arg(long, conflicts_with = "url")]
    pub stats: bool,
    /// Settings of the model that is loaded here, and the token for a server
    #[command(flatten)]
    pub given: Given,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// Fetch models by name; without names the default set
    Pull {
        /// Names of the model list.
        names: Vec<String>,
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
    /// List the models that are known and which are here
    List {
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
    /// Hash the files that are here; without names those of every model
    Verify {
        /// Names of the model list.
        names: Vec<String>,
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Make a project for a plugin of your own, which builds and passes the check
    New(New),
    /// List the plugins of the folder with where each stands
    List {
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
    /// Check a library, copy it into the plugins folder and trust it
    Install(Box<Install>),
    /// Switch an installed plugin on, from the next start on
    Enable(Named),
    /// Switch an installed plugin off, from the next start on
    Disable(Named),
    /// Remove an installed plugin
    Remove(Named),
    /// Compare the installed libraries with their pins and signatures
    Verify {
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
    /// Test whether a library keeps the plugin contract; nothing of it is installed
    Check(Box<Check>),
    /// Trust a library as it is now: it must lie in a plugins folder
    Pin {
        /// The library.
        library: PathBuf,
        /// How far to trust it
        #[arg(long, value_enum, default_value_t)]
        trust: TrustLevel,
    },
}

/// A plugin to begin.
#[derive(Debug, Args)]
pub struct New {
    /// Its id: lower-case letters, digits and hyphens
    pub name: String,
    /// The language that it is written in
    #[arg(long, value_enum)]
    pub lang: Language,
    /// Folder to make [default: the name]
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

/// A language that plugins are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With the SDK, which comes with the project
    Rust,
    /// With the header of the contract alone
    C,
    /// One function, in a Python process of its own
    Python,
}

/// A plugin to take in.
#[derive(Debug, Args)]
pub struct Install {
    /// The library: a file, or an address of one
    #[arg(value_name = "PATH|URL")]
    pub source: String,
    /// The sha256 that it must have
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Its signature, made by minisign [default: the library's name with .minisig, if that is there]
    #[arg(long, value_name = "PATH|URL")]
    pub signature: Option<String>,
    /// How far to trust it
    #[arg(long, value_enum, default_value_t)]
    pub trust: TrustLevel,
    /// Settings.
    #[command(flatten)]
    pub given: Given,
}

/// A plugin to test.
#[derive(Debug, Args)]
pub struct Check {
    /// The library
    pub library: PathBuf,
    /// Names of the tests to run; all when there is none
    pub tests: Vec<String>,
    /// A good input, for a plugin that takes bytes
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Where randomness comes from; printed, so that a run can be made again [default: the time]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Width of the embedding space that encoders are asked for
    #[arg(long, default_value_t = 576)]
    pub width: u32,
    /// Id of that space
    #[arg(long, default_value = "check")]
    pub space: String,
    /// Most seconds of a test
    #[arg(long, default_value_t = 45)]
    pub limit: u64,
    /// The report as JSON
    #[arg(long)]
    pub json: bool,
    /// Settings; `--set PLUGIN.SETTING=VALUE` for those of the plugin
    #[command(flatten)]
    pub given: Given,
}

/// An installed plugin.
#[derive(Debug, Args)]
pub struct Named {
    /// Its id, or the file name of its library
    pub name: String,
    /// Settings.
    #[command(flatten)]
    pub given: Box<Given>,
}

/// How far a plugin is trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TrustLevel {
    /// To do its work, in a worker process
    #[default]
    Contained,
    /// As the server itself, in its process
    Full,
}

/// What to measure.
#[derive(Debug, Args)]
pub struct Bench {
    /// Positions that each sequence reads
    #[arg(long, default_value_t = 512)]
    pub prompt: usize,
    /// Tokens that each sequence writes
    #[arg(long, default_value_t = 128)]
    pub generate: usize,
    /// Sequences at the same time
    #[arg(long, default_value = "1")]
    pub sequences: NonZeroUsize,
    /// Threads to compute with [default: the machine's cores]
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// How often it is done; medians are shown
    #[arg(long, default_value = "5")]
    pub repeat: NonZeroUsize,
    /// A text to foretell: the model's perplexity on it, as llama.cpp counts it
    #[arg(long, value_name = "FILE", conflicts_with = "plugin")]
    pub perplexity: Option<PathBuf>,
    /// A plugin to measure instead of the core
    #[arg(long, value_name = "ID", requires = "input")]
    pub plugin: Option<String>,
    /// What the plugin is given
    #[arg(long, value_name = "FILE", requires = "plugin")]
    pub input: Option<PathBuf>,
    /// One line of JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub given: Given,
}

/// Numbers for comparing with a reference.
#[derive(Debug, Subcommand)]
pub enum Debug {
    /// Logits of every position of a sequence of token ids, as a safetensors file
    Logits {
        /// Token ids, separated by commas
        #[arg(long, value_delimiter = ',', required = true)]
        tokens: Vec<u32>,
        /// File to write: tensor `logits` [positions, vocabulary], f32
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
    /// What an encoder plugin makes of a file, as a safetensors file
    Embed {
        /// Id of the plugin
        #[arg(long, value_name = "ID")]
        plugin: String,
        /// The input, such as a picture
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// File to write: tensor `embeddings` [positions, width], f32
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Settings.
        #[command(flatten)]
        given: Box<Given>,
    },
    /// A folder of random weights in a network's exact shapes, to try what its size costs; the answers are noise
    RandomModel {
        /// phi-2, tiny-phi, tiny-llama, clip-vit-base-patch32, or a decoder's config.json
        #[arg(long, value_name = "NAME|FILE")]
        shape: String,
        /// f32, f16 or bf16 (safetensors), or a quantisation such as q4_0 (GGUF)
        #[arg(long, default_value = "f16", value_name = "TYPE")]
        weights: String,
        /// Folder or GGUF file whose tokenizer is copied; without it one is made up, with a word for every row
        #[arg(long, value_name = "DIR")]
        tokenizer: Option<PathBuf>,
        /// The same seed gives the same weights
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Where a person on another machine reaches a server that listens on every address.
#[must_use]
pub fn shown_host(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_unspecified() => "this machine's address".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    }
}
