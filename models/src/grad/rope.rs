//! Rotary positions of one head (Su et al. 2021, <https://arxiv.org/abs/2104.09864>), as [`Turns`](crate::rotary::Turns)
//! applies them: number `i` turns with number `i + rotated / 2`, those from `rotated` on stay. A turn is orthogonal, so
//! the gradient turns back.

/// Turns `head`; `cos` and `sin` are those of its position, `rotated / 2` each.
#[inline(always)]
pub(super) fn turn(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, rest) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(rest).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

/// Undoes [`turn`].
#[inline(always)]
pub(super) fn turn_back(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, rest) = head.split_at_mut(cos.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(rest).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos + *b * sin, *b * cos - *a * sin);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::grad::testing::normal;
    use crate::ops::Mode;
    use crate::rotary::{Rotary, Scaling};

    #[test]
    fn turns_like_the_composed_form_and_back() {
        let head = normal(&[1, 1, 20], 1.);
        let turns = Rotary::new(12, 100., &Scaling::Default).turns(&[7], DType::F32, &Device::Cpu).unwrap();
        let want = turns.apply(&head, Mode::Training).unwrap().flatten_all().unwrap().to_vec1::<f32>();
        let head = head.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let [cos, sin] = turns.tables().map(|table| table.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        let mut turned = head.clone();
        turn(&mut turned, &cos, &sin);
        assert_eq!(turned, want.unwrap());
        assert_ne!(turned[..12], head[..12]);
        turn_back(&mut turned, &cos, &sin);
        assert!(turned.iter().zip(&head).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
