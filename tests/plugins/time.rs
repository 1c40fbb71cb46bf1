//! `time`: now, zones, and arithmetic with dates.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use toolhost::ToolResult;

use super::{assert_error, structured};
use crate::common::{self, call, load, manifest, plugin};

async fn answer(tool: &str, arguments: Value) -> ToolResult {
    let host = common::host(&["time"]).await;
    host.call(call(tool, arguments)).await
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}

#[tokio::test]
async fn now_is_the_hosts_time_in_utc_or_the_zone_asked_for() {
    for (arguments, zone, ending) in [
        (json!({}), "UTC", "+00:00"),
        (json!({"zone": null}), "UTC", "+00:00"),
        (json!({"zone": "Asia/Kolkata"}), "Asia/Kolkata", "+05:30"),
        (json!({"zone": "-08:00"}), "-08:00", "-08:00"),
    ] {
        let before = unix_now();
        let now = structured(&answer("time_now", arguments).await);
        let unix = now["unix"].as_i64().unwrap();
        assert!((before..=unix_now()).contains(&unix), "{now}");
        assert_eq!(now["zone"], zone);
        assert!(now["datetime"].as_str().unwrap().ends_with(ending), "{now}");
    }
}

#[tokio::test]
async fn the_default_zone_is_the_one_that_the_manifest_grants() {
    let mut plugin = plugin("time");
    let zone = ("TZ".to_owned(), "Asia/Tokyo".to_owned());
    plugin.permissions.env.extend([zone]);
    let host = load(manifest([plugin])).await;
    let now = structured(&host.call(call("time_now", json!({}))).await);
    assert_eq!(now["zone"], "Asia/Tokyo");
}

#[tokio::test]
async fn one_time_is_told_in_several_zones() {
    let arguments = json!({
        "datetime": "2026-07-01T14:30", "from": "Europe/Berlin", "to": ["Asia/Tokyo", "UTC"],
    });
    let converted = structured(&answer("time_convert", arguments).await);
    let moment = |datetime: &str, zone: &str| json!({"datetime": datetime, "zone": zone, "weekday": "Wednesday", "unix": 1_782_909_000});
    assert_eq!(
        converted,
        json!({
            "from": moment("2026-07-01T14:30:00+02:00", "Europe/Berlin"),
            "to": [
                moment("2026-07-01T21:30:00+09:00", "Asia/Tokyo"),
                moment("2026-07-01T12:30:00+00:00", "UTC"),
            ],
        })
    );
}

#[tokio::test]
async fn a_time_that_names_its_own_zone_needs_no_other() {
    for datetime in [
        "2026-07-01T12:30:00Z",
        "2026-07-01T14:30:00+02:00",
        "2026-07-01T14:30[Europe/Berlin]",
    ] {
        let arguments = json!({"datetime": datetime, "to": ["Asia/Tokyo"]});
        let converted = structured(&answer("time_convert", arguments).await);
        assert_eq!(converted["to"][0]["datetime"], "2026-07-01T21:30:00+09:00");
    }
}

#[tokio::test]
async fn an_hour_that_the_clocks_skip_or_repeat_is_decided_and_noted() {
    for (datetime, decided, words) in [
        (
            "2026-03-29T02:30",
            "2026-03-29T03:30:00+02:00",
            "does not exist",
        ),
        ("2026-10-25T02:30", "2026-10-25T02:30:00+02:00", "twice"),
    ] {
        let arguments = json!({"datetime": datetime, "from": "Europe/Berlin", "to": ["UTC"]});
        let converted = structured(&answer("time_convert", arguments).await);
        assert_eq!(converted["from"]["datetime"], decided);
        let note = converted["from"]["note"].as_str().expect("a note");
        assert!(note.contains(words), "{note}");
    }
}

#[tokio::test]
async fn an_unknown_zone_names_the_one_that_may_be_meant() {
    for (zone, meant) in [
        ("Europe/Berln", "Europe/Berlin"),
        ("New York", "America/New_York"),
    ] {
        for arguments in [
            json!({"datetime": "2026-07-01", "from": zone, "to": ["UTC"]}),
            json!({"datetime": "2026-07-01", "to": ["UTC", zone]}),
        ] {
            let result = answer("time_convert", arguments).await;
            assert_error(&result, "invalid-arguments", meant);
        }
    }
}

