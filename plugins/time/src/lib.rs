//! What time it is, here and elsewhere, and how much lies between.

mod moment;
mod zone;

use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use jiff::{Span, SpanTotal, Unit, Zoned};
use moment::Moment;
use toolhost_plugin::{Error, Json, arguments, plugin, structured, tool};

plugin!(time_now, time_convert, time_add, time_between);

#[arguments]
#[serde(deny_unknown_fields)]
struct Now {
    /// IANA time zone such as "Europe/Berlin", or an offset such as "+02:00". Default: the machine's zone if known, else UTC.
    zone: Option<String>,
}

/// Returns the current date, time and weekday in a time zone.
#[tool(title = "Current time", read_only, closed_world)]
fn time_now(args: Now) -> Result<Json<Moment>, Error> {
    let zone = zone::named_or_default(args.zone.as_deref())?;
    Ok(Json(Moment::of(&moment::now().to_zoned(zone))))
}

#[arguments]
#[serde(deny_unknown_fields)]
struct Convert {
    /// ISO 8601 such as "2026-03-01T14:30" or "2026-03-01T14:30:00Z", a time alone such as "14:30" (then today), or "now".
    datetime: String,
    /// Zone of `datetime`, such as "America/New_York", if `datetime` does not state one. Default: the machine's zone or UTC.
    from: Option<String>,
    /// Zones to convert to, such as ["Asia/Tokyo", "UTC"].
    #[schemars(length(min = 1, max = 50))]
    to: Vec<String>,
}

#[structured]
struct Converted {
    from: Moment,
    to: Vec<Moment>,
}

/// Converts a date and time from one time zone to others, accounting for daylight saving time.
#[tool(
    title = "Convert between time zones",
    read_only,
    idempotent,
    closed_world
)]
fn time_convert(args: Convert) -> Result<Json<Converted>, Error> {
    let (zoned, note) = moment::parse(&args.datetime, args.from.as_deref(), "datetime")?;
    let mut to = Vec::with_capacity(args.to.len());
    for name in &args.to {
        to.push(Moment::of(&zoned.with_time_zone(zone::named(name)?)));
    }
    Ok(Json(Converted {
        from: Moment::of(&zoned).with_note(note),
        to,
    }))
}

#[arguments]
#[serde(deny_unknown_fields)]
struct Add {
    /// ISO 8601 such as "2026-01-31" or "2026-01-31T14:30+01:00", a time alone (then today), or "now".
    datetime: String,
    /// Span to add, such as "1 month 2 days", "90 minutes" or "P1M2DT3H"; a leading minus subtracts it: "-3 weeks".
    span: String,
    /// Zone of `datetime`, if `datetime` does not state one. Default: the machine's zone or UTC.
    zone: Option<String>,
}

/// Adds a time span to a date, or subtracts one. Years, months, weeks and days follow the calendar: one month after January 31
/// is the last day of February, and a day stays a day across daylight saving changes. Hours and smaller units are exact.
#[tool(title = "Add to a date", read_only, idempotent, closed_world)]
fn time_add(args: Add) -> Result<Json<Moment>, Error> {
    let (zoned, note) = moment::parse(&args.datetime, args.zone.as_deref(), "datetime")?;
    let sum = zoned.checked_add(span(&args.span)?).map_err(|error| {
        Error::invalid_arguments(format!("cannot add {:?}: {error}", args.span))
    })?;
    Ok(Json(Moment::of(&sum).with_note(note)))
}

fn span(text: &str) -> Result<Span, Error> {
    // People and models write lists of units in more ways than the format knows.
    let plain = text.trim().trim_start_matches('+').replace(" and ", " ");
    plain.parse().map_err(|error| {
        Error::invalid_arguments(format!(
            "invalid span {text:?}: {error}. Use a form such as \"1 year 2 months\", \"-36 hours\" or \"P1DT12H\""
        ))
    })
}

