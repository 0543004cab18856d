//! Dates as XAPI writes and reads them (`20240131T12:34:56Z`), in whole seconds since 1970, UTC.

use std::time::{SystemTime, UNIX_EPOCH};

pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs() as i64)
}

/// The basic form with seconds resolution: the only one that a server sends.
pub fn basic(at: i64) -> String {
    let (days, seconds) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}{month:02}{day:02}T{:02}:{:02}:{:02}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Reads the basic form and dashed ISO 8601; a zone is taken as an offset, none as UTC.
pub fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.trim().split_once(['T', ' '])?;
    let date: String = date.chars().filter(|c| *c != '-').collect();
    let number = |text: &str| text.parse::<i64>().ok();
    let (year, month, day) = (
        number(date.get(..4)?)?,
        number(date.get(4..6)?)?,
        number(date.get(6..8)?)?,
    );
    let end = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(end);
    let clock: String = time.split('.').next()?.chars().filter(|c| *c != ':').collect();
    let part = |range: std::ops::Range<usize>| clock.get(range).map_or(Some(0), number);
    let (hour, minute, second) = (part(0..2)?, part(2..4)?, part(4..6)?);
    let offset = match zone.chars().next() {
        Some(sign @ ('+' | '-')) => {
            let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
            let hours = number(digits.get(..2)?)?;
            let minutes = digits.get(2..4).map_or(Some(0), number)?;
            (hours * 3600 + minutes * 60) * if sign == '-' { -1 } else { 1 }
        }
        _ => 0,
    };
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Howard Hinnant's days-from-civil algorithm.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_the_basic_form() {
        assert_eq!(basic(0), "19700101T00:00:00Z");
        assert_eq!(basic(1_706_704_496), "20240131T12:34:56Z");
        assert_eq!(parse("20240131T12:34:56Z"), Some(1_706_704_496));
    }

    #[test]
    fn reads_dashed_dates_with_a_zone() {
        assert_eq!(parse("2024-01-31T13:34:56+01:00"), Some(1_706_704_496));
        assert_eq!(parse("2024-01-31T12:34:56.789Z"), Some(1_706_704_496));
        assert_eq!(parse("yesterday"), None);
    }
}
