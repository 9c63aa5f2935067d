//! The name that the server gives to a file.

/// The quoted `filename` of a `Content-Disposition`.
#[must_use]
pub fn file_name(disposition: &str) -> Option<&str> {
    let (_, rest) = disposition.split_once("filename=\"")?;
    rest.split_once('"').map(|(name, _)| name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_between_the_quotes() {
        assert_eq!(file_name("attachment; filename=\"stripes.json\""), Some("stripes.json"));
        assert_eq!(file_name("attachment; filename=\"stripes.json\"; size=3"), Some("stripes.json"));
    }

    #[test]
    fn no_name_is_none() {
        for header in ["", "attachment", "attachment; filename=\"\"", "attachment; filename=\"open"] {
            assert_eq!(file_name(header), None, "{header}");
        }
    }
}