#[arguments]
#[serde(deny_unknown_fields)]
struct Between {
    /// ISO 8601 such as "2026-01-31" or "2026-01-31T14:30+01:00", a time alone (then today), or "now".
    start: String,
    /// End, in the same forms as `start`.
    end: String,
    /// Zone of `start` and `end`, if they do not state one. Default: the machine's zone or UTC.
    zone: Option<String>,
    /// Largest unit of the span. Default: "year".
    largest_unit: Option<LargestUnit>,
}

#[arguments]
#[serde(rename_all = "lowercase")]
enum LargestUnit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

#[structured]
struct Difference {
    /// Difference by the calendar, negative if `end` is before `start`.
    span: String,
    /// The same difference in ISO 8601.
    iso: String,
    /// Total in days of 24 hours.
    total_days: f64,
    /// Total in hours.
    total_hours: f64,
    /// Total in seconds.
    total_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Computes the time between two dates or times: by the calendar (years, months, days, …) and in total days, hours and
/// seconds.
#[tool(title = "Time between", read_only, idempotent, closed_world)]
fn time_between(args: Between) -> Result<Json<Difference>, Error> {
    let (start, start_note) = moment::parse(&args.start, args.zone.as_deref(), "start")?;
    let (end, end_note) = moment::parse(&args.end, args.zone.as_deref(), "end")?;
    let unit = match args.largest_unit {
        None | Some(LargestUnit::Year) => Unit::Year,
        Some(LargestUnit::Month) => Unit::Month,
        Some(LargestUnit::Week) => Unit::Week,
        Some(LargestUnit::Day) => Unit::Day,
        Some(LargestUnit::Hour) => Unit::Hour,
        Some(LargestUnit::Minute) => Unit::Minute,
        Some(LargestUnit::Second) => Unit::Second,
    };
    Ok(Json(difference(
        &start,
        &end,
        unit,
        start_note.or(end_note),
    )?))
}

fn difference(
    start: &Zoned,
    end: &Zoned,
    unit: Unit,
    note: Option<String>,
) -> Result<Difference, Error> {
    // By the calendar of one zone: the start's, for two zones have no common days.
    let span = start.until((unit, &end.with_time_zone(start.time_zone().clone())))?;
    let exact = Span::new()
        .try_nanoseconds(0)?
        .checked_add(start.duration_until(end))?;
    let total = |unit| exact.total(SpanTotal::from(unit).days_are_24_hours());
    let printer = SpanPrinter::new()
        .designator(Designator::Verbose)
        .spacing(Spacing::BetweenUnitsAndDesignators);
    Ok(Difference {
        span: printer.span_to_string(&span),
        iso: span.to_string(),
        total_days: total(Unit::Day)?,
        total_hours: total(Unit::Hour)?,
        total_seconds: total(Unit::Second)?,
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(start: &str, end: &str) -> Difference {
        let args = Between {
            start: start.into(),
            end: end.into(),
            zone: None,
            largest_unit: None,
        };
        time_between(args).unwrap().0
    }

    #[test]
    fn differences_follow_the_calendar_and_totals_do_not() {
        let leap = between("2024-02-28", "2025-03-01");
        assert_eq!(
            (leap.span.as_str(), leap.iso.as_str(), leap.total_days),
            ("1 year 1 day", "P1Y1D", 367.0)
        );
        // A day of 23 hours is a day.
        let spring = between(
            "2026-03-28T12:00[Europe/Berlin]",
            "2026-03-29T12:00[Europe/Berlin]",
        );
        assert_eq!((spring.span.as_str(), spring.total_hours), ("1 day", 23.0));
        assert_eq!(between("2026-01-02", "2026-01-01").iso, "-P1D");
    }

    #[test]
    fn a_month_after_the_last_of_january_is_the_last_of_february() {
        let add = |span: &str| {
            time_add(Add {
                datetime: "2026-01-31".into(),
                span: span.into(),
                zone: None,
            })
            .map(|sum| sum.0.datetime)
        };
        assert_eq!(add("1 month").unwrap(), "2026-02-28T00:00:00+00:00");
        assert_eq!(
            add("-1 day and 2 hours").unwrap(),
            "2026-01-29T22:00:00+00:00"
        );
        assert!(add("a while").is_err());
    }
}
