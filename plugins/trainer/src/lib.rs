//! Training as jobs that an administrator starts from a form. The work is done by the program `jnana-trainer`, in a process of
//! its own; this plugin asks it what there is to do, lets it look at the data, and says with which arguments it is to be run.

mod arguments;
mod manifest;
mod plugin;
mod program;

pub use plugin::Trainer;

jnana_plugin_sdk::export_plugin!(Trainer);
