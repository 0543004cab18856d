//! Numbers and times as people read them: binary units with at most three digits, relative times.

/// `7.45 GiB`, `512 MiB`, `0 B`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = count as f64;
    let mut unit = 0;
    // 999.5 would be shown with four digits.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), UNITS[unit])
}

fn three_digits(value: f64) -> String {
    let decimals = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `12 s`, `5 min`, `3 h`, `2 d`, with the next smaller unit where it says something.
pub fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 if !seconds.is_multiple_of(60) => format!("{} min {} s", seconds / 60, seconds % 60),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 if !(seconds / 60).is_multiple_of(60) => {
            format!("{} h {} min", seconds / 3600, seconds / 60 % 60)
        }
        3600..86_400 => format!("{} h", seconds / 3600),
        86_400..864_000 if !(seconds / 3600).is_multiple_of(24) => {
            format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24)
        }
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `5 min ago`; `now` and `then` in ms since epoch.
pub fn ago(now: f64, then: f64) -> String {
    let seconds = (now - then) / 1000.0;
    if seconds < 2.0 {
        "just now".to_owned()
    } else {
        format!("{} ago", coarse(seconds))
    }
}

/// One unit only: ages in tables must not dance.
pub fn coarse(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        86_400..31_536_000 => format!("{} d", seconds / 86_400),
        _ => format!("{} y", seconds / 31_536_000),
    }
}

/// `2026-11-22 20:47:05` where the user is.
pub fn local(ms: f64) -> String {
    civil(ms, minutes_east(ms))
}

/// The same with its zone, for tooltips and for those who compare notes: `2026-11-22 20:47:05 UTC+01:00`.
pub fn absolute(ms: f64) -> String {
    let east = minutes_east(ms);
    format!("{} {}", civil(ms, east), zone(east))
}

fn zone(east: i64) -> String {
    if east == 0 {
        return "UTC".to_owned();
    }
    let sign = if east < 0 { '-' } else { '+' };
    format!("UTC{sign}{:02}:{:02}", east.abs() / 60, east.abs() % 60)
}

/// How far the browser's clock was from UTC at that time.
#[cfg(target_arch = "wasm32")]
fn minutes_east(ms: f64) -> i64 {
    -js_sys::Date::new(&ms.into()).get_timezone_offset() as i64
}

/// The server renders no times: it does not know where the user is.
#[cfg(not(target_arch = "wasm32"))]
fn minutes_east(_: f64) -> i64 {
    0
}

fn civil(ms: f64, east: i64) -> String {
    let seconds = (ms / 1000.0).floor() as i64 + east * 60;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to civil date (Howard Hinnant's algorithm): no time zone library for one line of text.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// `10,000`
pub fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 VM`, `2 VMs`
pub fn plural(number: usize, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_at_most() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(8_589_934_592), "8 GiB");
        assert_eq!(bytes(8_000_000_000), "7.45 GiB");
        assert_eq!(bytes(1023), "1 KiB");
        assert_eq!(bytes(1_363_148_800_000_000), "1.21 PiB");
    }

    #[test]
    fn times() {
        assert_eq!(span(59.0), "59 s");
        assert_eq!(span(3660.0), "1 h 1 min");
        assert_eq!(span(90.0), "1 min 30 s");
        assert_eq!(coarse(200_000.0), "2 d");
        assert_eq!(ago(1000.0, 0.0), "just now");
        assert_eq!(absolute(1_795_378_025_000.0), "2026-11-22 20:07:05 UTC");
        assert_eq!(absolute(0.0), "1970-01-01 00:00:00 UTC");
        assert_eq!(civil(1_795_378_025_000.0, 330), "2026-11-23 01:37:05");
        assert_eq!(civil(0.0, -300), "1969-12-31 19:00:00");
        assert_eq!(zone(330), "UTC+05:30");
        assert_eq!(zone(-300), "UTC-05:00");
    }

    #[test]
    fn counts() {
        assert_eq!(count(10_000), "10,000");
        assert_eq!(count(123), "123");
        assert_eq!(plural(1, "VM"), "1 VM");
    }
}
