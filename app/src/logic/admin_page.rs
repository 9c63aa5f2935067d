//! The pages of administration and their addresses.

/// A page of administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminPage {
    /// What is loaded, what served before, and what could serve next.
    Models,
    /// Jobs: long work that plugins offer.
    Training,
    /// What is installed.
    Plugins,
}

impl AdminPage {
    /// Every page, in the order of the navigation.
    pub const ALL: [Self; 3] = [Self::Models, Self::Training, Self::Plugins];

    /// Its name in addresses.
    fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Training => "training",
            Self::Plugins => "plugins",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Models => "Models",
            Self::Training => "Training",
            Self::Plugins => "Plugins",
        }
    }
}

/// A place in administration: a page, and perhaps one thing on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The page.
    pub page: AdminPage,
    /// Id of the thing: of a job.
    pub item: Option<String>,
}

impl Place {
    /// The place of an address; one that no page has leads to the first page.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let mut names = path.split('/').filter(|name| !name.is_empty()).skip(1);
        let name = names.next().unwrap_or_default();
        let page = AdminPage::ALL.into_iter().find(|page| page.name() == name).unwrap_or(AdminPage::Models);
        let item = names.next().filter(|_| page == AdminPage::Training).map(str::to_owned);
        Self { page, item }
    }

    /// The place of a job.
    #[must_use]
    pub fn job(id: String) -> Self {
        Self { page: AdminPage::Training, item: Some(id) }
    }

    /// Its address.
    #[must_use]
    pub fn path(&self) -> String {
        let page = self.page.name();
        match &self.item {
            Some(item) => format!("/admin/{page}/{item}"),
            None => format!("/admin/{page}"),
        }
    }
}

impl From<AdminPage> for Place {
    fn from(page: AdminPage) -> Self {
        Self { page, item: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_at_its_address() {
        for page in AdminPage::ALL {
            let place = Place::from(page);
            assert_eq!(Place::of(&place.path()), place);
            assert_eq!(Place::of(&format!("{}/", place.path())), place);
        }
        for path in ["/admin", "/admin/", "/admin/unheard-of", "/admin/unheard-of/thing"] {
            assert_eq!(Place::of(path), AdminPage::Models.into(), "{path}");
        }
    }

    #[test]
    fn a_job_has_an_address_of_its_own() {
        let place = Place::job("0193-a".to_owned());
        assert_eq!(place.path(), "/admin/training/0193-a");
        assert_eq!(Place::of(&place.path()), place);
        assert_eq!(Place::of("/admin/plugins/0193-a"), AdminPage::Plugins.into());
    }
}
