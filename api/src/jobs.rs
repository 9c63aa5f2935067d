//! Long work that plugins offer to administrators, such as training: what they offer, what a run of it is, what it tells.
//!
//! A **plugin** of kind `jnana.jobs/1` lists [`JobKind`]s and makes a [`Plan`] of a [`Request`]; it does no work itself. The
//! **server** starts the plan's command as a process of its own, which outlives it, and keeps the [`Job`]. The **process** writes
//! its [`JobEvent`]s on standard output, one JSON object a line.
//!
//! | call | body | answer |
//! | --- | --- | --- |
//! | `GET /api/admin/job-kinds` | – | `Vec<`[`OfferedKind`]`>` |
//! | `POST /api/admin/jobs/check` | [`NewJob`] | [`Preview`]: nothing is started |
//! | `POST /api/admin/jobs` | [`NewJob`] | 201, [`Job`]; 422 when the plugin refuses, in its words |
//! | `GET /api/admin/jobs` | – | `Vec<`[`Job`]`>`, the newest first |
//! | `GET /api/admin/jobs/{id}` | – | [`Job`] |
//! | `GET /api/admin/jobs/{id}/log` | – | the end of what the process wrote on standard error, text |
//! | `GET /api/admin/jobs/{id}/events?after=N` | – | [`NumberedEvent`]s as server-sent events; `Last-Event-ID` wins over `after` |
//! | `POST /api/admin/jobs/{id}/stop` | – | [`Job`] |
//! | `POST /api/admin/jobs/{id}/resume` | – | [`Job`]; 409 for one that cannot go on |
//! | `DELETE /api/admin/jobs/{id}` | – | 204; 409 while it runs |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A kind of work that a plugin offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobKind {
    /// Id within the plugin, such as `align`.
    pub kind: String,
    /// Verb phrase for people: "Train a projector".
    pub label: String,
    /// A sentence or two for people.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the settings: a flat object, as [`Manifest::settings_schema`](crate::plugins::Manifest). Keys may have
    /// dots in them; `required` lists what has to be filled in.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub schema: Value,
    /// Values of its steps and evaluations that are worth a curve, the most important first.
    #[serde(default)]
    pub series: Vec<Series>,
}

/// A value over the steps of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Series {
    /// Its key in [`JobEvent::Step`]'s `values` and [`JobEvent::Evaluation`]'s `metrics`: both belong into one chart.
    pub key: String,
    /// Name for people.
    pub label: String,
    /// Unit, such as `nats`; empty for none.
    #[serde(default)]
    pub unit: String,
}

/// A kind with the plugin that offers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OfferedKind {
    /// Id of the plugin.
    pub plugin: String,
    /// The plugin's name for people.
    pub plugin_name: String,
    /// The kind.
    #[serde(flatten)]
    pub kind: JobKind,
}

/// Work to check or to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewJob {
    /// Id of the plugin.
    pub plugin: String,
    /// Id of the kind.
    pub kind: String,
    /// Name for people; the kind's label when absent or empty. At most 200 characters.
    #[serde(default)]
    pub title: String,
    /// The filled form, as the kind's schema describes it; what is absent takes its default.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub settings: Map<String, Value>,
}

/// What a plugin is asked for its kinds and for a plan. Absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    /// Data to work on; may not exist.
    pub data: String,
    /// Models by name; may not exist.
    pub models: String,
    /// Jobs: what job ID left behind is in `ID/work`; may not exist.
    pub runs: String,
}

/// What a plugin makes a plan of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Id of the kind.
    pub kind: String,
    /// The filled form.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// An existing folder of the job's own. What the plugin and the process write belongs in here.
    pub folder: String,
    /// Where things are.
    pub folders: Folders,
}

/// What a plugin makes of a request. Exactly one of `command` and `refusal` is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is to be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// Why it cannot be run: what is wrong, why, what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// What it will take.
    #[serde(default)]
    pub estimate: Estimate,
    /// What was found in the data.
    #[serde(default)]
    pub findings: Findings,
    /// What it will leave behind. What is not there at the end is left out.
    #[serde(default)]
    pub products: Vec<Promise>,
    /// Whether the same command goes on where it was ended; otherwise it begins anew.
    #[serde(default)]
    pub resumable: bool,
}

/// A program to run. SIGTERM asks it to end in good order; it may then be started again with the same arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Absolute path of the program.
    pub program: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// Something that a job will leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// What it is, such as `projector`, `adapter`, `model` or `report`.
    pub kind: String,
    /// File or folder, relative to the job's own folder.
    pub path: String,
    /// Id of the plugin that it is for, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
}

/// What a job will take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Estimate {
    /// Bytes of memory; absent when nobody can tell.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Seconds; absent when nobody can tell.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// The same and more in words, such as "some 2 GiB of memory; how fast it is shows with the first steps".
    #[serde(default)]
    pub cost: String,
}

/// What a plugin found in the data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Findings {
    /// Numbers by what they count, such as "records to learn from".
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// A few examples, as text.
    #[serde(default)]
    pub samples: Vec<String>,
    /// The first things that are wrong, in words; the job may go on without them.
    #[serde(default)]
    pub errors: Vec<String>,
}

/// What would become of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preview {
    /// Why it would be refused, in words; absent when it can be started.
    #[serde(default)]
    pub refusal: Option<String>,
    /// What it would take.
    pub estimate: Estimate,
    /// What was found in the data.
    pub findings: Findings,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// Its process runs.
    Running,
    /// Its process was asked to end and still runs.
    Stopping,
    /// Somebody ended it. It can be resumed.
    Stopped,
    /// Its process is gone and nobody asked it to end: it was killed, or the machine went down. It can be resumed.
    Interrupted,
    /// Ended well.
    Finished,
    /// Ended with an error. It can be resumed, once the cause is mended.
    Failed,
}

