//! The validity period of a certificate.

use std::time::SystemTime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is wrong with a certificate at this time, as the end of a sentence that begins with it.
pub(super) fn problem(certificate: &[u8], now: SystemTime) -> Option<String> {
    let (from, until) = validity(certificate)?;
    let day = |time| humantime::format_rfc3339_seconds(time);
    if now > until {
        return Some(format!("expired on {}", day(until)));
    }
    (now < from).then(|| format!("is not valid before {}", day(from)))
}

/// The first and the last moment.
fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, times, _) = element(fields)? else {
        return None;
    };
    let (of_from, from, rest) = element(times)?;
    let (of_until, until, _) = element(rest)?;
    Some((time(of_from, from)?, time(of_until, until)?))
}

/// The first DER element: its tag, its content, and the rest.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            if length.len() > size_of::<u32>() {
                return None;
            }
            let length = length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = match tag {
        UTC_TIME => {
            // RFC 5280: from 1950 to 2049.
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, length| digits.get(from..from + length);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 2)?,
        part(6, 2)?,
        part(8, 2)?,
        part(10, 2)?,
        part(12, 2)?
    );
    humantime::parse_rfc3339(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_certificate_says_when_it_is_valid() {
        for year in [2020, 2060] {
            let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(year - 1, 12, 31);
            params.not_after = rcgen::date_time_ymd(year, 1, 2);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let at = |day: &str| humantime::parse_rfc3339(&format!("{day}T12:00:00Z")).unwrap();
            let said = |day: &str| problem(certificate.der(), at(day));
            assert_eq!(said(&format!("{year}-01-01")), None);
            let expired = format!("expired on {year}-01-02T00:00:00Z");
            assert_eq!(said(&format!("{year}-01-03")), Some(expired));
            let early = format!("is not valid before {}-12-31T00:00:00Z", year - 1);
            assert_eq!(said(&format!("{}-12-30", year - 1)), Some(early));
        }
    }

    #[test]
    fn what_is_no_certificate_is_passed_over() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\xa0",
            b"\x30\x80",
        ] {
            assert_eq!(problem(bytes, now), None);
        }
    }
}
