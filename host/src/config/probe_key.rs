//! Suggestions for keys of a probe that no component knows: the operator may have meant one of the host's own keys.

use super::section::Section;
use crate::schema::closest;

/// Names that other programs have for keys of a probe.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("attempts", "retries"),
    ("cron", "every"),
    ("frequency", "every"),
    ("interval", "every"),
    ("labels", "tags"),
    ("monitor", "check_in"),
    ("name", "title"),
    ("period", "every"),
    ("permissions", "allow"),
    ("schedule", "every"),
];

/// Returns the message about a key that the schema of a component does not know, given the schema's own message: names
/// the key of every probe that was probably meant, or else lists them.
pub fn unknown_probe_key(key: &str, message: &str) -> String {
    if message.contains("did you mean") {
        return message.to_owned();
    }
    let keys = Section::PROBE.keys();
    let other = OTHER_NAMES.iter().find(|(other, _)| key.eq_ignore_ascii_case(other)).map(|(_, key)| *key);
    match other.or_else(|| closest(key, &keys)) {
        Some(meant) => {
            let unknown = [", expected one of ", ": no other "].iter().find_map(|list| message.split_once(list));
            format!("{}, did you mean `{meant}`?", unknown.map_or(message, |(unknown, _)| unknown))
        }
        None => format!("{message}; every probe also has `{}`", keys.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_host_is_suggested() {
        let schema = "unknown key `K`, expected one of `url`, `timeout`";
        for (key, meant) in [("interval", "every"), ("Name", "title"), ("retry_dely", "retry_delay"), ("evry", "every")]
        {
            assert_eq!(unknown_probe_key(key, schema), format!("unknown key `K`, did you mean `{meant}`?"));
        }
        let all = unknown_probe_key("colour", schema);
        assert!(all.starts_with(&format!("{schema}; every probe also has `probe`, `title`, `every`")), "{all}");
        let own = "unknown key `timeot`, did you mean `timeout`?";
        assert_eq!(unknown_probe_key("timeot", own), own);
    }
}
