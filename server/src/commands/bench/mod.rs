//! `jnana bench`: the core alone, or one plugin, without a server.

mod core_alone;
mod one_plugin;
mod perplexity;

use anyhow::Result;
use candle_core::Device;

use crate::cli::Bench;

pub(super) fn run(bench: &Bench) -> Result<()> {
    let report = match &bench.plugin {
        Some(plugin) => one_plugin::report(bench, plugin)?,
        // On a thread of candle's pool, as an engine: from outside, every parallel operation would hand over to it and sleep.
        None => Device::Cpu.with_context(|| core_alone::report(bench))?,
    };
    if bench.json {
        println!("{report}");
    } else if let Some(rows) = report.as_object() {
        for (name, value) in rows {
            println!("{name:>44}  {value}");
        }
    }
    Ok(())
}

/// The middle one of the values.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3., 1., 2.]), Some(2.));
        assert_eq!(median(&[]), None);
    }
}
