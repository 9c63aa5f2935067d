//! The pages of administration and their addresses.

/// A page of administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminPage {
    /// What is loaded.
    Models,
    /// What is installed.
    Plugins,
}

impl AdminPage {
    /// Every page, in the order of the navigation.
    pub const ALL: [Self; 2] = [Self::Models, Self::Plugins];

    /// The page of an address; `None` outside administration. An address in it that no page has leads to the first one.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/admin")?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        let path = path.trim_end_matches('/');
        Some(Self::ALL.into_iter().find(|page| page.path() == path).unwrap_or(Self::Models))
    }

    /// The page's address.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Models => "/admin/models",
            Self::Plugins => "/admin/plugins",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Models => "Models",
            Self::Plugins => "Plugins",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_at_its_address() {
        for page in AdminPage::ALL {
            assert_eq!(AdminPage::of(page.path()), Some(page));
            assert_eq!(AdminPage::of(&format!("{}/", page.path())), Some(page));
        }
        assert_eq!(AdminPage::of("/admin"), Some(AdminPage::Models));
        assert_eq!(AdminPage::of("/admin/unheard-of"), Some(AdminPage::Models));
        for other in ["/", "/c/1", "/administer", "/c/admin"] {
            assert_eq!(AdminPage::of(other), None, "{other}");
        }
    }
}
