//! The command line of `jnana-trainer`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Trains what Jñāna runs: pre-training, alignment, QLoRA, merge, export, evaluation.
#[derive(Debug, Parser)]
#[command(name = "jnana-trainer", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stage 0: train a decoder from random weights on text
    Pretrain(Train),
    /// Stage 1: train the projector between a frozen encoder and a frozen decoder
    Align(Train),
    /// Stage 2: train projector and adapter on a frozen, perhaps 4-bit decoder
    Tune(Train),
    /// Merge an adapter into its base
    Merge(Merge),
    /// Write a model as a Hugging Face folder or as GGUF
    Export(Export),
    /// Write what a run left as f16, with sizes and hashes, to be given to others
    Pack(Pack),
    /// Count parameters as PEFT does
    Params(Params),
    /// Encode the pictures of a recipe's data ahead of a run
    Features(Train),
    /// Measure what a model says: loss, captions, answers, each beside shuffled pictures
    Eval(Eval),
    /// Write down what a model answers to questions, to mix into its tuning
    Answer(Answer),
    /// Learn a tokenizer of GPT-2's kind from text, for a model that is pre-trained from nothing
    Tokenizer(Tokenizer),
    /// Draw pictures with captions and questions, and write text about them
    Draw(Draw),
    /// Say as JSON what can be done, with a form of settings for each
    Forms(Forms),
    /// Look at a recipe or an evaluation before it is carried out: what is in its data, what it will take
    Check(Check),
}

/// What can be done with what there is.
#[derive(Debug, Args)]
pub struct Forms {
    /// Folder of data sets; recipes and evaluations of your own are in its folders of these names
    #[arg(long, env = "JNANA_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// Folder of models
    #[arg(long, env = "JNANA_MODELS", value_name = "DIR")]
    pub models: PathBuf,
}

