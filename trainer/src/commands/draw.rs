//! `jnana-trainer draw`.

use anyhow::Result;

use crate::cli::Draw;
use crate::draw::dataset::{Plan, write};

/// Passages of text for each picture: a decoder learns the words of the world before it sees it.
const PASSAGES: u64 = 4;

pub(super) fn run(draw: &Draw) -> Result<()> {
    let plan = Plan {
        seed: draw.seed,
        pictures: draw.pictures,
        side: draw.side,
        passages: PASSAGES * draw.pictures,
    };
    write(&draw.out, &plan)?;
    println!("{}", draw.out.display());
    Ok(())
}
