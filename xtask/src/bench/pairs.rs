//! Pairs: both sides one after the other, so that what the machine does in a minute meets both.

use anyhow::Result;

/// Runs both sides `pairs` times, each with the number of the pair. Every other pair begins with the peer.
pub fn in_turns<Ours, Theirs>(
    pairs: usize,
    mut ours: impl FnMut(usize) -> Result<Ours>,
    mut theirs: impl FnMut(usize) -> Result<Theirs>,
) -> Result<Vec<(Ours, Theirs)>> {
    let mut all = Vec::with_capacity(pairs);
    for pair in 0..pairs {
        println!("pair {} of {pairs}", pair + 1);
        if pair % 2 == 0 {
            let first = ours(pair)?;
            all.push((first, theirs(pair)?));
        } else {
            let first = theirs(pair)?;
            all.push((ours(pair)?, first));
        }
    }
    Ok(all)
}

/// The middle of the values, the mean of the middle two when their number is even; not a number for none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.,
        _ => f64::NAN,
    }
}

/// The value that at least 95 of 100 do not exceed; not a number for none.
pub fn percentile_95(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * 95).div_ceil(100);
    rank.checked_sub(1).and_then(|index| values.get(index)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn sides_take_turns_in_going_first() {
        let order = RefCell::new(String::new());
        let side = |name: char| {
            let order = &order;
            move |pair: usize| {
                order.borrow_mut().push(name);
                Ok(pair)
            }
        };
        assert_eq!(in_turns(3, side('o'), side('t')).unwrap(), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(*order.borrow(), "ottoot");
    }

    #[test]
    fn a_failing_side_ends_the_run() {
        assert!(in_turns(2, |_| Ok(()), |_| -> Result<()> { anyhow::bail!("gone") }).is_err());
    }

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median([5., 1., 3.]), 3.);
        assert_eq!(median([4., 1., 2., 3.]), 2.5);
        assert!(median([]).is_nan() && percentile_95([]).is_nan());
        assert_eq!(percentile_95((1..=100).map(f64::from)), 95.);
        assert_eq!(percentile_95((1..=16).map(f64::from)), 16.);
        assert_eq!(percentile_95([7.]), 7.);
    }
}
