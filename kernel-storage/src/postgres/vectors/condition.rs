//! A filter as a condition of SQL that says what [`Filter::fits`] says.

use sqlx::{Postgres, QueryBuilder};

use super::metadata::{escape, value};
use crate::{Filter, Scalar};

/// Pushes a condition on the column `metadata`; it is never unknown.
pub(super) fn push(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    match filter {
        Filter::Equals { field, value: one } => {
            begin(query, field);
            query.push(" = ").push_bind(value(one)).push("::jsonb, false)");
        }
        Filter::OneOf { field, values } => {
            begin(query, field);
            query.push(" = ANY(").push_bind(values.iter().map(value).collect::<Vec<_>>());
            query.push("::text[]::jsonb[]), false)");
        }
        Filter::Range { field, min, max } => {
            query.push("(jsonb_exists(metadata, ").push_bind(escape(field)).push(")");
            for (end, comparison) in [(min, ">="), (max, "<=")] {
                if let Some(end) = end {
                    query.push(" AND ");
                    push_end(query, field, comparison, end);
                }
            }
            query.push(")");
        }
        Filter::All(filters) => joined(query, filters, " AND ", "true"),
        Filter::Any(filters) => joined(query, filters, " OR ", "false"),
        Filter::Not(inner) => {
            query.push("(NOT ");
            push(query, inner);
            query.push(")");
        }
    }
}

/// The value of a field, or nothing; to be compared with something, and closed.
fn begin(query: &mut QueryBuilder<Postgres>, field: &str) {
    query.push("coalesce((metadata -> ").push_bind(escape(field)).push("::text)");
}

/// A value of the same kind, on this side of an end. Texts are compared by their bytes, whatever the language of the
/// database.
fn push_end(query: &mut QueryBuilder<Postgres>, field: &str, comparison: &'static str, end: &Scalar) {
    let kind = match end {
        Scalar::Text(_) => "string",
        Scalar::Number(_) => "number",
        Scalar::Flag(_) => "boolean",
    };
    query.push("coalesce(jsonb_typeof(metadata -> ").push_bind(escape(field)).push("::text) = '");
    query.push(kind).push("' AND ");
    match end {
        Scalar::Text(text) => {
            query.push("(metadata ->> ").push_bind(escape(field)).push("::text) COLLATE \"C\" ");
            query.push(comparison).push(" ").push_bind(escape(text)).push("::text");
        }
        Scalar::Number(_) | Scalar::Flag(_) => {
            query.push("(metadata -> ").push_bind(escape(field)).push("::text) ").push(comparison);
            query.push(" ").push_bind(value(end)).push("::jsonb");
        }
    }
    query.push(", false)");
}

fn joined(query: &mut QueryBuilder<Postgres>, filters: &[Filter], between: &'static str, none: &'static str) {
    query.push("(").push(none);
    for filter in filters {
        query.push(between);
        push(query, filter);
    }
    query.push(")");
}
