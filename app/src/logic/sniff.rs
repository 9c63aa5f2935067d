//! What a file is, by its first bytes: names and the browser's guesses lie.

/// Bytes at the start of a file that [`mime`] looks at.
pub const HEAD_BYTES: usize = 32;

/// MIME type by the file's signature, for the kinds people attach; `None` when the bytes do not tell.
#[must_use]
pub fn mime(head: &[u8]) -> Option<&'static str> {
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"\xFF\xD8\xFF", "image/jpeg"),
        (b"\x89PNG\r\n\x1A\n", "image/png"),
        (b"GIF8", "image/gif"),
        (b"BM", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"ID3", "audio/mpeg"),
        (b"\x1A\x45\xDF\xA3", "video/webm"),
        (b"%PDF-", "application/pdf"),
    ];
    if let Some((_, mime)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return Some(mime);
    }
    match (head.get(..4), head.get(4..8), head.get(8..12)) {
        (Some(b"RIFF"), _, Some(b"WEBP")) => Some("image/webp"),
        (Some(b"RIFF"), _, Some(b"WAVE")) => Some("audio/wav"),
        (_, Some(b"ftyp"), Some(brand)) => Some(iso_media(brand)),
        _ if matches!(head, [0xFF, second, ..] if second & 0xE6 == 0xE2) => Some("audio/mpeg"),
        _ => None,
    }
}

/// ISO base media files by their major brand (ISO/IEC 14496-12 and 23008-12).
fn iso_media(brand: &[u8]) -> &'static str {
    match brand {
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => "image/heic",
        b"M4A " | b"M4B " => "audio/mp4",
        _ => "video/mp4",
    }
}

/// Whether a MIME type is among accepted ones; the part after `/` of an accepted type may be `*`.
#[must_use]
pub fn is_accepted(accept: &[String], mime: &str) -> bool {
    let mime = mime.split(';').next().unwrap_or(mime).trim();
    accept.iter().any(|accepted| match accepted.strip_suffix('*') {
        Some(prefix) => prefix == "*/" || (prefix.ends_with('/') && mime.starts_with(prefix)),
        None => accepted.eq_ignore_ascii_case(mime) || same_type(accepted, mime),
    })
}

/// Browsers call the same types by different names.
fn same_type(one: &str, other: &str) -> bool {
    const ALIASES: &[&[&str]] = &[
        &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
        &["audio/mpeg", "audio/mp3"],
        &["audio/mp4", "audio/x-m4a", "audio/m4a"],
        &["audio/flac", "audio/x-flac"],
        &["image/jpeg", "image/jpg"],
        &["image/heic", "image/heif"],
    ];
    ALIASES.iter().any(|names| names.contains(&one) && names.contains(&other))
}

/// A type's name for people: `HEIC`, `WEBM`.
#[must_use]
pub fn name(mime: &str) -> String {
    let subtype = mime.rsplit('/').next().unwrap_or(mime);
    subtype.trim_start_matches("x-").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_tell() {
        assert_eq!(mime(b"\xFF\xD8\xFF\xE0\0\x10JFIF"), Some("image/jpeg"));
        assert_eq!(mime(b"\x89PNG\r\n\x1A\n...."), Some("image/png"));
        assert_eq!(mime(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(mime(b"RIFF\0\0\0\0WAVEfmt "), Some("audio/wav"));
        assert_eq!(mime(b"\0\0\0\x18ftypheic\0\0\0\0"), Some("image/heic"));
        assert_eq!(mime(b"\0\0\0\x1Cftypavif\0\0\0\0"), Some("image/avif"));
        assert_eq!(mime(b"\xFF\xFB\x90\x64"), Some("audio/mpeg"));
        assert_eq!(mime(b"a,b,c\n1,2,3\n"), None);
        assert_eq!(mime(b""), None);
    }

    #[test]
    fn accepted_types_may_be_wild() {
        let accept = ["image/*".to_owned(), "text/csv".to_owned(), "audio/wav".to_owned()];
        assert!(is_accepted(&accept, "image/webp"));
        assert!(is_accepted(&accept, "text/csv; charset=utf-8"));
        assert!(is_accepted(&accept, "audio/x-wav"));
        assert!(!is_accepted(&accept, "text/plain"));
        assert!(!is_accepted(&accept, "imagery/webp"));
        assert!(is_accepted(&["*/*".to_owned()], "application/pdf"));
        assert!(!is_accepted(&[], "image/png"));
    }

    #[test]
    fn names_for_people() {
        assert_eq!(name("image/heic"), "HEIC");
        assert_eq!(name("audio/x-flac"), "FLAC");
    }
}
