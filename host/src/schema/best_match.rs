//! Chooses the failures to report if a value matches none of several alternatives: those of the alternative that was
//! probably meant.

use serde_json::Value;

use super::failure::{Expected, Failure, FailureKind};
use super::node::Type;

/// The maximal number of allowed values that are collected from all alternatives.
const MAX_ALLOWED_VALUES: usize = 100;

/// Returns the failures of the alternative that comes closest to the value at `pointer`. `failures` are those of each
/// alternative.
pub fn best_match<'v>(failures: Vec<Vec<Failure<'v>>>, pointer: &str, value: &'v Value) -> Vec<Failure<'v>> {
    let (unlike, alike): (Vec<_>, Vec<_>) =
        failures.into_iter().partition(|failures| expected_at(failures, pointer).is_some());
    if alike.is_empty() {
        let expected = unlike.iter().filter_map(|failures| expected_at(failures, pointer));
        return vec![Failure { pointer: pointer.to_owned(), kind: FailureKind::Unexpected(merge(expected, value)) }];
    }
    // Alternatives often have a discriminator: a key that has another fixed value in each, such as `type: a`.
    let count_discriminators =
        |failures: &[Failure]| failures.iter().filter(|it| is_discriminator(it, pointer)).count();
    let fewest = alike.iter().map(|failures| count_discriminators(failures)).min().unwrap_or_default();
    if fewest > 0
        && let Some(failure) = merge_discriminators(&alike, pointer)
    {
        return vec![failure];
    }
    let keys: Option<Vec<_>> = alike.iter().map(|failures| only_missing_key(failures, pointer)).collect();
    if let Some(keys) = keys.filter(|keys| keys.len() > 1) {
        return vec![Failure { pointer: pointer.to_owned(), kind: FailureKind::MissingKey(keys) }];
    }
    alike.into_iter().min_by_key(|failures| (count_discriminators(failures), failures.len())).unwrap_or_default()
}

/// Returns what an alternative expects in place of the value at `pointer`, if the value as a whole does not match.
fn expected_at<'f, 'v>(failures: &'f [Failure<'v>], pointer: &str) -> Option<&'f Expected<'v>> {
    failures.iter().find_map(|failure| match &failure.kind {
        FailureKind::Unexpected(expected) if failure.pointer == pointer => Some(expected),
        _ => None,
    })
}

/// Merges what several alternatives expect in the same place.
fn merge<'f, 'v: 'f>(all: impl Iterator<Item = &'f Expected<'v>>, value: &'v Value) -> Expected<'v> {
    let mut merged = Expected::new(value);
    let mut ranges = Vec::new();
    let mut any_string = true;
    for expected in all {
        any_string &= expected.any_string || expected.types == [Type::Null];
        merged.types.extend(&expected.types);
        if merged.keys.is_empty() {
            merged.keys = expected.keys;
        }
        let free = MAX_ALLOWED_VALUES.saturating_sub(merged.allowed.len());
        merged.allowed.extend(expected.allowed.iter().take(free));
        if expected.types.iter().any(|known| matches!(known, Type::Integer | Type::Number)) {
            ranges.push((expected.range, expected.format));
        }
    }
    if let [(range, format)] = ranges[..] {
        (merged.range, merged.format) = (range, format);
    }
    merged.any_string = any_string;
    merged
}

/// Returns true if the failure is that a key of the value at `pointer` has none of a few fixed values.
fn is_discriminator(failure: &Failure, pointer: &str) -> bool {
    let key = failure.pointer.strip_prefix(pointer).and_then(|rest| rest.strip_prefix('/'));
    key.is_some_and(|key| !key.contains('/'))
        && matches!(&failure.kind, FailureKind::Unexpected(expected) if !expected.allowed.is_empty())
}

/// Returns one failure with the values of a discriminator, if all alternatives have the same discriminator and the
/// value has none of its values.
fn merge_discriminators<'v>(alternatives: &[Vec<Failure<'v>>], pointer: &str) -> Option<Failure<'v>> {
    let first = alternatives.first()?.iter().find(|failure| is_discriminator(failure, pointer))?;
    let mut all = Vec::new();
    for failures in alternatives {
        let same = failures.iter().find(|it| it.pointer == first.pointer && is_discriminator(it, pointer))?;
        let FailureKind::Unexpected(expected) = &same.kind else { return None };
        all.push(expected);
    }
    let value = all.first()?.value;
    let kind = FailureKind::Unexpected(merge(all.into_iter(), value));
    Some(Failure { pointer: first.pointer.clone(), kind })
}

/// Returns the missing key if it is the only failure.
fn only_missing_key<'v>(failures: &[Failure<'v>], pointer: &str) -> Option<&'v str> {
    match failures {
        [Failure { pointer: at, kind: FailureKind::MissingKey(keys) }] if at == pointer => match keys[..] {
            [key] => Some(key),
            _ => None,
        },
        _ => None,
    }
}
