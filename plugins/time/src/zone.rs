//! Time zones by the names that models give.

use jiff::tz::TimeZone;
use toolhost_plugin::Error;

/// The zone of this name, or the machine's, or UTC.
pub(crate) fn named_or_default(name: Option<&str>) -> Result<TimeZone, Error> {
    match name {
        Some(name) => named(name),
        // Granted by the manifest, or not there; what a model never wrote is not its error.
        None => Ok(std::env::var("TZ")
            .ok()
            .and_then(|name| find(&name))
            .unwrap_or(TimeZone::UTC)),
    }
}

/// The zone of this name; if there is none, the error names those that may be meant.
pub(crate) fn named(name: &str) -> Result<TimeZone, Error> {
    find(name).ok_or_else(|| {
        let near = near(name);
        let hint = if near.is_empty() {
            "use an IANA name such as \"Europe/Berlin\" or an offset such as \"+02:00\"".to_owned()
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        Error::invalid_arguments(format!("unknown time zone {name:?}: {hint}"))
    })
}

fn find(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("z") {
        return Some(TimeZone::UTC);
    }
    let parser = jiff::fmt::temporal::DateTimeParser::new();
    TimeZone::get(name)
        .or_else(|_| parser.parse_time_zone(name))
        .ok()
}

/// At most five zones, the likeliest first: models know cities, and countries' zones are named by them.
fn near(name: &str) -> Vec<String> {
    let wanted = name.trim().to_lowercase().replace([' ', '-'], "_");
    let wanted_city = wanted.rsplit('/').next().unwrap_or_default();
    let mut zones: Vec<(f64, String)> = jiff::tz::db()
        .available()
        .map(|zone| {
            let zone = zone.to_string();
            let lower = zone.to_lowercase();
            let city = lower.rsplit('/').next().unwrap_or_default();
            let score =
                strsim::jaro_winkler(&lower, &wanted).max(strsim::jaro_winkler(city, wanted_city));
            (score, zone)
        })
        .filter(|(score, _)| *score > 0.85)
        .collect();
    zones.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    zones.into_iter().take(5).map(|(_, zone)| zone).collect()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn zones_are_found_by_name_and_offset() {
        for name in ["Europe/Berlin", "europe/berlin", "UTC", "+05:30", "-08"] {
            assert!(named(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        let message = |name| named(name).unwrap_err().message().to_owned();
        assert!(
            message("Europe/Berln")
                .starts_with("unknown time zone \"Europe/Berln\": did you mean Europe/Berlin")
        );
        assert!(message("New York").contains("America/New_York"));
        assert!(
            message("Middle-earth/Bree").contains("use an IANA name")
                || message("xyzzy").contains("use an IANA name")
        );
    }
}
