//! Brings a picture to the size an encoder takes.

use serde::{Deserialize, Serialize};

use super::Picture;
use super::bicubic::{Window, resize};

/// What [`Fit::Contain`] puts around a picture: the grey that normalises to about zero.
const PADDING: u8 = 127;

/// How a picture of another shape is brought to the wanted one; in files `stretch`, `center-crop` or `contain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Each side is scaled on its own; shapes are distorted, nothing is lost.
    Stretch,
    /// Scaled to cover, the middle is kept: `shortest_edge` and `center_crop` of Hugging Face's processors.
    CenterCrop,
    /// Scaled to lie inside, the rest is grey: nothing is distorted or lost.
    Contain,
}

/// Resizes a picture to `width`×`height`, antialiased bicubic, equal to Pillow's `Image.resize(…, BICUBIC)`.
///
/// For a square target [`Fit::CenterCrop`] equals Hugging Face's `CLIPImageProcessor` pixel by pixel. An empty
/// picture gives plain grey, an empty target an empty picture.
///
/// # Panics
/// If `picture.pixels` does not hold `3·width·height` bytes; [`Picture::new`] and [`decode_image`] see to that.
///
/// [`decode_image`]: super::decode_image
pub fn fit(picture: &Picture, width: u32, height: u32, fit: Fit) -> Picture {
    if picture.width == 0 || picture.height == 0 || width == 0 || height == 0 {
        return grey(width, height);
    }
    let whole = |width: u32, height: u32| Window {
        full_width: width.into(),
        full_height: height.into(),
        left: 0,
        top: 0,
        width,
        height,
    };
    match fit {
        Fit::Stretch => resize(picture, &whole(width, height)),
        Fit::CenterCrop => resize(picture, &covering(picture, width, height)),
        Fit::Contain => {
            let (inner_width, inner_height) = contained(picture, width, height);
            let inner = resize(picture, &whole(inner_width, inner_height));
            if inner_width == width && inner_height == height {
                inner
            } else {
                centered(&inner, width, height)
            }
        }
    }
}

/// The middle of the picture scaled to just cover `width`×`height`; sides and offsets round down.
fn covering(picture: &Picture, width: u32, height: u32) -> Window {
    let [source_width, source_height] = [picture.width, picture.height].map(u64::from);
    let [to_width, to_height] = [width, height].map(u64::from);
    let (full_width, full_height) = if source_width * to_height <= source_height * to_width {
        (to_width, to_width * source_height / source_width)
    } else {
        (to_height * source_width / source_height, to_height)
    };
    let (left, top) = ((full_width - to_width) / 2, (full_height - to_height) / 2);
    Window { full_width, full_height, left, top, width, height }
}

/// The largest size of the picture's own shape within `width`×`height`, at least one pixel a side.
fn contained(picture: &Picture, width: u32, height: u32) -> (u32, u32) {
    let [source_width, source_height] = [picture.width, picture.height].map(u64::from);
    let rounded = |side: u64, numerator: u64, denominator: u64| {
        ((side * numerator + denominator / 2) / denominator).max(1) as u32
    };
    if source_width * u64::from(height) >= source_height * u64::from(width) {
        (width, rounded(width.into(), source_height, source_width).min(height))
    } else {
        (rounded(height.into(), source_width, source_height).min(width), height)
    }
}

/// The picture in the middle of a grey one; an odd pixel goes to the right and below.
fn centered(picture: &Picture, width: u32, height: u32) -> Picture {
    let mut canvas = grey(width, height);
    let left = ((width - picture.width) / 2) as usize;
    let top = ((height - picture.height) / 2) as usize;
    let row = 3 * picture.width as usize;
    let lines = canvas.pixels.chunks_exact_mut(3 * width as usize).skip(top);
    for (line, source) in lines.zip(picture.pixels.chunks_exact(row)) {
        line[3 * left..3 * left + row].copy_from_slice(source);
    }
    canvas
}

fn grey(width: u32, height: u32) -> Picture {
    Picture { width, height, pixels: vec![PADDING; 3 * width as usize * height as usize] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, color: [u8; 3]) -> Picture {
        Picture { width, height, pixels: color.repeat((width * height) as usize) }
    }

    #[test]
    fn contain_centres_the_picture_on_grey() {
        let fitted = fit(&plain(40, 20, [200, 10, 30]), 8, 8, Fit::Contain);
        for (index, pixel) in fitted.pixels.as_chunks::<3>().0.iter().enumerate() {
            let inside = (2..6).contains(&(index / 8));
            assert_eq!(*pixel, if inside { [200, 10, 30] } else { [PADDING; 3] }, "pixel {index}");
        }
        // Two of five columns: one before, two behind.
        let upright = fit(&plain(3, 9, [1, 2, 3]), 5, 5, Fit::Contain);
        let columns: Vec<u8> = upright.pixels[..15].iter().step_by(3).copied().collect();
        assert_eq!(columns, [PADDING, 1, 1, PADDING, PADDING]);
    }

    #[test]
    fn centre_crop_keeps_the_middle() {
        // Left third red, middle green, right blue; a square cut of the middle is green.
        let row: Vec<u8> =
            [[255, 0, 0], [0, 255, 0], [0, 0, 255]].iter().flat_map(|c| c.repeat(30)).collect();
        let picture = Picture { width: 90, height: 20, pixels: row.repeat(20) };
        let fitted = fit(&picture, 10, 10, Fit::CenterCrop);
        assert!(fitted.pixels.as_chunks::<3>().0.iter().all(|&pixel| pixel == [0, 255, 0]));
    }

    #[test]
    fn extreme_shapes_cost_no_more_than_their_target() {
        let line = plain(1, 60_000, [9, 8, 7]);
        for mode in [Fit::Stretch, Fit::CenterCrop, Fit::Contain] {
            let fitted = fit(&line, 224, 224, mode);
            assert_eq!(fitted.pixels.len(), 3 * 224 * 224);
            let middle = 3 * (112 * 224 + 111);
            assert!(fitted.pixels[middle..middle + 3] == [9, 8, 7] || mode == Fit::Contain, "{mode:?}");
        }
    }

    #[test]
    fn empty_pictures_and_targets_do_no_harm() {
        assert_eq!(fit(&plain(0, 5, [0; 3]), 2, 2, Fit::CenterCrop), grey(2, 2));
        assert!(fit(&plain(5, 5, [0; 3]), 0, 7, Fit::Contain).pixels.is_empty());
    }
}
