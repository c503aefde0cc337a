//! Which items a search is about, by their metadata.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::item::Scalar;

/// A condition on metadata.
///
/// A field that is missing, or whose value is of another kind than the one asked for, fits no condition on its value;
/// it does fit [`Filter::Not`] of one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Filter {
    /// The field has this value.
    Equals {
        /// Its name.
        field: String,
        /// The value.
        value: Scalar,
    },
    /// The field has one of these values.
    OneOf {
        /// Its name.
        field: String,
        /// The values; none of them fits nothing.
        values: Vec<Scalar>,
    },
    /// The field lies between two values, both included. Texts are compared by their bytes, which is the order of
    /// their code points. Without any end it suffices that there is such a field.
    Range {
        /// Its name.
        field: String,
        /// Not below this.
        min: Option<Scalar>,
        /// Not above this.
        max: Option<Scalar>,
    },
    /// All of these fit; so without any, everything does.
    All(Vec<Filter>),
    /// At least one of these fits; so without any, nothing does.
    Any(Vec<Filter>),
    /// This does not fit.
    Not(Box<Filter>),
}

impl Filter {
    /// The most conditions of one filter, the joining ones included.
    pub const MAX_CONDITIONS: usize = 256;
    /// How deep conditions may lie in each other.
    pub const MAX_DEPTH: usize = 16;

    /// Whether metadata fits, of which `field` gives the value of a name. Every store agrees with this function.
    ///
    /// ```
    /// use kernel_storage::{Filter, Metadata, Scalar};
    ///
    /// let metadata = Metadata::from([("year".to_owned(), Scalar::Number(2009.0))]);
    /// let since = |year| Filter::Range { field: "year".to_owned(), min: Some(Scalar::Number(year)), max: None };
    /// assert!(since(2000.0).fits(&|field| metadata.get(field)));
    /// assert!(!since(2010.0).fits(&|field| metadata.get(field)));
    /// ```
    #[must_use]
    pub fn fits<'a>(&self, field: &impl Fn(&str) -> Option<&'a Scalar>) -> bool {
        match self {
            Self::Equals { field: name, value } => field(name).is_some_and(|found| found == value),
            Self::OneOf { field: name, values } => field(name).is_some_and(|found| values.contains(found)),
            Self::Range { field: name, min, max } => field(name).is_some_and(|found| {
                let beyond = |end: &Option<Scalar>, fits: fn(Ordering) -> bool| {
                    end.as_ref().is_none_or(|end| compare(found, end).is_some_and(fits))
                };
                beyond(min, Ordering::is_ge) && beyond(max, Ordering::is_le)
            }),
            Self::All(filters) => filters.iter().all(|filter| filter.fits(field)),
            Self::Any(filters) => filters.iter().any(|filter| filter.fits(field)),
            Self::Not(filter) => !filter.fits(field),
        }
    }
}

/// The order of two values of one kind.
fn compare(one: &Scalar, other: &Scalar) -> Option<Ordering> {
    match (one, other) {
        (Scalar::Text(one), Scalar::Text(other)) => Some(one.cmp(other)),
        (Scalar::Number(one), Scalar::Number(other)) => one.partial_cmp(other),
        (Scalar::Flag(one), Scalar::Flag(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Scalar};
    use crate::Metadata;

    fn check(filter: &Filter, expected: bool) {
        let metadata = Metadata::from([
            ("kind".to_owned(), Scalar::from("note")),
            ("year".to_owned(), Scalar::from(2009.0)),
            ("done".to_owned(), Scalar::from(false)),
        ]);
        assert_eq!(filter.fits(&|field| metadata.get(field)), expected, "{filter:?}");
        let not = Filter::Not(Box::new(filter.clone()));
        assert_eq!(not.fits(&|field| metadata.get(field)), !expected, "{not:?}");
    }

    fn equals(field: &str, value: impl Into<Scalar>) -> Filter {
        Filter::Equals { field: field.to_owned(), value: value.into() }
    }

    fn range(field: &str, min: Option<Scalar>, max: Option<Scalar>) -> Filter {
        Filter::Range { field: field.to_owned(), min, max }
    }

    #[test]
    fn a_field_equals_its_value_and_no_other_kind() {
        check(&equals("kind", "note"), true);
        check(&equals("kind", "Note"), false);
        check(&equals("year", 2009.0), true);
        check(&equals("year", "2009"), false);
        check(&equals("done", false), true);
        check(&equals("done", 0.0), false);
        check(&equals("missing", "note"), false);
    }

    #[test]
    fn a_list_fits_by_any_of_its_values() {
        let one_of = |values| Filter::OneOf { field: "year".to_owned(), values };
        check(&one_of(vec!["2009".into(), 2009.0.into()]), true);
        check(&one_of(vec![2008.0.into(), 2010.0.into()]), false);
        check(&one_of(vec![]), false);
    }

    #[test]
    fn a_range_includes_its_ends_and_keeps_to_one_kind() {
        check(&range("year", Some(2009.0.into()), Some(2009.0.into())), true);
        check(&range("year", Some(2009.5.into()), None), false);
        check(&range("year", None, Some(2008.5.into())), false);
        check(&range("year", Some("".into()), None), false);
        check(&range("kind", Some("no".into()), Some("o".into())), true);
        check(&range("kind", Some("notes".into()), None), false);
        check(&range("done", None, Some(false.into())), true);
        check(&range("year", None, None), true);
        check(&range("missing", None, None), false);
    }

    #[test]
    fn conditions_join() {
        let (yes, no) = (equals("kind", "note"), equals("kind", "page"));
        check(&Filter::All(vec![yes.clone(), yes.clone()]), true);
        check(&Filter::All(vec![yes.clone(), no.clone()]), false);
        check(&Filter::Any(vec![no.clone(), yes]), true);
        check(&Filter::Any(vec![no.clone(), no]), false);
        check(&Filter::All(vec![]), true);
        check(&Filter::Any(vec![]), false);
    }
}
