//! Cookies of a request.

use axum::http::{HeaderMap, header};

/// The value of the cookie called `name`. HTTP/2 may send each cookie in a header of its own, so all of them are read.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_is_found_in_one_header_or_in_many() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; ab=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=3=4"));
        assert_eq!(find(&headers, "a"), Some("1"));
        assert_eq!(find(&headers, "ab"), Some("2"));
        assert_eq!(find(&headers, "b"), Some("3=4"));
        assert_eq!(find(&headers, "c"), None);
    }
}