impl JobState {
    /// Whether more events are to be expected without anybody's doing.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Stopping)
    }

    /// Whether resuming puts it into the queue again.
    #[must_use]
    pub fn can_resume(self) -> bool {
        matches!(self, Self::Stopped | Self::Interrupted | Self::Failed)
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Id.
    pub id: String,
    /// Id of the plugin that planned it.
    pub plugin: String,
    /// Id of its kind.
    pub kind: String,
    /// Name for people.
    pub title: String,
    /// The filled form.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub settings: Map<String, Value>,
    /// Where it stands.
    pub state: JobState,
    /// Why it stands there, in words; empty when there is nothing to say.
    pub reason: String,
    /// Whether resuming goes on where it ended; otherwise it begins anew.
    pub resumable: bool,
    /// When it was made; Unix milliseconds.
    pub created_at: i64,
    /// When its process was started last; Unix milliseconds.
    pub started_at: Option<i64>,
    /// When its process ended last; Unix milliseconds.
    pub ended_at: Option<i64>,
    /// Process, while it has one.
    pub process: Option<u32>,
    /// Steps done and to do, as far as it said.
    pub progress: Option<Progress>,
    /// What it was said to take.
    pub estimate: Estimate,
    /// What was found in the data before it was started.
    pub findings: Findings,
    /// What it left behind, once it has finished.
    pub products: Vec<Product>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
}

/// Something that a job left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Product {
    /// What it is, such as `projector`, `adapter`, `model` or `report`.
    pub kind: String,
    /// Absolute path on the server: a file or a folder.
    pub path: String,
    /// Bytes, all files of a folder together.
    pub bytes: u64,
    /// sha256, hex: of a file's bytes; of a folder that of the lines `sha256  path` of its files, sorted by path.
    pub sha256: String,
    /// Id of the plugin that it is for, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
}

/// An event with its number: the line of the job's file that holds it, from 1. Numbers may have gaps; they only grow, also when
/// the job is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NumberedEvent {
    /// The number.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub event: JobEvent,
}

/// What happens in a job. A process writes these on standard output, one a line, but for `State` and `Note`, which are the
/// server's; further keys are free. The stream of a job that does not run ends with a `State` that is not active.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum JobEvent {
    /// The job stands elsewhere.
    State {
        /// Where.
        state: JobState,
        /// Why, in words.
        #[serde(default)]
        reason: String,
        /// Unix milliseconds.
        time: i64,
    },
    /// The work starts, or goes on.
    Start {
        /// Steps done before.
        step: u64,
        /// Steps to do in all.
        steps: u64,
    },
    /// A step is done.
    Step(StepValues),
    /// Data that was held out was measured.
    Evaluation {
        /// Steps done.
        step: u64,
        /// Values by name; none for what is no finite number.
        metrics: BTreeMap<String, Option<f64>>,
    },
    /// Something to go on from was written.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Where it is.
        #[serde(default)]
        folder: String,
        /// True when no earlier one measured better.
        #[serde(default)]
        best: bool,
    },
    /// Something is wrong, but not so that the work would end.
    Warning {
        /// In words.
        message: String,
    },
    /// A line that is no event.
    Note {
        /// The line.
        message: String,
    },
    /// The work ends. A `State` follows once the process is gone.
    End {
        /// Steps done.
        step: u64,
        /// Why, such as `finished`, `early`, `interrupted` or `failed`.
        reason: String,
        /// In words, for a failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// An event that this build does not know.
    #[serde(other)]
    Unknown,
}

/// A step and its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepValues {
    /// Steps done, this one included.
    pub step: u64,
    /// Values by name ([`Series::key`]); none for what is no finite number.
    #[serde(flatten)]
    pub values: BTreeMap<String, Option<f64>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_has_any_values() {
        let line = json!({ "seq": 7, "event": "step", "step": 3, "loss": 2.5, "memory": 1024, "norm": null });
        let read: NumberedEvent = serde_json::from_value(line.clone()).unwrap();
        let JobEvent::Step(step) = &read.event else { panic!("{read:?}") };
        assert_eq!((read.seq, step.step, step.values["loss"], step.values["norm"]), (7, 3, Some(2.5), None));
        assert_eq!(serde_json::to_value(&read).unwrap()["memory"], 1024.0);
    }

    #[test]
    fn events_of_later_builds_do_no_harm() {
        let read: NumberedEvent =
            serde_json::from_value(json!({ "seq": 1, "event": "moon", "phase": 3 })).unwrap();
        assert_eq!(read.event, JobEvent::Unknown);
        let start = json!({ "seq": 2, "event": "start", "step": 0, "steps": 60, "recipe": "tiny" });
        let read: NumberedEvent = serde_json::from_value(start).unwrap();
        assert_eq!(read.event, JobEvent::Start { step: 0, steps: 60 });
    }

    #[test]
    fn a_job_is_either_going_on_or_can_be_resumed_or_is_done() {
        use JobState::{Failed, Finished, Interrupted, Queued, Running, Stopped, Stopping};
        for state in [Queued, Running, Stopping, Stopped, Interrupted, Failed] {
            assert!(state.is_active() != state.can_resume(), "{state:?}");
        }
        assert!(!Finished.is_active() && !Finished.can_resume());
    }
}
