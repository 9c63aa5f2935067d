//! The mel filter bank that Whisper models carry in their files, computed as librosa does with its defaults: Slaney's
//! scale (linear below 1 kHz, logarithmic above) and Slaney's norm (each triangle has the same area).

/// Samples a second that Whisper hears.
pub const SAMPLE_RATE: u32 = 16_000;
/// Bins of the spectrum: half of the transform's 400 samples, and one.
pub const BINS: usize = 201;

const HZ_PER_LINEAR_MEL: f64 = 200.0 / 3.0;
const LOG_START_HZ: f64 = 1000.0;
const LOG_START_MEL: f64 = LOG_START_HZ / HZ_PER_LINEAR_MEL;

/// Filters `[bands, BINS]`, row-major. Equal bit for bit to what librosa stores as f32: each triangle is rounded to f32
/// before it is scaled, and scaled in f64.
#[must_use]
pub fn filters(bands: usize) -> Vec<f32> {
    let nyquist = f64::from(SAMPLE_RATE) / 2.0;
    let bins = linspace(nyquist, BINS);
    let edges: Vec<f64> = linspace(hz_to_mel(nyquist), bands + 2).into_iter().map(mel_to_hz).collect();
    let mut filters = Vec::with_capacity(bands * BINS);
    for edge in edges.windows(3) {
        let (low, middle, high) = (edge[0], edge[1], edge[2]);
        let norm = 2.0 / (high - low);
        filters.extend(bins.iter().map(|bin| {
            let rising = -(low - bin) / (middle - low);
            let falling = (high - bin) / (high - middle);
            let triangle = rising.min(falling).max(0.0) as f32;
            // Adding zero turns the one −0.0 (the first bin of the first band) into +0.0.
            (f64::from(triangle) * norm) as f32 + 0.0
        }));
    }
    filters
}

/// `count` values from 0 to `end`, both included, as numpy spaces them.
fn linspace(end: f64, count: usize) -> Vec<f64> {
    let step = end / (count - 1) as f64;
    (0..count).map(|i| if i + 1 == count { end } else { i as f64 * step }).collect()
}

fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < LOG_START_HZ {
        hz / HZ_PER_LINEAR_MEL
    } else {
        LOG_START_MEL + (hz / LOG_START_HZ).ln() / log_step()
    }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < LOG_START_MEL {
        HZ_PER_LINEAR_MEL * mel
    } else {
        LOG_START_HZ * (log_step() * (mel - LOG_START_MEL)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triangles_have_equal_area_and_no_negative_zero() {
        let filters = filters(80);
        assert_eq!(filters.len(), 80 * BINS);
        assert!(filters.iter().all(|f| f.is_sign_positive() && f.is_finite()));
        for (band, row) in filters.chunks(BINS).enumerate().skip(40) {
            let area: f32 = row.iter().sum::<f32>() * 40.0;
            assert!((area - 1.0).abs() < 0.08, "band {band} has area {area}");
        }
    }

    #[test]
    fn scale_turns_back() {
        for hz in [0.0, 440.0, 999.9, 1000.0, 3999.0, 8000.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-9);
        }
    }
}
