//! What every store refuses before it does anything: pure functions of what was asked.

use std::collections::BTreeMap;

use super::filter::Filter;
use super::item::{MemoryItem, Scalar, Vector};
use super::query::MemorySearch;
use crate::{StoreError, StoreErrorKind};

/// The dimensions of the models that a call names.
pub(crate) type Dimensions = BTreeMap<String, usize>;

/// Checks items by themselves and against each other; gives the dimension of each model among them.
pub(crate) fn items(items: &[MemoryItem]) -> Result<Dimensions, StoreError> {
    let check = || -> Result<Dimensions, String> {
        at_most("a batch", items.len(), "items", MemoryItem::MAX_BATCH)?;
        let mut dimensions = Dimensions::new();
        for item in items {
            one(item).map_err(|what| format!("item {:?} of {:?}: {what}", item.id, item.namespace))?;
            if let Some(vector) = &item.vector {
                let length = vector.values.len();
                let known = *dimensions.entry(vector.model.clone()).or_insert(length);
                same_dimension(&vector.model, known, length)?;
            }
        }
        Ok(dimensions)
    };
    check().map_err(|what| invalid("remember", what))
}

/// Checks a search.
pub(crate) fn search(search: &MemorySearch) -> Result<(), StoreError> {
    let check = || -> Result<(), String> {
        name("the namespace", &search.namespace)?;
        let text = search.text.as_deref().unwrap_or_default();
        at_most("the text", text.len(), "bytes", MemoryItem::MAX_TEXT)?;
        if let Some(asked) = &search.vector {
            vector(asked)?;
        } else if text.trim().is_empty() {
            return Err("neither a text nor a vector to search by".to_owned());
        }
        search.filter.as_ref().map_or(Ok(()), filter)
    };
    check().map_err(|what| invalid("search", what))
}

/// Checks the dimensions of a call against what the store knows of a model.
pub(crate) fn known_dimension(
    operation: &'static str,
    model: &str,
    known: usize,
    found: usize,
) -> Result<(), StoreError> {
    same_dimension(model, known, found).map_err(|what| invalid(operation, what))
}

fn one(item: &MemoryItem) -> Result<(), String> {
    name("the namespace", &item.namespace)?;
    name("the id", &item.id)?;
    at_most("the text", item.text.len(), "bytes", MemoryItem::MAX_TEXT)?;
    at_most("the metadata", item.metadata.len(), "fields", MemoryItem::MAX_FIELDS)?;
    for (field, value) in &item.metadata {
        name("the name of a field", field)?;
        scalar(field, value)?;
    }
    item.vector.as_ref().map_or(Ok(()), vector)
}

fn vector(vector: &Vector) -> Result<(), String> {
    name("the model of a vector", &vector.model)?;
    at_most("the vector", vector.values.len(), "numbers", Vector::MAX_DIMENSION)?;
    if vector.values.is_empty() {
        return Err("the vector has no numbers".to_owned());
    }
    if let Some(at) = vector.values.iter().position(|value| !value.is_finite()) {
        return Err(format!("number {at} of the vector is {}", vector.values[at]));
    }
    if vector.values.iter().all(|value| *value == 0.0) {
        return Err("the vector is zero: it has no direction".to_owned());
    }
    Ok(())
}

/// Looks at conditions without recursion, so that no depth is too much for the stack.
fn filter(filter: &Filter) -> Result<(), String> {
    let mut open = vec![(filter, 1)];
    let mut conditions = 0;
    while let Some((next, depth)) = open.pop() {
        conditions += 1;
        at_most("the filter", conditions, "conditions", Filter::MAX_CONDITIONS)?;
        at_most("the filter", depth, "conditions in each other", Filter::MAX_DEPTH)?;
        match next {
            Filter::Equals { field, value } => scalar(field, value)?,
            Filter::OneOf { field, values } => {
                values.iter().try_for_each(|value| scalar(field, value))?;
            }
            Filter::Range { field, min, max } => {
                min.iter().chain(max).try_for_each(|end| scalar(field, end))?;
            }
            Filter::All(inner) | Filter::Any(inner) => {
                open.extend(inner.iter().map(|inner| (inner, depth + 1)));
            }
            Filter::Not(inner) => open.push((inner, depth + 1)),
        }
    }
    Ok(())
}

fn scalar(field: &str, value: &Scalar) -> Result<(), String> {
    match value {
        Scalar::Number(number) if !number.is_finite() => Err(format!("field {field:?} is {number}")),
        Scalar::Text(text) => at_most(&format!("field {field:?}"), text.len(), "bytes", MemoryItem::MAX_TEXT),
        Scalar::Number(_) | Scalar::Flag(_) => Ok(()),
    }
}

fn name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{what} is empty"));
    }
    at_most(what, name.len(), "bytes", MemoryItem::MAX_NAME)
}

fn at_most(what: &str, found: usize, unit: &str, limit: usize) -> Result<(), String> {
    if found > limit {
        return Err(format!("{what} has {found} {unit}, at most {limit} are taken"));
    }
    Ok(())
}

fn same_dimension(model: &str, known: usize, found: usize) -> Result<(), String> {
    if known != found {
        return Err(format!("vectors of model {model:?} have {known} numbers, this one has {found}"));
    }
    Ok(())
}

fn invalid(operation: &'static str, what: String) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, operation, what)
}
