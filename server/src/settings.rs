//! Settings of the server: parsed from a file, the environment and flags ([`Given`]), then resolved ([`Settings`]).
//!
//! A flag wins over its environment variable, and both win over the file (`<home>/jnana.toml`, or `--config`).

mod plugin;
mod token;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jnana_plugin_host::{RunPolicy, Runs};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::plugin::PluginSetting;
pub use self::token::Token;
use crate::catalog::Network;

/// Port used when none is given.
pub const DEFAULT_PORT: u16 = 8642;
const DEFAULT_MODEL: &str = "jnana-135m";
const DEFAULT_HUB: &str = "https://huggingface.co";

/// Settings as given; what is absent takes its default.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    /// Folder of conversations, blobs, models and keys [default: jnana in the user's data folder]
    #[arg(long, env = "JNANA_HOME", value_name = "DIR")]
    #[serde(skip)]
    pub home: Option<PathBuf>,
    /// Settings file [default: jnana.toml in the home folder, when there is one]
    #[arg(long, env = "JNANA_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Language model: a name of the model list, a folder or a GGUF file [default: jnana-135m]
    #[arg(long, env = "JNANA_MODEL", value_name = "PATH|NAME")]
    pub model: Option<String>,
    /// Address to listen on; any other than loopback demands a token [default: 127.0.0.1]
    #[arg(long, env = "JNANA_HOST")]
    pub host: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one [default: 8642]
    #[arg(long, env = "JNANA_PORT")]
    pub port: Option<u16>,
    /// Token that every call must bring; made and shown when the address is not loopback and none is given
    #[arg(long, env = "JNANA_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// File whose first line is the token
    #[arg(long, env = "JNANA_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Serve HTTPS with a certificate made on first use and kept in the home folder
    #[arg(long, env = "JNANA_TLS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls: Option<bool>,
    /// Names under which the server may be reached beside localhost and its own addresses
    #[arg(long, env = "JNANA_ALLOWED_HOSTS", value_delimiter = ',', value_name = "NAME,…")]
    pub allowed_hosts: Option<Vec<String>>,
    /// Foreign origins whose pages may call the server, such as https://example.org
    #[arg(long, env = "JNANA_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN,…")]
    pub allowed_origins: Option<Vec<String>>,
    /// Where the model runs: cpu, cuda or cuda:N [default: cpu]
    #[arg(long, env = "JNANA_DEVICE")]
    pub device: Option<String>,
    /// Weight type of unquantised models: f32, f16 or bf16 [default: f32 on the CPU, bf16 on CUDA]
    #[arg(long, env = "JNANA_DTYPE")]
    pub dtype: Option<String>,
    /// Quantise an unquantised model on loading, such as q4_0 or q8_0 [default: none]
    #[arg(long, env = "JNANA_QUANTIZE", value_name = "TYPE")]
    pub quantize: Option<String>,
    /// Folder of plugins [default: plugins beside the program]
    #[arg(long, env = "JNANA_PLUGINS", value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// Threads that one plugin instance may use [default: the machine's cores]
    #[arg(long, env = "JNANA_PLUGIN_THREADS")]
    pub plugin_threads: Option<usize>,
    /// Memory that a plugin's worker process may hold, in MiB [default: half of the machine's]
    #[arg(long, env = "JNANA_PLUGIN_MEMORY_MIB")]
    pub plugin_memory_mib: Option<usize>,
    /// Seconds that a call may give nothing before its worker is ended [default: 120]
    #[arg(long, env = "JNANA_PLUGIN_SECONDS")]
    pub plugin_seconds: Option<u64>,
    /// Run fully trusted plugins in worker processes, too
    #[arg(long, env = "JNANA_ISOLATE_PLUGINS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub isolate_plugins: Option<bool>,
    /// Install only plugins that are signed with a key of plugin-keys.txt in the home folder
    #[arg(long, env = "JNANA_SIGNED_PLUGINS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub signed_plugins: Option<bool>,
    /// Answers made at the same time; more wait [default: 8]
    #[arg(long, env = "JNANA_MAX_BATCH")]
    pub max_batch: Option<usize>,
    /// Requests that may wait; more are answered 429 [default: 32]
    #[arg(long, env = "JNANA_QUEUE")]
    pub queue: Option<usize>,
    /// Memory for the caches of live and kept sequences, in MiB [default: 2048]
    #[arg(long, env = "JNANA_CACHE_MIB")]
    pub cache_mib: Option<usize>,
    /// Room on disk for weights in the order in which the CPU multiplies them, in MiB, so that a model is packed once and not
    /// at every start; 0 keeps none [default: 8192]
    #[arg(long, env = "JNANA_PACKED_MIB")]
    pub packed_mib: Option<usize>,
    /// Most tokens that an answer is guessed ahead in one step from what its conversation says; 0 never guesses, and answers
    /// are the same with any number [default: 8]
    #[arg(long, env = "JNANA_GUESS_AHEAD")]
    pub guess_ahead: Option<usize>,
    /// Folder of weights that administrators may load and promote, beside jobs and runs of the home folder [default: none]
    #[arg(long, env = "JNANA_CANDIDATES", value_name = "DIR")]
    pub candidates: Option<PathBuf>,
    /// Largest upload in MiB [default: 20]
    #[arg(long, env = "JNANA_MAX_UPLOAD_MIB")]
    pub max_upload_mib: Option<usize>,
    /// Never fetch anything
    #[arg(long, env = "JNANA_OFFLINE", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub offline: Option<bool>,
    /// Address of the model hub
    #[arg(long, env = "JNANA_HUB_URL", hide = true)]
    pub hub_url: Option<String>,
    /// Form of the log on standard error [default: text]
    #[arg(long, env = "JNANA_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Seconds that running answers may take when the server is told to end [default: 20]
    #[arg(long, env = "JNANA_SHUTDOWN_SECONDS")]
    pub shutdown_seconds: Option<u64>,
    /// Days that stored inputs are kept, by the first half of their MIME type (`image = 30`); 0 or absent: for ever
    #[arg(skip)]
    #[serde(default)]
    pub retention_days: BTreeMap<String, u32>,
    /// A setting of a plugin, such as `whisper.model=whisper-base`; may be given more than once
    #[arg(long, value_name = "PLUGIN.SETTING=VALUE")]
    #[serde(skip)]
    pub set: Vec<PluginSetting>,
    /// Settings of plugins by their id
    #[arg(skip)]
    #[serde(default)]
    pub plugin: BTreeMap<String, Map<String, Value>>,
    /// Ids of plugins that are switched off
    #[arg(skip)]
    #[serde(default)]
    pub disabled_plugins: Vec<String>,
    /// Where plugins run, by id: `in-process` or `worker`; absent: as they are trusted
    #[arg(skip)]
    #[serde(default)]
    pub plugin_runs: BTreeMap<String, Runs>,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Resolved settings: every question answered.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of everything that is kept.
    pub home: PathBuf,
    /// Name or path of the language model.
    pub model: String,
    /// Where to listen.
    pub address: SocketAddr,
    /// Token, given or made.
    pub token: Option<Token>,
    /// HTTPS.
    pub tls: bool,
    /// Extra host names.
    pub allowed_hosts: Vec<String>,
    /// Extra origins.
    pub allowed_origins: Vec<String>,
    /// `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Weight type, when one is asked for.
    pub dtype: Option<String>,
    /// Quantisation, when one is asked for.
    pub quantize: Option<String>,
    /// Folder of plugins.
    pub plugins: PathBuf,
    /// The `jnana` program, which the plugin host starts again to look into libraries and as workers.
    pub program: PathBuf,
    /// Thread budget of a plugin instance.
    pub plugin_threads: usize,
    /// Plugins' settings.
    pub plugin_settings: BTreeMap<String, Map<String, Value>>,
    /// Plugins that are switched off.
    pub disabled_plugins: Vec<String>,
    /// Which plugins run where, and what workers may use.
    pub plugin_runs: RunPolicy,
    /// Install signed plugins only.
    pub signed_plugins: bool,
    /// Answers at the same time.
    pub max_batch: usize,
    /// Waiting requests.
    pub queue: usize,
    /// Cache memory in bytes.
    pub cache_bytes: usize,
    /// Room for packed weights in bytes; 0 keeps none.
    pub packed_bytes: usize,
    /// Guessed tokens of an answer in one step.
    pub guess_ahead: usize,
    /// Folder of candidates beside those of the home folder.
    pub candidates: Option<PathBuf>,
    /// Largest upload in bytes.
    pub max_upload: usize,
    /// How models may be fetched.
    pub network: Network,
    /// Form of the log.
    pub log_format: LogFormat,
    /// How long an ending server waits for its answers.
    pub shutdown: Duration,
    /// Days by modality.
    pub retention_days: BTreeMap<String, u32>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No home folder.
    #[error("no home folder: set JNANA_HOME, XDG_DATA_HOME or HOME, or give --home")]
    Home,
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The settings file is wrong.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A value is wrong.
    #[error("{name}: expected {expected}, found {found}")]
    Value {
        /// Setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

impl Given {
    /// Fills in the settings file and the defaults.
    ///
    /// # Errors
    /// When a file cannot be read or a value is out of range.
    pub fn resolve(self) -> Result<Settings, Error> {
        let home = home(self.home.as_deref())?;
        let file = settings_file(self.config.as_deref(), &home)?;
        let given = self.over(file);
        let address = SocketAddr::new(
            given.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            given.port.unwrap_or(DEFAULT_PORT),
        );
        let program = std::env::current_exe().map_err(|source| Error::Io { path: "jnana".into(), source })?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Settings {
            model: given.model.clone().unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            plugin_runs: plugin::policy(&given)?,
            token: token::find(&given, &home, address)?,
            address,
            tls: given.tls.unwrap_or(false),
            allowed_hosts: given.allowed_hosts.unwrap_or_default(),
            allowed_origins: given.allowed_origins.unwrap_or_default(),
            device: device(given.device)?,
            dtype: given.dtype,
            quantize: given.quantize,
            plugins: given.plugins.unwrap_or_else(|| program.with_file_name("plugins")),
            program,
            plugin_threads: given.plugin_threads.unwrap_or(cores).max(1),
            signed_plugins: given.signed_plugins.unwrap_or(false),
            plugin_settings: given.plugin,
            disabled_plugins: given.disabled_plugins,
            max_batch: positive("max-batch", given.max_batch.unwrap_or(8))?,
            queue: positive("queue", given.queue.unwrap_or(32))?,
            cache_bytes: mebibytes("cache-mib", given.cache_mib.unwrap_or(2048))?,
            packed_bytes: mebibytes_or_none("packed-mib", given.packed_mib.unwrap_or(8192))?,
            guess_ahead: given.guess_ahead.unwrap_or(8),
            candidates: given.candidates,
            max_upload: mebibytes("max-upload-mib", given.max_upload_mib.unwrap_or(20))?,
            network: Network {
                hub_url: given.hub_url.unwrap_or_else(|| DEFAULT_HUB.to_owned()),
                offline: given.offline.unwrap_or(false),
            },
            log_format: given.log_format.unwrap_or_default(),
            shutdown: Duration::from_secs(given.shutdown_seconds.unwrap_or(20)),
            retention_days: given.retention_days,
            home,
        })
    }

    /// These settings, with those of `file` where these say nothing.
    fn over(self, file: Self) -> Self {
        Self {
            home: self.home,
            config: self.config,
            model: self.model.or(file.model),
            host: self.host.or(file.host),
            port: self.port.or(file.port),
            token: self.token.or(file.token),
            token_file: self.token_file.or(file.token_file),
            tls: self.tls.or(file.tls),
            allowed_hosts: self.allowed_hosts.or(file.allowed_hosts),
            allowed_origins: self.allowed_origins.or(file.allowed_origins),
            device: self.device.or(file.device),
            dtype: self.dtype.or(file.dtype),
            quantize: self.quantize.or(file.quantize),
            plugins: self.plugins.or(file.plugins),
            plugin_threads: self.plugin_threads.or(file.plugin_threads),
            plugin_memory_mib: self.plugin_memory_mib.or(file.plugin_memory_mib),
            plugin_seconds: self.plugin_seconds.or(file.plugin_seconds),
            isolate_plugins: self.isolate_plugins.or(file.isolate_plugins),
            signed_plugins: self.signed_plugins.or(file.signed_plugins),
            max_batch: self.max_batch.or(file.max_batch),
            queue: self.queue.or(file.queue),
            cache_mib: self.cache_mib.or(file.cache_mib),
            packed_mib: self.packed_mib.or(file.packed_mib),
            guess_ahead: self.guess_ahead.or(file.guess_ahead),
            candidates: self.candidates.or(file.candidates),
            max_upload_mib: self.max_upload_mib.or(file.max_upload_mib),
            offline: self.offline.or(file.offline),
            hub_url: self.hub_url.or(file.hub_url),
            log_format: self.log_format.or(file.log_format),
            shutdown_seconds: self.shutdown_seconds.or(file.shutdown_seconds),
            retention_days: file.retention_days,
            plugin: plugin::over(self.set, file.plugin),
            set: Vec::new(),
            disabled_plugins: file.disabled_plugins,
            plugin_runs: file.plugin_runs,
        }
    }
}

