//! Checks that the entries of `allow.secret_hosts` name settings. A misspelt entry would be without effect, and the
//! secret could be sent to the hosts that the settings name.

use serde_json::{Map, Value};

use crate::config::{Allow, THIS_PROBE};
use crate::sandbox::problem::Problem;
use crate::schema::{child_pointer, closest};

/// Returns a problem for each entry that names no setting of the probe, neither one that it has nor one that the
/// component's schema has at the top.
///
/// Of an entry in the block of a module, only the first key is checked, since another probe of the module may have the
/// rest.
pub fn problems(allow: &[Allow], settings: &Map<String, Value>, schema: &Value) -> Vec<Problem> {
    let entries = allow.iter().flat_map(|block| block.secret_hosts.iter().map(move |(path, _)| (block, path)));
    let missing = entries.filter_map(|(block, path)| Some((block, path, missing_key(block, path, settings, schema)?)));
    missing.map(|(block, path, missing)| problem(block, path, &missing)).collect()
}

/// A key that a path has and the settings do not have.
struct MissingKey<'a> {
    key: &'a str,
    /// The keys that there are in its place.
    known: Vec<&'a str>,
}

fn missing_key<'a>(
    block: &Allow,
    path: &'a [String],
    settings: &'a Map<String, Value>,
    schema: &'a Value,
) -> Option<MissingKey<'a>> {
    let (first, rest) = path.split_first()?;
    let is_own = block.declared_by == THIS_PROBE;
    if let Some(value) = settings.get(first) {
        return if is_own { missing_below(value, rest) } else { None };
    }
    let in_schema = schema["properties"].as_object();
    // A schema without properties at its top does not say which settings other probes may have.
    let is_known = in_schema.map_or(!is_own, |properties| properties.contains_key(first));
    let known = settings.keys().chain(in_schema.into_iter().flat_map(Map::keys));
    (!is_known).then(|| MissingKey { key: first, known: known.map(String::as_str).collect() })
}

fn missing_below<'a>(mut value: &'a Value, path: &'a [String]) -> Option<MissingKey<'a>> {
    for key in path {
        let child = match value {
            Value::Array(list) => key.parse::<usize>().ok().and_then(|index| list.get(index)),
            value => value.get(key),
        };
        let Some(child) = child else {
            let known = value.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
            return Some(MissingKey { key, known });
        };
        value = child;
    }
    None
}

fn problem(block: &Allow, path: &[String], MissingKey { key, known }: &MissingKey) -> Problem {
    let is_own = block.declared_by == THIS_PROBE;
    let entry: String = path.iter().fold(String::new(), |pointer, key| child_pointer(&pointer, key));
    let meant = closest(key, known).map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
    Problem {
        pointer: if is_own { "/allow/secret_hosts" } else { "/probe" }.to_owned(),
        message: format!(
            "`allow.secret_hosts` of {} names `{}`, but there is no setting `{}`{meant}",
            block.declared_by,
            entry.escape_debug(),
            key.escape_debug()
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(declared_by: &str, path: &[&str], expected: Option<&str>) {
        let settings =
            json!({ "url": "https://shop.example/", "login": { "password": "x" }, "list": [{ "auth": "y" }] });
        let schema = json!({ "properties": { "token": { "writeOnly": true } } });
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        let block =
            Allow { declared_by: declared_by.to_owned(), secret_hosts: vec![(path, Vec::new())], ..Allow::default() };
        let problems = problems(&[block], settings.as_object().expect("settings are a map"), &schema);
        assert_eq!(problems.first().map(|problem| problem.message.as_str()), expected);
    }

    #[test]
    fn entries_that_name_no_setting_are_problems() {
        for path in [&["url"][..], &["login", "password"], &["list", "0", "auth"], &["token"]] {
            check(THIS_PROBE, path, None);
            check("the module `shop`", path, None);
        }
        check(
            THIS_PROBE,
            &["tokem"],
            Some(
                "`allow.secret_hosts` of this probe names `/tokem`, but there is no setting `tokem`, did you mean `token`?",
            ),
        );
        check(
            "the module `shop`",
            &["Login", "password"],
            Some(
                "`allow.secret_hosts` of the module `shop` names `/Login/password`, but there is no setting `Login`, did \
                 you mean `login`?",
            ),
        );
        let password = "`allow.secret_hosts` of this probe names `/login/pasword`, but there is no setting `pasword`, did you \
                        mean `password`?";
        check(THIS_PROBE, &["login", "pasword"], Some(password));
        check("the module `shop`", &["login", "pasword"], None);
        let index = "`allow.secret_hosts` of this probe names `/list/1/auth`, but there is no setting `1`";
        check(THIS_PROBE, &["list", "1", "auth"], Some(index));
    }
}