#[tokio::test]
async fn what_is_no_time_is_refused_with_what_would_be_one() {
    for datetime in [
        "tomorrow",
        "2026-02-30",
        "25:00",
        "",
        "2026-07-01T14:30:00+05:00[Europe/Berlin]",
    ] {
        let arguments = json!({"datetime": datetime, "to": ["UTC"]});
        let result = answer("time_convert", arguments).await;
        assert_error(&result, "invalid-arguments", "2026-03-01T14:30");
    }
    let nowhere = json!({"datetime": "now", "to": []});
    let result = answer("time_convert", nowhere).await;
    assert_error(&result, "invalid-arguments", "/to");
}

#[tokio::test]
async fn dates_are_added_to_by_the_calendar_and_hours_by_the_clock() {
    for (datetime, span, sum) in [
        ("2026-01-31", "1 month", "2026-02-28T00:00:00+01:00"),
        ("2024-02-29", "1 year", "2025-02-28T00:00:00+01:00"),
        ("2026-01-31", "-3 weeks", "2026-01-10T00:00:00+01:00"),
        ("2026-01-31T12:00", "P1DT12H", "2026-02-02T00:00:00+01:00"),
        // The clocks change in the night between.
        ("2026-03-28T12:00", "1 day", "2026-03-29T12:00:00+02:00"),
        ("2026-03-28T12:00", "24 hours", "2026-03-29T13:00:00+02:00"),
    ] {
        let arguments = json!({"datetime": datetime, "span": span, "zone": "Europe/Berlin"});
        let added = structured(&answer("time_add", arguments).await);
        assert_eq!(added["datetime"], sum, "{datetime} and {span}");
    }
}

#[tokio::test]
async fn a_span_that_is_none_or_leads_out_of_the_calendar_is_refused() {
    for (span, words) in [
        ("a while", "1 year 2 months"),
        ("99999999999999999999 years", "1 year 2 months"),
        ("9000 years", "9000 years"),
    ] {
        let arguments = json!({"datetime": "2026-01-31", "span": span});
        let result = answer("time_add", arguments).await;
        assert_error(&result, "invalid-arguments", words);
    }
}

#[tokio::test]
async fn the_time_between_is_told_by_the_calendar_and_in_all() {
    for (start, end, span, iso, total_days) in [
        ("2024-02-28", "2025-03-01", "1 year 1 day", "P1Y1D", 367.0),
        ("2026-01-02", "2026-01-01", "1 day ago", "-P1D", -1.0),
        ("2026-01-01", "2026-01-01", "0 seconds", "PT0S", 0.0),
        (
            "2026-06-01T00:00Z",
            "2026-06-01T12:00+09:00",
            "3 hours",
            "PT3H",
            0.125,
        ),
    ] {
        let arguments = json!({"start": start, "end": end});
        let between = structured(&answer("time_between", arguments).await);
        assert_eq!(between["span"], span);
        assert_eq!(between["iso"], iso);
        assert_eq!(between["total_days"], total_days);
        assert_eq!(between["total_hours"], total_days * 24.0);
        assert_eq!(between["total_seconds"], total_days * 86_400.0);
    }
}

#[tokio::test]
async fn the_time_between_is_told_in_the_units_asked_for() {
    for (unit, span) in [
        ("month", "12 months 1 day"),
        ("day", "367 days"),
        ("hour", "8808 hours"),
    ] {
        let arguments = json!({
            "start": "2024-02-28", "end": "2025-03-01", "largest_unit": unit,
        });
        let between = structured(&answer("time_between", arguments).await);
        assert!(
            between["span"].as_str().unwrap().starts_with(span),
            "{between}"
        );
    }
    let arguments = json!({"start": "now", "end": "now", "largest_unit": "eon"});
    let result = answer("time_between", arguments).await;
    assert_error(&result, "invalid-arguments", "/largest_unit");
}
