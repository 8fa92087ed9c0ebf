//! Of several schemas none of which a value fits, the one that was meant: what is wrong by that one is worth telling.

use serde_json::Value;

use super::node::Type;
use super::words::{Expected, Found, What};

/// What is wrong by the nearest of several branches; `wrong` is what is wrong by each of them.
pub fn nearest<'v>(wrong: Vec<Vec<Found<'v>>>, pointer: &str, value: &'v Value) -> Vec<Found<'v>> {
    let (other, meant): (Vec<_>, Vec<_>) = wrong.into_iter().partition(|found| expected(found, pointer).is_some());
    if meant.is_empty() {
        let all = other.iter().filter_map(|found| expected(found, pointer));
        return vec![Found { pointer: pointer.to_owned(), what: What::Expected(together(all, value)) }];
    }
    // Branches are told apart by a key that each has another value for: `type: a`.
    let told = |found: &[Found]| found.iter().filter(|found| tells(found, pointer)).count();
    let least = meant.iter().map(|found| told(found)).min().unwrap_or_default();
    if least > 0
        && let Some(found) = one_of_them(&meant, pointer)
    {
        return vec![found];
    }
    let keys: Option<Vec<_>> = meant.iter().map(|found| only_missing(found, pointer)).collect();
    if let Some(keys) = keys.filter(|keys| keys.len() > 1) {
        return vec![Found { pointer: pointer.to_owned(), what: What::Missing(keys) }];
    }
    meant.into_iter().min_by_key(|found| (told(found), found.len())).unwrap_or_default()
}

/// What a branch expects in place of the value, if that is not of its kind at all.
fn expected<'f, 'v>(found: &'f [Found<'v>], pointer: &str) -> Option<&'f Expected<'v>> {
    found.iter().find_map(|found| match &found.what {
        What::Expected(expected) if found.pointer == pointer => Some(expected),
        _ => None,
    })
}

/// What several branches expect in one place.
fn together<'f, 'v: 'f>(all: impl Iterator<Item = &'f Expected<'v>>, value: &'v Value) -> Expected<'v> {
    const MOST: usize = 100;
    let mut together = Expected::new(value);
    let mut numbers = Vec::new();
    let mut all_text = true;
    for expected in all {
        all_text &= expected.any_text || expected.types == [Type::Null];
        together.types.extend(&expected.types);
        if together.keys.is_empty() {
            together.keys = expected.keys;
        }
        let room = MOST.saturating_sub(together.allowed.len());
        together.allowed.extend(expected.allowed.iter().take(room));
        if expected.types.iter().any(|known| matches!(known, Type::Integer | Type::Number)) {
            numbers.push(expected.numbers);
        }
    }
    if let [Some(only)] = numbers[..] {
        together.numbers = Some(only);
    }
    together.any_text = all_text;
    together
}

/// Whether it is one of a few values that a key one level down should have.
fn tells(found: &Found, pointer: &str) -> bool {
    let key = found.pointer.strip_prefix(pointer).and_then(|rest| rest.strip_prefix('/'));
    key.is_some_and(|key| !key.contains('/'))
        && matches!(&found.what, What::Expected(expected) if !expected.allowed.is_empty())
}

/// Where all branches are told apart by one key: that it should be one of what any of them expects.
fn one_of_them<'v>(branches: &[Vec<Found<'v>>], pointer: &str) -> Option<Found<'v>> {
    let first = branches.first()?.iter().find(|found| tells(found, pointer))?;
    let mut all = Vec::new();
    for branch in branches {
        let same = branch.iter().find(|found| found.pointer == first.pointer && tells(found, pointer))?;
        let What::Expected(expected) = &same.what else { return None };
        all.push(expected);
    }
    let value = all.first()?.value;
    Some(Found { pointer: first.pointer.clone(), what: What::Expected(together(all.into_iter(), value)) })
}

/// The key that is missing, if that is all that is wrong.
fn only_missing<'v>(found: &[Found<'v>], pointer: &str) -> Option<&'v str> {
    match found {
        [Found { pointer: place, what: What::Missing(keys) }] if place == pointer => match keys[..] {
            [key] => Some(key),
            _ => None,
        },
        _ => None,
    }
}