/// A recipe or an evaluation to look at.
#[derive(Debug, Args)]
pub struct Check {
    /// The file, or the name of one that comes with the program
    pub file: PathBuf,
    /// It is an evaluation
    #[arg(long)]
    pub evaluation: bool,
    /// Folder of the runs whose results it names
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Where the rest is
    #[command(flatten)]
    pub inputs: Inputs,
    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A recipe, and where things are.
#[derive(Debug, Args)]
pub struct Train {
    /// The recipe: a file, or the name of one that comes with the program
    pub recipe: PathBuf,
    /// Folder of the run; one that was interrupted goes on
    #[arg(long, value_name = "DIR")]
    pub run: PathBuf,
    /// Folder of the runs whose results the recipe names [default: where the run's folder is]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// Where the rest is
    #[command(flatten)]
    pub inputs: Inputs,
    /// Events on standard output, one JSON object a line, in place of a progress bar
    #[arg(long)]
    pub json: bool,
}

/// What a recipe or an evaluation is carried out with.
#[derive(Debug, Args)]
pub struct Inputs {
    /// Folder of the data sets that it names
    #[arg(long, env = "JNANA_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// Folder of the models that it names
    #[arg(long, env = "JNANA_MODELS", value_name = "DIR")]
    pub models: PathBuf,
    /// Folder of the pictures' features [default: features in the runs' folder]
    #[arg(long, value_name = "DIR")]
    pub features: Option<PathBuf>,
    /// Change of one of its keys, such as rate.rate=1e-3; may be given more than once
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

/// An adapter into its base.
#[derive(Debug, Args)]
pub struct Merge {
    /// The base: a folder or a GGUF file
    #[arg(long, value_name = "PATH")]
    pub base: PathBuf,
    /// The adapter's folder, in PEFT's format
    #[arg(long, value_name = "DIR")]
    pub adapter: PathBuf,
    /// Merge into the base as NF4 has it, as it was while the adapter was trained
    #[arg(long)]
    pub nf4: bool,
    /// As export's --format
    #[arg(long, default_value = "f16", value_name = "TYPE")]
    pub dtype: String,
    /// What is written
    #[command(flatten)]
    pub output: Output,
}

/// A model in another format.
#[derive(Debug, Args)]
pub struct Export {
    /// The model: a folder or a GGUF file
    pub model: PathBuf,
    /// f32, f16, bf16 or nf4 (4 bits as bitsandbytes has them) for a Hugging Face folder; gguf-f16, gguf-q8_0, gguf-q4_0 or gguf-q4_k for a GGUF file
    #[arg(long, default_value = "f16", value_name = "FORMAT")]
    pub format: String,
    /// What is written
    #[command(flatten)]
    pub output: Output,
}

/// A model that is written.
#[derive(Debug, Args)]
pub struct Output {
    /// Keeps only so many rows of embedding and head
    #[arg(long, value_name = "N")]
    pub vocab_rows: Option<usize>,
    /// Id of the model in its jnana.json [default: as it is]
    #[arg(long, value_name = "ID")]
    pub name: Option<String>,
    /// Id of the embedding space in its jnana.json: the one that the model was tuned into [default: as it is]
    #[arg(long, value_name = "ID")]
    pub space: Option<String>,
    /// A projector to lay beside the model, with the id of the plugin that it is for, such as vision=RUN/projector.safetensors; may be given more than once
    #[arg(long, value_name = "PLUGIN=FILE", value_parser = projector)]
    pub projector: Vec<(String, PathBuf)>,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// An event on standard output when it ends, a JSON object in a line, besides
    #[arg(long)]
    pub json: bool,
}

/// A finished run to give to others.
#[derive(Debug, Args)]
pub struct Pack {
    /// Folder of the run
    pub run: PathBuf,
    /// Type of the numbers: f32, f16 or bf16
    #[arg(long, default_value = "f16", value_name = "TYPE")]
    pub dtype: String,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A network and an adapter to count.
#[derive(Debug, Args)]
pub struct Params {
    /// A recipe of stage 2
    pub recipe: PathBuf,
    /// The network's config.json, instead of the recipe's model: counting needs no weights
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the models that the recipe names
    #[arg(long, env = "JNANA_MODELS", value_name = "DIR", default_value = ".")]
    pub models: PathBuf,
    /// Change of the recipe, such as lora.r=8; may be given more than once
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// An evaluation, and where things are.
#[derive(Debug, Args)]
pub struct Eval {
    /// The evaluation: a file, or the name of one that comes with the program
    pub evaluation: PathBuf,
    /// Folder of the runs whose results it names
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Where the rest is
    #[command(flatten)]
    pub inputs: Inputs,
    /// Folder for `report.json` and `transcripts.jsonl`; by default only the table is printed
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// An event on standard output when it ends, a JSON object in a line, besides
    #[arg(long)]
    pub json: bool,
}

/// Questions for a model.
#[derive(Debug, Args)]
pub struct Answer {
    /// The model: a folder or a GGUF file
    #[arg(long, value_name = "PATH")]
    pub model: PathBuf,
    /// Chats, JSON Lines; the first question of each is asked
    #[arg(long, value_name = "FILE")]
    pub questions: PathBuf,
    /// Most questions
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Longer answers are dropped
    #[arg(long, default_value_t = 120)]
    pub max_tokens: usize,
    /// The answers as chats, JSON Lines
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// A tokenizer to learn.
#[derive(Debug, Args)]
pub struct Tokenizer {
    /// Text to learn from; may be given more than once
    #[arg(long, value_name = "FILE", required = true)]
    pub text: Vec<PathBuf>,
    /// Most tokens, all 256 bytes and the end of text among them
    #[arg(long, default_value_t = 512)]
    pub tokens: usize,
    /// Folder to write `tokenizer.json` and `tokenizer_config.json` into
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// A set of drawings.
#[derive(Debug, Args)]
pub struct Draw {
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How many pictures
    #[arg(long, default_value_t = 1000)]
    pub pictures: u64,
    /// Side of a picture in pixels
    #[arg(long, default_value_t = 224)]
    pub side: u32,
    /// Another seed draws other pictures
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

fn projector(text: &str) -> Result<(String, PathBuf), &'static str> {
    let plain = |plugin: &str| {
        !plugin.is_empty() && plugin.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    match text.split_once('=') {
        Some((plugin, file)) if plain(plugin) && !file.is_empty() => Ok((plugin.to_owned(), file.into())),
        _ => Err("expected PLUGIN=FILE, such as vision=runs/tune/projector.safetensors"),
    }
}
