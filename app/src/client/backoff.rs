//! How long to wait before the next attempt to connect.

const FIRST_MS: f64 = 300.0;
const LONGEST_MS: f64 = 10_000.0;

/// `random` in 0..1 spreads the clients of a restarted server over half the delay.
pub fn delay_ms(attempts: u32, random: f64) -> f64 {
    let full = (FIRST_MS * f64::from(2_u32.saturating_pow(attempts.min(8)))).min(LONGEST_MS);
    full * (0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::delay_ms;

    #[test]
    fn grows_and_stays_within_bounds() {
        assert_eq!(delay_ms(0, 1.0), 300.0);
        assert_eq!(delay_ms(0, 0.0), 150.0);
        assert_eq!(delay_ms(2, 1.0), 1200.0);
        assert_eq!(delay_ms(50, 1.0), 10_000.0);
    }
}
