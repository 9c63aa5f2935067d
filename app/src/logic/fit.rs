//! Sizes that fit into a square, proportions kept.

/// The size of a `width` × `height` frame (pixels) whose longer side is at most `longest`.
///
/// Smaller frames stay as they are; no side becomes 0.
#[must_use]
pub fn within(width: u32, height: u32, longest: u32) -> (u32, u32) {
    let side = width.max(height);
    if side <= longest || side == 0 {
        return (width, height);
    }
    let scale = |length: u32| {
        let scaled = (u64::from(length) * u64::from(longest) + u64::from(side) / 2) / u64::from(side);
        u32::try_from(scaled).unwrap_or(longest).max(1)
    };
    (scale(width), scale(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_stay() {
        assert_eq!(within(640, 480, 1024), (640, 480));
        assert_eq!(within(1024, 1024, 1024), (1024, 1024));
        assert_eq!(within(0, 0, 1024), (0, 0));
    }

    #[test]
    fn the_longer_side_meets_the_limit_and_proportions_stay() {
        assert_eq!(within(4032, 3024, 1024), (1024, 768));
        assert_eq!(within(3024, 4032, 1024), (768, 1024));
        assert_eq!(within(1920, 1080, 1024), (1024, 576));
    }

    #[test]
    fn a_thin_frame_keeps_a_pixel() {
        assert_eq!(within(100_000, 3, 1024), (1024, 1));
    }
}
