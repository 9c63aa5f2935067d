//! Bytes to the floats a network was trained on.

use super::Picture;

/// Mean of CLIP's training pictures, RGB in 0..1 (OpenAI CLIP's preprocessing).
pub const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Standard deviation of CLIP's training pictures, RGB in 0..1.
pub const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
/// Mean of EfficientNet-Lite's preprocessing, `(byte - 127) / 128`, in 0..1.
pub const EFFICIENTNET_LITE_MEAN: [f32; 3] = [127.0 / 255.0; 3];
/// Standard deviation of EfficientNet-Lite's preprocessing in 0..1.
pub const EFFICIENTNET_LITE_STD: [f32; 3] = [128.0 / 255.0; 3];

/// `(byte/255 - mean) / std` in planes: `[3, height, width]`, red first.
///
/// Evaluated as `(byte - 255·mean) / (255·std)`, which makes EfficientNet-Lite's integers come out exactly.
pub fn normalize_chw(picture: &Picture, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let pixels = picture.pixels.as_chunks::<3>().0;
    let mut planes = Vec::with_capacity(3 * pixels.len());
    for channel in 0..3 {
        let values = levels(mean[channel], std[channel]);
        planes.extend(pixels.iter().map(|pixel| values[usize::from(pixel[channel])]));
    }
    planes
}

/// The float for each of the 256 bytes.
fn levels(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|byte| (byte as f32 - mean * 255.0) / (std * 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efficientnet_lite_is_exact() {
        let pixels: Vec<u8> = (0..=255).flat_map(|byte| [byte; 3]).collect();
        let picture = Picture { width: 256, height: 1, pixels };
        let planes = normalize_chw(&picture, EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD);
        for (index, &value) in planes.iter().enumerate() {
            assert_eq!(value, ((index % 256) as f32 - 127.0) / 128.0, "byte {}", index % 256);
        }
    }

    #[test]
    fn planes_are_in_order_of_channels() {
        let picture = Picture { width: 2, height: 1, pixels: vec![255, 0, 51, 0, 255, 102] };
        let planes = normalize_chw(&picture, [0.0; 3], [1.0; 3]);
        assert_eq!(planes, [1.0, 0.0, 0.0, 1.0, 0.2, 0.4]);
    }
}
