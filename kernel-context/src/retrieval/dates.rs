//! Dates in words: `2023-05-07`, `7 May 2023`, `May 7th`, `in May`, `2023`.
//!
//! A page that has a date is found by its year, by its month, and by its day.

use super::term::{Field, Term};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// The days of each month, in a leap year.
const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// What may stand between the day and the month: `the 7th of May`.
const LINKS: [&str; 2] = ["of", "the"];

/// A date as far as it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Date {
    year: Option<u32>,
    /// From 1.
    month: Option<u32>,
    day: Option<u32>,
}

impl Date {
    /// The date that a string about a page stands for, if it is one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let is_year = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        Self::all(text).into_iter().find(|date| date.month.is_some() || is_year)
    }

    /// The dates in a text, in order.
    pub(super) fn all(text: &str) -> Vec<Self> {
        let words = words(text);
        let mut dates: Vec<Self> =
            (0..words.len()).filter_map(|at| numeric(&words, at).or_else(|| named(&words, at))).collect();
        let known = |year: u32| dates.iter().any(|date| date.year == Some(year));
        let lone = words.iter().filter_map(|word| year(word)).find(|year| !known(*year));
        match dates.iter_mut().find(|date| date.year.is_none()) {
            Some(date) => date.year = lone,
            None => dates.extend(lone.map(|year| Self { year: Some(year), ..Self::default() })),
        }
        dates
    }

    /// The terms of a page with this date.
    pub(super) fn terms(&self) -> impl Iterator<Item = Term> {
        let year = self.year.map(|year| term("year", year, 0));
        let month = self.month.map(|month| term("month", month, 0));
        let day = self.month.zip(self.day).map(|(month, day)| term("day", month, day));
        [year, month, day].into_iter().flatten()
    }

    /// The terms of the `count` days that follow, nearest first; none without a day.
    pub(super) fn days_after(&self, count: usize) -> impl Iterator<Item = Term> {
        let start = self.month.zip(self.day);
        let days = std::iter::successors(start, |(month, day)| {
            let ends = *day >= DAYS[*month as usize - 1];
            Some(if ends { (*month % 12 + 1, 1) } else { (*month, day + 1) })
        });
        days.skip(1).take(count).map(|(month, day)| term("day", month, day))
    }
}

fn term(unit: &str, first: u32, second: u32) -> Term {
    Term::new(&format!("{unit} {first} {second}")).within(Field::Date)
}

/// The runs of letters and digits of a text.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

/// A date in digits, the year first.
fn numeric(words: &[&str], at: usize) -> Option<Date> {
    let year = year(words.get(at)?)?;
    let month = number(words.get(at + 1)?).filter(|month| (1..=12).contains(month))?;
    let day = number(words.get(at + 2)?).filter(|day| (1..=31).contains(day))?;
    Some(Date { year: Some(year), month: Some(month), day: Some(day) })
}

/// The date around the name of a month.
fn named(words: &[&str], at: usize) -> Option<Date> {
    let word = words[at];
    let (month, ambiguous) = month(word)?;
    let before = words[..at].iter().rev().find(|word| !LINKS.contains(word));
    let after = words[at + 1..].iter().find(|word| !LINKS.contains(word));
    let number_of = |word: Option<&&str>| word.and_then(|word| number(word));
    let is_day = |day: &u32| (1..=DAYS[month as usize - 1]).contains(day);
    let day = number_of(before).filter(is_day).or_else(|| number_of(after).filter(is_day));
    let dated = day.is_some() || [before, after].into_iter().flatten().any(|word| year(word).is_some());
    let name = at > 0 && word.starts_with(char::is_uppercase);
    if ambiguous && !dated && !name {
        return None;
    }
    let near = words.iter().skip(at + 1).take(2).chain(before);
    Some(Date { year: near.filter_map(|word| year(word)).next(), month: Some(month), day })
}

/// The month of that name, and whether the name may mean something else.
fn month(word: &str) -> Option<(u32, bool)> {
    let lower = word.to_lowercase();
    let is = |name: &&str| {
        **name == *lower
            || lower.len() == 3 && name.starts_with(&lower)
            || lower == "sept" && name.starts_with(&lower)
    };
    let (month, _) = (1..).zip(&MONTHS).find(|(_, name)| is(name))?;
    Some((month, lower.len() == 3 || lower == "march"))
}

/// A whole number, perhaps with the ending of an ordinal or the time after it (`7th`, `07T10`).
fn number(word: &str) -> Option<u32> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let rest = &word[end..];
    let number = rest.is_empty() || matches!(rest, "st" | "nd" | "rd" | "th") || rest.starts_with(['T', 't']);
    word[..end].parse().ok().filter(|_| number)
}

fn year(word: &str) -> Option<u32> {
    let digits = word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|year| digits && (1800..2200).contains(year))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u32, u32, u32)]) {
        let told = |part: u32| Some(part).filter(|part| *part > 0);
        let expected: Vec<Date> = expected
            .iter()
            .map(|(year, month, day)| Date { year: told(*year), month: told(*month), day: told(*day) })
            .collect();
        assert_eq!(Date::all(text), expected, "{text:?}");
    }

    #[test]
    fn dates_are_read_in_many_forms() {
        for text in [
            "2023-05-07",
            "2023/5/7",
            "7 May 2023",
            "May 7, 2023",
            "1:56 pm on 7 May, 2023",
            "2023-05-07T13:56:00Z",
        ] {
            check(text, &[(2023, 5, 7)]);
        }
        check("on the 7th of May", &[(0, 5, 7)]);
        check("in May", &[(0, 5, 0)]);
        check("In August 2022, and again on Sept 3?", &[(2022, 8, 0), (0, 9, 3)]);
        check("What happened in 2023?", &[(2023, 0, 0)]);
        check("What did Ann do on May 7 in the year 2023?", &[(2023, 5, 7)]);
    }

    #[test]
    fn what_only_looks_like_a_date_is_none() {
        check("May I march on? It may rain, mar the day.", &[]);
        check("version 3.1 of 12345, 9999 times", &[]);
    }

    #[test]
    fn a_string_about_a_page_is_a_date_only_as_a_whole() {
        assert!(Date::of("2023").is_some() && Date::of("8 May").is_some());
        assert!(Date::of("session 3").is_none() && Date::of("room 2023").is_none() && Date::of("").is_none());
    }

    #[test]
    fn days_follow_each_other() {
        let date = |text: &str| Date::of(text).unwrap();
        let day = |text: &str| date(text).terms().last().unwrap();
        let after: Vec<Term> = date("30 December").days_after(3).collect();
        assert_eq!(after, [day("31 December"), day("1 January"), day("2 January")]);
    }
}
