//! Points in time, read from what models write and told in a way that leaves no doubt.

use crate::zone;
use jiff::civil::Time;
use jiff::fmt::temporal::{DateTimeParser, Pieces};
use jiff::tz::AmbiguousOffset;
use jiff::{Timestamp, Zoned};
use toolhost_plugin::{Error, structured};

/// A point in time, as it reads in one zone.
#[structured]
pub(crate) struct Moment {
    /// RFC 3339, with the zone's offset at that time.
    pub(crate) datetime: String,
    /// The time zone.
    pub(crate) zone: String,
    pub(crate) weekday: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(crate) unix: i64,
    /// What to know about it, if there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Moment {
    pub(crate) fn of(zoned: &Zoned) -> Self {
        let offset = zoned.offset();
        let zone = zoned
            .time_zone()
            .iana_name()
            .map_or_else(|| zoned.strftime("%:z").to_string(), str::to_owned);
        let fraction = if zoned.subsec_nanosecond() == 0 {
            ""
        } else {
            "%.f"
        };
        Self {
            datetime: zoned
                .strftime(&format!("%Y-%m-%dT%H:%M:%S{fraction}%:z"))
                .to_string(),
            zone: if offset.is_zero() && zone == "+00:00" {
                "UTC".to_owned()
            } else {
                zone
            },
            weekday: zoned.strftime("%A").to_string(),
            unix: zoned.timestamp().as_second(),
            note: None,
        }
    }

    pub(crate) fn with_note(mut self, note: Option<String>) -> Self {
        self.note = note;
        self
    }
}

/// The current second: what a model does with the time takes longer than what is cut off.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Reads a point in time, in the zone that it names itself or else in the given one. The note says what had to be decided.
pub(crate) fn parse(
    text: &str,
    zone: Option<&str>,
    argument: &str,
) -> Result<(Zoned, Option<String>), Error> {
    let text = text.trim();
    let default_zone = zone::named_or_default(zone)?;
    if text.eq_ignore_ascii_case("now") {
        return Ok((now().to_zoned(default_zone), None));
    }
    let wrong = |error: jiff::Error| {
        Error::invalid_arguments(format!(
            "{argument} {text:?} is not a date or time: {error}. Use a form such as \"2026-03-01\", \"2026-03-01T14:30\", \
             \"2026-03-01T14:30:00+01:00\", \"14:30\" or \"now\""
        ))
    };

    let pieces = match Pieces::parse(text) {
        Ok(pieces) => pieces,
        Err(error) => {
            let time = DateTimeParser::new()
                .parse_time(text)
                .map_err(|_| wrong(error))?;
            let today = now().to_zoned(default_zone.clone()).date();
            return resolve(today.to_datetime(time), default_zone);
        }
    };
    let civil = pieces
        .date()
        .to_datetime(pieces.time().unwrap_or(Time::midnight()));
    if pieces.time_zone_annotation().is_some() {
        // Both an offset and a zone: jiff checks that they agree.
        if pieces.to_numeric_offset().is_some() {
            return Ok((
                DateTimeParser::new().parse_zoned(text).map_err(wrong)?,
                None,
            ));
        }
        let named = pieces
            .to_time_zone()
            .map_err(wrong)?
            .unwrap_or(default_zone);
        return resolve(civil, named);
    }
    let Some(offset) = pieces.to_numeric_offset() else {
        return resolve(civil, default_zone);
    };
    let timestamp = offset.to_timestamp(civil).map_err(wrong)?;
    // A bare Z or offset says when; a zone that is given says how to show it.
    let shown_in = if zone.is_some() {
        default_zone
    } else {
        offset.to_time_zone()
    };
    Ok((timestamp.to_zoned(shown_in), None))
}

/// A wall clock's time in a zone. Twice a year it is not there, or there twice.
fn resolve(
    civil: jiff::civil::DateTime,
    zone: jiff::tz::TimeZone,
) -> Result<(Zoned, Option<String>), Error> {
    let ambiguous = zone.to_ambiguous_zoned(civil);
    let note = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => Some(format!(
            "{civil} does not exist there because of a clock change; this is the time after the gap"
        )),
        AmbiguousOffset::Fold { .. } => Some(format!(
            "{civil} occurs twice there because of a clock change; this is the first"
        )),
    };
    let zoned = ambiguous
        .compatible()
        .map_err(|error| Error::invalid_arguments(error.to_string()))?;
    Ok((zoned, note))
}

#[cfg(test)]
mod tests {
    use super::{Moment, parse};

    fn read(text: &str, zone: Option<&str>) -> String {
        Moment::of(&parse(text, zone, "datetime").unwrap().0).datetime
    }

    #[test]
    fn what_models_write_is_read() {
        assert_eq!(read("2026-03-01", None), "2026-03-01T00:00:00+00:00");
        assert_eq!(
            read("2026-07-01 14:30", Some("Europe/Berlin")),
            "2026-07-01T14:30:00+02:00"
        );
        assert_eq!(
            read("2026-07-01T14:30:00Z", Some("Europe/Berlin")),
            "2026-07-01T16:30:00+02:00"
        );
        assert_eq!(
            read("2026-07-01T14:30:00.25-04:00", None),
            "2026-07-01T14:30:00.25-04:00"
        );
        assert_eq!(
            read("2026-07-01T14:30[Asia/Tokyo]", None),
            "2026-07-01T14:30:00+09:00"
        );
        assert!(parse("14:30", None, "datetime").is_ok());
        assert!(parse("tomorrow", None, "datetime").is_err());
        assert!(parse("2026-02-30", None, "datetime").is_err());
    }

    #[test]
    fn times_that_clocks_skip_or_repeat_are_noted() {
        let (gap, note) = parse("2026-03-29T02:30", Some("Europe/Berlin"), "datetime").unwrap();
        assert_eq!(Moment::of(&gap).datetime, "2026-03-29T03:30:00+02:00");
        assert!(note.unwrap().contains("skipped"));
        assert!(
            parse("2026-10-25T02:30", Some("Europe/Berlin"), "datetime")
                .unwrap()
                .1
                .unwrap()
                .contains("twice")
        );
    }
}
