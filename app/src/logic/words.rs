//! Numbers in words for people.

/// Milliseconds as `350 ms`, `2.4 s` or `1 min 05 s`.
#[must_use]
pub fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min {:02} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

/// A time that nobody knows exactly: `less than a minute`, `about 12 min`, `about 3 h 20 min`, `about 2 days`.
#[must_use]
pub fn rough_duration(milliseconds: u64) -> String {
    let minutes = milliseconds.div_ceil(60_000);
    match minutes {
        0..=1 => "less than a minute".to_owned(),
        2..60 => format!("about {minutes} min"),
        60..2_880 => format!("about {} h {} min", minutes / 60, minutes % 60),
        _ => format!("about {} days", minutes / 1_440),
    }
}

/// Seconds of a recording as `0:07`.
#[must_use]
pub fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Bytes as `820 B`, `12 KB`, `3.4 MB` or `2.1 GB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} KB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

/// A large number as `134.5 million` or `2.7 billion`.
#[must_use]
pub fn large(number: u64) -> String {
    match number {
        0..1_000_000 => number.to_string(),
        1_000_000..1_000_000_000 => {
            format!("{}.{} million", number / 1_000_000, number % 1_000_000 / 100_000)
        }
        _ => format!("{}.{} billion", number / 1_000_000_000, number % 1_000_000_000 / 100_000_000),
    }
}

/// `1 position`, `49 positions`.
#[must_use]
pub fn count(number: u32, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Heading of a list by age in whole local days.
#[must_use]
pub fn age(days: i64) -> &'static str {
    match days {
        ..=0 => "Today",
        1 => "Yesterday",
        2..=7 => "Last seven days",
        _ => "Earlier",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration(350), "350 ms");
        assert_eq!(duration(2_449), "2.4 s");
        assert_eq!(duration(65_900), "1 min 05 s");
        assert_eq!(clock(67), "1:07");
    }

    #[test]
    fn rough_durations() {
        let shown = [0, 59_000, 61_000, 3_540_000, 12_000_000, 200_000_000].map(rough_duration);
        let words = [
            "less than a minute",
            "less than a minute",
            "about 2 min",
            "about 59 min",
            "about 3 h 20 min",
            "about 2 days",
        ];
        assert_eq!(shown, words);
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!(size(820), "820 B");
        assert_eq!(size(12_900), "12 KB");
        assert_eq!(size(3_450_000), "3.4 MB");
        assert_eq!(size(2_147_483_648), "2.1 GB");
        assert_eq!(large(999), "999");
        assert_eq!(large(134_515_008), "134.5 million");
        assert_eq!(large(2_779_683_840), "2.7 billion");
        assert_eq!(count(1, "position"), "1 position");
        assert_eq!(count(49, "position"), "49 positions");
    }

    #[test]
    fn ages() {
        assert_eq!([age(0), age(1), age(3), age(30)], ["Today", "Yesterday", "Last seven days", "Earlier"]);
    }
}
