//! Who sees whom in a padded batch. Each position has a mark: padding, the trunk that a row begins with, or one of the
//! branches that go on from it. A branch sees the trunk and itself, and its positions count on from the trunk's end, so
//! it is computed as if it had followed the trunk alone; answers about one picture share its positions that way.

/// Seen by nobody.
const PADDING: u32 = 0;
/// Seen by all that follows. Larger marks are branches.
const TRUNK: u32 = 1;

/// Whether a position with the mark `query` sees an earlier one, or itself, with the mark `key`.
#[inline(always)]
pub(crate) fn sees(query: u32, key: u32) -> bool {
    key == TRUNK || (key == query && key != PADDING)
}

/// Where each position of a row stands. Positions count from the first real one; those before it stand at 0.
pub(crate) fn positions(marks: &[u32]) -> impl Iterator<Item = u32> {
    let first = marks.iter().position(|mark| *mark != PADDING).unwrap_or(0);
    let trunk = marks.iter().position(|mark| *mark > TRUNK).unwrap_or(first) - first;
    let (mut branch, mut start, mut base) = (TRUNK, first, 0);
    marks.iter().enumerate().map(move |(i, &mark)| {
        if mark > TRUNK && mark != branch {
            (branch, start, base) = (mark, i, trunk);
        }
        (base + i.saturating_sub(start)) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions_of(marks: &[u32]) -> Vec<u32> {
        positions(marks).collect()
    }

    #[test]
    fn positions_count_from_the_first_real_one() {
        assert_eq!(positions_of(&[0, 0, 1, 1]), [0, 0, 0, 1]);
        assert_eq!(positions_of(&[1, 1, 0, 0]), [0, 1, 2, 3]);
        assert_eq!(positions_of(&[0, 0]), [0, 1]);
    }

    #[test]
    fn every_branch_counts_on_from_the_trunk() {
        assert_eq!(positions_of(&[0, 1, 1, 2, 2, 3, 4, 4, 0]), [0, 0, 1, 2, 3, 2, 2, 3, 4]);
        assert_eq!(positions_of(&[2, 2, 3]), [0, 1, 0]);
    }

    #[test]
    fn a_branch_sees_the_trunk_and_itself() {
        assert!(sees(2, 2) && sees(2, 1) && sees(1, 1) && sees(0, 1));
        assert!(!sees(2, 3) && !sees(3, 2) && !sees(1, 0) && !sees(0, 0) && !sees(2, 0));
    }
}
