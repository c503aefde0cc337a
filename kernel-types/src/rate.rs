//! Rates as people write them: so much in so much time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{MicroUsd, Millis};

/// What a rate counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateUnit {
    /// Calls of a model. Those of tools are not counted: they have limits of their own.
    Calls,
    /// Input and output tokens.
    Tokens,
    /// Money, in millionths of a US dollar.
    Cost,
}

/// At most so much in so much time. Its text form is `AMOUNT UNIT/PERIOD`: `60 calls/min`, `100000 tokens/min`, `2.50 usd/day`;
/// `, burst N` after it says how much may come at once, a tenth of the amount without.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RateLimit {
    /// What is counted.
    pub unit: RateUnit,
    /// How much a period, at least one.
    pub amount: u64,
    /// The period.
    pub per: Millis,
    /// How much at once after a pause, at least one.
    pub burst: u64,
}

const PERIODS: [(&str, u64); 4] = [("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("day", 86_400_000)];

impl RateLimit {
    /// So much in so much time, a tenth of it at once; `None` for none of it or in no time.
    #[must_use]
    pub const fn new(unit: RateUnit, amount: u64, per: Millis) -> Option<Self> {
        if amount == 0 || per.0 == 0 {
            return None;
        }
        let burst = if amount < 10 { 1 } else { amount / 10 };
        Some(Self { unit, amount, per, burst })
    }

    /// The same with so much at once, at least one.
    #[must_use]
    pub const fn with_burst(self, burst: u64) -> Self {
        Self { burst: if burst == 0 { 1 } else { burst }, ..self }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |amount: u64| match self.unit {
            RateUnit::Cost => MicroUsd(amount).to_string().trim_start_matches('$').to_owned(),
            _ => amount.to_string(),
        };
        let unit = match self.unit {
            RateUnit::Calls => "calls",
            RateUnit::Tokens => "tokens",
            RateUnit::Cost => "usd",
        };
        write!(f, "{} {unit}/", amount(self.amount))?;
        match PERIODS.iter().find(|(_, ms)| *ms == self.per.0) {
            Some((name, _)) => f.write_str(name)?,
            None => write!(f, "{} ms", self.per.0)?,
        }
        if Self::new(self.unit, self.amount, self.per).is_some_and(|usual| usual.burst != self.burst) {
            write!(f, ", burst {}", amount(self.burst))?;
        }
        Ok(())
    }
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "{text:?} is not a rate like \"60 calls/min\", \"100000 tokens/min, burst 5000\" or \"2.50 usd/day\""
            )
        };
        let (rate, burst) = match text.split_once(',') {
            Some((rate, burst)) => {
                (rate, Some(burst.trim().strip_prefix("burst ").ok_or_else(wrong)?.trim()))
            }
            None => (text, None),
        };
        let (what, per) = rate.split_once('/').ok_or_else(wrong)?;
        let (amount, unit) = what.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let unit = match unit.trim() {
            "calls" | "call" | "requests" => RateUnit::Calls,
            "tokens" | "token" => RateUnit::Tokens,
            "usd" | "$" => RateUnit::Cost,
            _ => return Err(wrong()),
        };
        let count = |text: &str| match unit {
            RateUnit::Cost => text.parse::<MicroUsd>().ok().map(|usd| usd.0),
            _ => text.replace('_', "").parse::<u64>().ok(),
        };
        let per = per.trim();
        let named = PERIODS.iter().find(|(name, _)| *name == per).map(|(_, ms)| *ms);
        let ms = || per.strip_suffix("ms").and_then(|ms| ms.trim().parse().ok());
        let per = Millis(named.or_else(ms).ok_or_else(wrong)?);
        let limit = Self::new(unit, count(amount).ok_or_else(wrong)?, per).ok_or_else(wrong)?;
        match burst.map(|burst| count(burst).filter(|burst| *burst > 0)) {
            None => Ok(limit),
            Some(Some(burst)) => Ok(limit.with_burst(burst)),
            Some(None) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for RateLimit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RateLimit> for String {
    fn from(limit: RateLimit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_reads_as_it_is_written() {
        for text in
            ["60 calls/min", "100000 tokens/s, burst 7", "2.500000 usd/day", "1 calls/250 ms", "9 tokens/h"]
        {
            let limit: RateLimit = text.parse().expect(text);
            assert_eq!(limit.to_string(), text);
        }
        let limit: RateLimit = "100_000 tokens / min".parse().expect("spaces and underscores");
        assert_eq!((limit.amount, limit.per, limit.burst), (100_000, Millis(60_000), 10_000));
        let limit: RateLimit = "0.50 usd/h, burst 0.10".parse().expect("money");
        assert_eq!((limit.amount, limit.burst), (500_000, 100_000));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "60",
            "60 calls",
            "0 calls/min",
            "60 calls/0 ms",
            "60 apples/min",
            "-1 calls/s",
            "60 calls/min, burst 0",
            "60 calls/min, 5",
            "x calls/min",
            "1e9 tokens/s",
        ] {
            let error = text.parse::<RateLimit>().expect_err(text);
            assert!(error.contains("is not a rate like"), "{error}");
        }
    }
}
