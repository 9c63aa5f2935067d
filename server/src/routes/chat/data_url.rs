//! `data:` URLs and base64 as clients send them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::ApiError;

/// Padding may be there or not: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// MIME type (may be empty) and bytes of a `data:` URL.
pub(super) fn parse(url: &str) -> Result<(String, Vec<u8>), ApiError> {
    let Some(rest) = strip_scheme(url) else {
        let words = "only data: URLs are taken; this server fetches nothing from other places";
        return Err(ApiError { code: Some("remote_url"), ..ApiError::invalid(None, words) });
    };
    let (head, data) = rest
        .split_once(',')
        .ok_or_else(|| ApiError::invalid(None, "a data: URL has a comma before its data"))?;
    let mime = head
        .strip_suffix(";base64")
        .ok_or_else(|| ApiError::invalid(None, "the data of a data: URL must be base64"))?;
    Ok((mime.trim().to_ascii_lowercase(), decode(data)?))
}

fn strip_scheme(url: &str) -> Option<&str> {
    let url = url.trim_start();
    url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).map(|_| &url[5..])
}

/// Bytes of base64, white space ignored.
pub(super) fn decode(data: &str) -> Result<Vec<u8>, ApiError> {
    let packed: Vec<u8> = data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes =
        BASE64.decode(packed).map_err(|error| ApiError::invalid(None, format!("not base64: {error}")))?;
    if bytes.is_empty() {
        return Err(ApiError::invalid(None, "the data is empty"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_with_and_without_padding() {
        assert_eq!(parse("data:image/PNG;base64,aGk=").unwrap(), ("image/png".to_owned(), b"hi".to_vec()));
        assert_eq!(parse("DATA:;base64,aG\nk").unwrap(), (String::new(), b"hi".to_vec()));
    }

    #[test]
    fn everything_else_is_refused() {
        for url in [
            "https://example.org/cat.png",
            "file:///etc/passwd",
            "data:,hi",
            "data:;base64",
            "data:;base64,?",
            "data:;base64,",
            "é",
        ] {
            assert_eq!(parse(url).unwrap_err().status, 400, "{url}");
        }
    }
}