fn home(given: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(home) = given {
        return std::path::absolute(home).map_err(|source| Error::Io { path: home.to_owned(), source });
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    Ok(data.ok_or(Error::Home)?.join("jnana"))
}

fn settings_file(given: Option<&Path>, home: &Path) -> Result<Given, Error> {
    let path = given.map_or_else(|| home.join("jnana.toml"), Path::to_owned);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Given::default());
        }
        Err(source) => return Err(Error::Io { path, source }),
    };
    toml::from_str(&text).map_err(|source| Error::File { path, source: Box::new(source) })
}

fn positive(name: &'static str, value: usize) -> Result<usize, Error> {
    if value == 0 {
        return Err(Error::Value { name, expected: "a number above 0", found: value.to_string() });
    }
    Ok(value)
}

/// MiB as bytes.
fn mebibytes(name: &'static str, value: usize) -> Result<usize, Error> {
    mebibytes_or_none(name, positive(name, value)?)
}

/// The same where there may be none.
fn mebibytes_or_none(name: &'static str, value: usize) -> Result<usize, Error> {
    let expected = "a number of MiB whose bytes this machine can count";
    value.checked_mul(1 << 20).ok_or_else(|| Error::Value { name, expected, found: value.to_string() })
}

fn device(given: Option<String>) -> Result<String, Error> {
    let device = given.unwrap_or_else(|| "cpu".to_owned());
    let index = device.strip_prefix("cuda:").map(str::parse::<usize>);
    if device == "cpu" || device == "cuda" || matches!(index, Some(Ok(_))) {
        return Ok(device);
    }
    Err(Error::Value { name: "device", expected: "cpu, cuda or cuda:N", found: device })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(home: &Path) -> Given {
        Given { home: Some(home.to_owned()), ..Given::default() }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let home = tempfile::tempdir().unwrap();
        let text = "port = 1\nqueue = 5\nretention-days = { image = 3 }\n[plugin.hear]\nlanguage = \"en\"\n";
        std::fs::write(home.path().join("jnana.toml"), text).unwrap();
        let set = ["hear.model=base", "see.channels=320"].map(|set| set.parse().unwrap()).to_vec();
        let settings = Given { port: Some(2), set, ..given(home.path()) }.resolve().unwrap();
        assert_eq!((settings.address.port(), settings.queue, settings.max_batch), (2, 5, 8));
        assert_eq!(settings.retention_days["image"], 3);
        assert_eq!(settings.plugin_settings["hear"]["language"], "en");
        assert_eq!(settings.plugin_settings["hear"]["model"], "base");
        assert_eq!(settings.plugin_settings["see"]["channels"], 320);
        assert!(settings.token.is_none());
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("jnana.toml"), "prot = 1").unwrap();
        let error = given(home.path()).resolve().unwrap_err().to_string();
        assert!(error.contains("prot") && error.contains("jnana.toml"), "{error}");
    }

    #[test]
    fn sizes_that_no_machine_has_are_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        let huge = Some((usize::MAX >> 20) + 1);
        let cache = Given { cache_mib: huge, ..given(home.path()) }.resolve();
        assert!(matches!(cache, Err(Error::Value { name: "cache-mib", .. })));
        let upload = Given { max_upload_mib: huge, ..given(home.path()) }.resolve();
        assert!(matches!(upload, Err(Error::Value { name: "max-upload-mib", .. })));
        let given = Given { cache_mib: Some(3), packed_mib: Some(0), ..given(home.path()) };
        let settings = given.resolve().unwrap();
        assert_eq!((settings.cache_bytes, settings.packed_bytes), (3 << 20, 0));
    }

    #[test]
    fn a_wrong_device_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let wrong = Given { device: Some("tpu".to_owned()), ..given(home.path()) }.resolve();
        assert!(matches!(wrong, Err(Error::Value { name: "device", .. })));
    }
}
