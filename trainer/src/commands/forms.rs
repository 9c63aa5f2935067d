//! `jnana-trainer forms`.

use anyhow::Result;

use crate::cli::Forms;
use crate::forms::kinds;

pub(super) fn run(forms: &Forms) -> Result<()> {
    println!("{}", kinds(&forms.data, &forms.models));
    Ok(())
}
