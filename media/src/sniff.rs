//! Recognises files by their first bytes, since names and declared types are often wrong.

/// Media types that announce themselves in their first bytes; the longer prefix comes first where two overlap.
const PREFIXES: &[(&[u8], &str)] = &[
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\xff\x0a", "image/jxl"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"caff", "audio/x-caf"),
    (b"\x1a\x45\xdf\xa3", "audio/webm"),
];

/// The media type of `bytes` by content, for pictures and sounds.
///
/// Recognises what this crate decodes (JPEG, PNG, WebP, WAV) and, so that refusals can name it, what people often
/// send otherwise: HEIC, AVIF, GIF, BMP, TIFF, JPEG XL, MP3, AAC, Ogg, WebM, M4A/MP4, FLAC, AIFF, AMR and CAF.
/// Containers that may hold sound alone (Ogg, WebM) are reported as audio. `None` is anything else.
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    PREFIXES
        .iter()
        .find(|(prefix, _)| bytes.starts_with(prefix))
        .map(|&(_, mime)| mime)
        .or_else(|| sniff_riff(bytes))
        .or_else(|| sniff_iso_media(bytes))
        .or_else(|| sniff_mpeg_frame(bytes))
        .or_else(|| is_bmp(bytes).then_some("image/bmp"))
}

/// The four bytes at `at`, if there are that many.
fn tag(bytes: &[u8], at: usize) -> Option<&[u8]> {
    bytes.get(at..at + 4)
}

/// Files of the RIFF and IFF families: a form, a length, then what kind of form.
fn sniff_riff(bytes: &[u8]) -> Option<&'static str> {
    match (tag(bytes, 0)?, tag(bytes, 8)?) {
        (b"RIFF", b"WEBP") => Some("image/webp"),
        (b"RIFF" | b"RF64", b"WAVE") => Some("audio/wav"),
        (b"FORM", b"AIFF" | b"AIFC") => Some("audio/aiff"),
        _ => None,
    }
}

/// ISO base media files (ISO/IEC 14496-12): the brands of the leading `ftyp` box tell pictures from sound.
fn sniff_iso_media(bytes: &[u8]) -> Option<&'static str> {
    if tag(bytes, 4)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(tag(bytes, 0)?.try_into().ok()?) as usize;
    let brands = bytes.get(8..length.clamp(12, 256).min(bytes.len()))?;
    // The major brand, then (after the version) the compatible ones.
    let any = |wanted: &[&[u8]]| brands.chunks_exact(4).any(|brand| wanted.contains(&brand));
    if any(&[b"avif", b"avis"]) {
        Some("image/avif")
    } else if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        Some("image/heic")
    } else if any(&[b"M4A ", b"M4B "]) {
        Some("audio/mp4")
    } else {
        Some("video/mp4")
    }
}

/// MPEG audio without a tag before it: a frame header with its eleven sync bits and no reserved value.
fn sniff_mpeg_frame(bytes: &[u8]) -> Option<&'static str> {
    let [first, second, third, ..] = *bytes else { return None };
    if first != 0xff || second & 0xe0 != 0xe0 {
        return None;
    }
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    let (bitrate, rate) = (third >> 4, third >> 2 & 3);
    if version >= 2 && layer == 0 && second & 0xf0 == 0xf0 {
        return Some("audio/aac");
    }
    (version != 1 && layer != 0 && bitrate != 15 && rate != 3).then_some("audio/mpeg")
}

/// `BM` alone is too short a mark: the reserved words must be zero and the header a known size as well.
fn is_bmp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BM")
        && tag(bytes, 6) == Some(&[0; 4])
        && tag(bytes, 14).is_some_and(|size| matches!(size, [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// What people call a media type that [`sniff`] reports.
pub(crate) fn common_name(mime: &str) -> &str {
    match mime {
        "image/jpeg" => "JPEG",
        "image/png" => "PNG",
        "image/webp" => "WebP",
        "image/gif" => "GIF",
        "image/tiff" => "TIFF",
        "image/bmp" => "BMP",
        "image/jxl" => "JPEG XL",
        "image/heic" => "HEIC",
        "image/avif" => "AVIF",
        "audio/wav" => "WAV",
        "audio/ogg" => "Ogg",
        "audio/webm" => "WebM",
        "audio/mp4" => "M4A",
        "video/mp4" => "MP4",
        "audio/mpeg" => "MP3",
        "audio/aac" => "AAC",
        "audio/flac" => "FLAC",
        "audio/aiff" => "AIFF",
        "audio/amr" => "AMR",
        "audio/x-caf" => "CAF",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::sniff;

    #[test]
    fn every_type_is_recognised_by_its_bytes() {
        let cases: &[(&[u8], &str)] = &[
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"GIF89a\x01\0\x01\0", "image/gif"),
            (b"II*\0\x08\0\0\0", "image/tiff"),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "image/bmp"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "image/avif"),
            // A generic major brand: the compatible ones decide.
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image/avif"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
            (b"RF64\xff\xff\xff\xffWAVEds64", "audio/wav"),
            (b"OggS\0\x02", "audio/ogg"),
            (b"\x1a\x45\xdf\xa3\x01\0", "audio/webm"),
            (b"\0\0\0\x1cftypM4A \0\0\x02\0M4A isomiso2", "audio/mp4"),
            (b"\0\0\0\x18ftypisom\0\0\x02\0isommp41", "video/mp4"),
            (b"ID3\x04\0\0", "audio/mpeg"),
            (b"\xff\xfb\x90\x64", "audio/mpeg"),
            (b"\xff\xf1\x50\x80", "audio/aac"),
            (b"fLaC\0\0\0\x22", "audio/flac"),
            (b"FORM\0\0\0\x20AIFFCOMM", "audio/aiff"),
        ];
        for &(bytes, mime) in cases {
            assert_eq!(sniff(bytes), Some(mime), "{bytes:?}");
        }
    }

    #[test]
    fn what_only_resembles_a_type_is_not_taken_for_it() {
        for bytes in [
            &b""[..],
            b"\xff",
            b"\xff\xff\xff\xff",
            b"BMW is a maker of cars",
            b"RIFF\0\0\0\0AVI ",
            b"hello, world",
        ] {
            assert_eq!(sniff(bytes), None, "{bytes:?}");
        }
    }
}
